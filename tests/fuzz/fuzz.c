/* fuzz.c - what fuzz targets share: files for parsers that want a path, and checks. */
#include "fuzz.h"
#include "../../host/util/err.h"
#include "../../host/util/hash.h"
#include "../../host/util/path.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *folder;

/* Take data with memory running out at up to most points, spread over all requests. */
static void run_short_of_memory(const uint8_t *data, size_t size, size_t most)
{
    fuzz_memory_begin(0, false);
    fuzz_one(data, size);
    const size_t total = fuzz_memory_end();
    const size_t runs = total < most ? total : most;
    const uint64_t first = total > most ? clfcn_hash(CLFCN_HASH_INIT, data, size) : 0;
    for (size_t i = 0; i < runs; ++i) {
        fuzz_memory_begin((size_t)(first + i * total / runs) % total + 1, i % 2 != 0);
        fuzz_one(data, size);
        fuzz_memory_end();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *runs = getenv("CLFCN_FUZZ_NOMEM");
    if (runs && fuzz_memory_can_end) {
        run_short_of_memory(data, size, strtoul(runs, NULL, 10));
    } else {
        fuzz_one(data, size);
    }
    return 0;
}

void fuzz_fail(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: must hold: %s\n", file, line, what);
    abort();
}

static void remove_files(const char *dir)
{
    char **names, *path;
    int count;
    if (clfcn_path_list(dir, &names, &count, NULL) < 0) {
        return;
    }
    for (int i = 0; i < count; ++i) {
        path = clfcn_path_join(dir, names[i]);
        unlink(path);
        free(path);
    }
    clfcn_path_list_free(names, count);
}

/* At most one level deep. */
static void remove_folder(void)
{
    char **names, *path;
    int count;
    if (clfcn_path_list_dirs(folder, &names, &count, NULL) == CLFCN_OK) {
        for (int i = 0; i < count; ++i) {
            path = clfcn_path_join(folder, names[i]);
            remove_files(path);
            rmdir(path);
            free(path);
        }
        clfcn_path_list_free(names, count);
    }
    remove_files(folder);
    rmdir(folder);
    free(folder);
}

const char *fuzz_path(const char *name)
{
    static char path[512];
    const bool held = fuzz_memory_hold(true);
    if (!folder) {
        FUZZ_ASSERT(clfcn_path_make_temp(&folder, NULL) == CLFCN_OK);
        atexit(remove_folder);
    }
    fuzz_memory_hold(held);
    snprintf(path, sizeof(path), "%s%s%s", folder, *name ? "/" : "", name);
    return path;
}

const char *fuzz_file(const char *name, const void *data, size_t size)
{
    const char *path = fuzz_path(name);
    const bool held = fuzz_memory_hold(true);
    FILE *f = fopen(path, "wb");
    FUZZ_ASSERT(f && fwrite(data, 1, size, f) == size && fclose(f) == 0);
    fuzz_memory_hold(held);
    return path;
}

char *fuzz_text(const uint8_t *data, size_t size)
{
    const bool held = fuzz_memory_hold(true);
    char *text = calloc(1, size + 1);
    FUZZ_ASSERT(text);
    memcpy(text, data, size);
    fuzz_memory_hold(held);
    return text;
}

void fuzz_check_message(int rc, const struct clfcn_err *err)
{
    if (rc < 0) {
        FUZZ_ASSERT(rc == CLFCN_EDATA || rc == CLFCN_ENOMEM ||
                    (rc == CLFCN_EIO && fuzz_memory_refused()));
        FUZZ_ASSERT(err->code == rc && err->msg[0]);
        for (const char *s = err->msg; *s; ++s) {
            FUZZ_ASSERT((unsigned char)*s >= ' ' && *s != 0x7f);
        }
    }
}
