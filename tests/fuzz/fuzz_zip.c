/* torch.save()'s archives with their checksums right: the input is the pickle, stored or
 * compressed, and what it calls storages 0 to 3 is there. */
#include "../../host/net/weights_file.h"
#include "fuzz.h"
#include <stdlib.h>
#include <zip.h>

static const uint8_t numbers[4096];

static void add(zip_t *archive, const char *name, const void *data, size_t size,
                int method)
{
    const zip_int64_t i =
        zip_file_add(archive, name, zip_source_buffer(archive, data, size, 0), 0);
    FUZZ_ASSERT(i >= 0 &&
                zip_set_file_compression(archive, (zip_uint64_t)i, method, 1) == 0);
}

/* The archive's bytes, to be freed by the caller. */
static void *make_archive(const uint8_t *pickle, size_t size, int method, size_t *length)
{
    zip_source_t *source = zip_source_buffer_create(NULL, 0, 0, NULL);
    zip_t *archive = zip_open_from_source(source, ZIP_TRUNCATE, NULL);
    FUZZ_ASSERT(archive);
    zip_source_keep(source);
    add(archive, "a/data.pkl", pickle, size, method);
    add(archive, "a/byteorder", "little", 6, ZIP_CM_STORE);
    add(archive, "a/data/0", numbers, sizeof(numbers), method);
    add(archive, "a/data/1", numbers, 256, ZIP_CM_STORE);
    add(archive, "a/data/2", numbers, 8, ZIP_CM_STORE);
    add(archive, "a/data/3", numbers, 0, ZIP_CM_STORE);
    FUZZ_ASSERT(zip_close(archive) == 0);
    zip_stat_t st;
    FUZZ_ASSERT(zip_source_stat(source, &st) == 0 && zip_source_open(source) == 0);
    void *bytes = malloc(st.size);
    FUZZ_ASSERT(zip_source_read(source, bytes, st.size) == (zip_int64_t)st.size);
    zip_source_close(source);
    zip_source_free(source);
    *length = st.size;
    return bytes;
}

void fuzz_one(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return;
    }
    size_t length;
    const bool held = fuzz_memory_hold(true);
    void *bytes = make_archive(data + 1, size - 1,
                               *data & 1 ? ZIP_CM_DEFLATE : ZIP_CM_STORE, &length);
    fuzz_memory_hold(held);
    struct clfcn_weights_file f;
    struct clfcn_err err;
    const int rc = clfcn_weights_open_memory(bytes, length, &f, &err);
    fuzz_check_message(rc, &err);
    fuzz_read_tensors(&f);
    clfcn_weights_close(&f);
    free(bytes);
}
