/* Compiled programs and the drivers that passed, by the input's first byte; as they are,
 * or with key and check sum put right, as nearly every change would end there. */
#include "../../host/device/cache.h"
#include "../../host/device/driver.h"
#include "../../host/util/hash.h"
#include "../../host/util/path.h"
#include "fuzz.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DRIVER = 1, MENDED = 2, NO_SUM = 4 };

static const char key[] = "source 1\noptions -D A\n";

/* The one file of a folder in the cache, once store() has written it; good until the next
 * call. */
static const char *find_file(const char *folder)
{
    static char name[300];
    char **names = NULL, *dir = clfcn_path_join(fuzz_path(""), folder);
    int count = 0;
    FUZZ_ASSERT(dir && clfcn_path_list(dir, &names, &count, NULL) == CLFCN_OK);
    FUZZ_ASSERT(count == 1);
    snprintf(name, sizeof(name), "%s/%s", folder, names[0]);
    clfcn_path_list_free(names, count);
    free(dir);
    return name;
}

/* header: magic, bytes of key and program, hash of both. */
static void check_program(uint8_t *file, size_t size, bool mended)
{
    enum { HASH_AT = 24, KEY_AT = 32 };
    const bool held = fuzz_memory_hold(true);
    if (mended && size >= KEY_AT) {
        const uint64_t hash = clfcn_hash(CLFCN_HASH_INIT, file + KEY_AT, size - KEY_AT);
        memcpy(file + HASH_AT, &hash, sizeof(hash));
    }
    clfcn_cache_store(key, "x", 1);
    fuzz_file(find_file("kernels"), file, size);
    fuzz_memory_hold(held);
    size_t n = 1;
    void *program = clfcn_cache_load(key, &n);
    FUZZ_ASSERT(program || !n || fuzz_memory_refused());
    if (program) {
        FUZZ_ASSERT(n == size - KEY_AT - strlen(key));
        FUZZ_ASSERT(memcmp(program, file + size - n, n) == 0);
    }
    free(program);
}

static void check_driver(const uint8_t *file, size_t size, bool mended, bool sum)
{
    static char path[] = "/bin/sh", library[] = "libnone.so";
    struct clfcn_driver driver = { .icd = { .library = library }, .path = path };
    const bool held = fuzz_memory_hold(true);
    clfcn_verdict_store(&driver);
    const char *name = find_file("drivers");
    char text[8192] = "";
    size_t n = 0;
    if (mended) { /* what is stored up to the library's path is the key */
        FILE *f = fopen(fuzz_path(name), "rb");
        FUZZ_ASSERT(f);
        n = fread(text, 1, 4096, f);
        fclose(f);
        n -= strlen(strstr(text, path));
    }
    size = size < 4096 ? size : 4096;
    memcpy(text + n, file, size);
    n += size;
    if (sum) {
        n += (size_t)snprintf(text + n, 32, "sum %016" PRIx64 "\n",
                              clfcn_hash(CLFCN_HASH_INIT, text, n));
    }
    fuzz_file(name, text, n);
    fuzz_memory_hold(held);
    if (clfcn_verdict_load(&driver)) {
        FUZZ_ASSERT(mended && sum && memchr(file, '\n', size));
        FUZZ_ASSERT(driver.state == CLFCN_DRIVER_SOUND ||
                    driver.state == CLFCN_DRIVER_IDLE);
    }
}

void fuzz_one(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return;
    }
    setenv("CLFCN_CACHE_DIR", fuzz_path(""), 1);
    char *copy = fuzz_text(data + 1, size - 1);
    if (*data & DRIVER) {
        check_driver((const uint8_t *)copy, size - 1, *data & MENDED, !(*data & NO_SUM));
    } else {
        check_program((uint8_t *)copy, size - 1, *data & MENDED);
    }
    free(copy);
}
