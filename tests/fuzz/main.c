/* main.c - runs a fuzz target on files, and on the files in folders, where there is no
 * libFuzzer to do it: the inputs as a regression test. */
#include "../../host/util/file.h"
#include "../../host/util/path.h"
#include "fuzz.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run_file(const char *path)
{
    char *data;
    size_t size;
    struct clfcn_err err;
    if (clfcn_file_read(path, 0, &data, &size, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    /* Without the zero that ends it, so that reading past the end shows. */
    uint8_t *input = malloc(size ? size : 1);
    if (input) {
        memcpy(input, data, size);
        LLVMFuzzerTestOneInput(input, size);
    }
    free(input);
    free(data);
    return 0;
}

static int run_folder(const char *dir)
{
    char **names;
    int count, failed = 0;
    struct clfcn_err err;
    if (clfcn_path_list(dir, &names, &count, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    for (int i = 0; i < count; ++i) {
        char *path = clfcn_path_join(dir, names[i]);
        failed += run_file(path);
        free(path);
    }
    printf("%s: %d inputs\n", dir, count);
    clfcn_path_list_free(names, count);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; ++i) {
        failed += clfcn_path_is_dir(argv[i]) ? run_folder(argv[i]) : run_file(argv[i]);
    }
    return failed > 0;
}
