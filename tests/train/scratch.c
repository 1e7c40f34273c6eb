/* scratch.c - a folder for one test's files. */
#define _XOPEN_SOURCE 700
#include "scratch.h"

#include "../../host/util/file.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char folder[SCRATCH_PATH / 2];

int scratch_make(void **state)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof(folder), "%s/clfcn-train-XXXXXX", tmp != NULL ? tmp : "/tmp");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *st, int flag,
                        struct FTW *ftw)
{
    return remove(path);
}

int scratch_remove(void **state)
{
    return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

const char *scratch_path(char *buf, const char *name)
{
    snprintf(buf, SCRATCH_PATH, "%s/%s", folder, name);
    return buf;
}

char *scratch_read(const char *name, size_t *size)
{
    char path[SCRATCH_PATH], *data;
    struct clfcn_err err;
    if (clfcn_file_read(scratch_path(path, name), 0, &data, size, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    return data;
}

void scratch_same_tensor(const struct clfcn_weights_file *fa,
                         const struct clfcn_weights_tensor *a,
                         const struct clfcn_weights_file *fb,
                         const struct clfcn_weights_tensor *b)
{
    struct clfcn_err err = { 0 };
    assert_int_equal(a->bytes, b->bytes);
    void *of_a = malloc(a->bytes + 1), *of_b = malloc(a->bytes + 1);
    assert_true(of_a && of_b);
    if (clfcn_weights_read(fa, a->offset, of_a, a->bytes, &err) < 0 ||
        clfcn_weights_read(fb, b->offset, of_b, b->bytes, &err) < 0) {
        fail_msg("%s: %s", a->name, err.msg);
    }
    if (memcmp(of_a, of_b, a->bytes) != 0) {
        fail_msg("%s differs", a->name);
    }
    free(of_a);
    free(of_b);
}
