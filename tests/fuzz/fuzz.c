/* fuzz.c - what fuzz targets share: files for parsers that want a path, and checks. */
#include "fuzz.h"
#include "../../host/util/err.h"
#include "../../host/util/path.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *folder;

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
    if (!folder) {
        FUZZ_ASSERT(clfcn_path_make_temp(&folder, NULL) == CLFCN_OK);
        atexit(remove_folder);
    }
    snprintf(path, sizeof(path), "%s%s%s", folder, *name ? "/" : "", name);
    return path;
}

const char *fuzz_file(const char *name, const void *data, size_t size)
{
    const char *path = fuzz_path(name);
    FILE *f = fopen(path, "wb");
    FUZZ_ASSERT(f && fwrite(data, 1, size, f) == size && fclose(f) == 0);
    return path;
}

void fuzz_check_message(int rc, const struct clfcn_err *err)
{
    if (rc < 0) {
        FUZZ_ASSERT(rc == CLFCN_EDATA || rc == CLFCN_ENOMEM);
        FUZZ_ASSERT(err->code == rc && err->msg[0]);
        for (const char *s = err->msg; *s; ++s) {
            FUZZ_ASSERT((unsigned char)*s >= ' ' && *s != 0x7f);
        }
    }
}
