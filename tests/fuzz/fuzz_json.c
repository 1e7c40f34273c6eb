/* JSON that clfcn reads back, by the input's first byte: a checkpoint's metadata, results
 * of bench, a run folder. */
#include "../../host/report/bench_file.h"
#include "../../host/report/history.h"
#include "../../host/train/checkpoint.h"
#include "fuzz.h"
#include <stdlib.h>
#include <string.h>

static int read_metadata(const uint8_t *data, size_t size, struct clfcn_err *err)
{
    struct clfcn_checkpoint_info info;
    struct clfcn_weights_file f = { .metadata = calloc(1, size + 1) };
    memcpy(f.metadata, data, size);
    const int rc = clfcn_checkpoint_read_info(&f, "input", &info, err);
    FUZZ_ASSERT((rc == CLFCN_OK) == info.has_metadata);
    clfcn_checkpoint_info_free(&info);
    free(f.metadata);
    return rc;
}

static int read_bench(const uint8_t *data, size_t size, struct clfcn_err *err)
{
    struct clfcn_bench_run runs[CLFCN_BENCH_RUNS];
    int count = 0;
    const int rc =
        clfcn_bench_file_read(fuzz_file("bench.json", data, size), runs, &count, err);
    for (int i = 0; i < count; ++i) {
        clfcn_bench_run_free(&runs[i]);
    }
    return rc;
}

/* The first line is config.json, the others are the log. */
static int read_log(const uint8_t *data, size_t size, struct clfcn_err *err)
{
    struct clfcn_history history;
    const uint8_t *end = memchr(data, '\n', size);
    const size_t first = end ? (size_t)(end - data) : size;
    fuzz_file("config.json", data, first);
    fuzz_file("log.jsonl", data + first, size - first);
    const int rc = clfcn_history_read(&history, fuzz_path(""), err);
    clfcn_history_close(&history);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int (*const readers[])(const uint8_t *, size_t,
                                  struct clfcn_err *) = { read_metadata, read_bench,
                                                          read_log };
    struct clfcn_err err;
    if (size > 0) {
        const int rc = readers[*data % 3](data + 1, size - 1, &err);
        fuzz_check_message(rc, &err);
    }
    return 0;
}
