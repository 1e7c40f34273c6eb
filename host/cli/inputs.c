/* inputs.c - the pictures that `clfcn predict` was given, and its results' names. */
#include "inputs.h"
#include "../data/image.h"
#include "../util/path.h"
#include "../util/strbuf.h"
#include "cli.h"
#include <stdlib.h>
#include <string.h>

/* Takes path over, also on error. */
static int add(struct cli_inputs *in, char *path, struct clfcn_err *err)
{
    if (!path) {
        return clfcn_err_nomem(err);
    }
    if (in->count == in->capacity) {
        int capacity = in->capacity ? 2 * in->capacity : 64;
        void *list = realloc(in->list, (size_t)capacity * sizeof(*in->list));
        if (!list) {
            free(path);
            return clfcn_err_nomem(err);
        }
        in->list = list;
        in->capacity = capacity;
    }
    char *stem = clfcn_path_stem(path);
    if (!stem) {
        free(path);
        return clfcn_err_nomem(err);
    }
    in->list[in->count++] = (struct cli_input_file){ path, stem };
    return CLFCN_OK;
}

static int add_folder(struct cli_inputs *in, const char *dir, struct clfcn_err *err)
{
    char **names = NULL;
    int count = 0, before = in->count;
    int rc = cli_input(clfcn_path_list(dir, &names, &count, err), err);
    for (int i = 0; i < count && rc == CLFCN_OK; ++i) {
        if (clfcn_image_name_ok(names[i])) {
            rc = add(in, clfcn_path_join(dir, names[i]), err);
        }
    }
    clfcn_path_list_free(names, count);
    if (rc == CLFCN_OK && in->count == before) {
        rc = clfcn_err_set(err, CLFCN_EDATA, 0, "%s: holds no picture (png, jpg, jpeg)",
                           dir);
    }
    return rc;
}

static int by_stem(const void *a, const void *b)
{
    const struct cli_input_file *const *x = a, *const *y = b;
    return strcmp((*x)->stem, (*y)->stem);
}

static int check_stems(const struct cli_inputs *in, struct clfcn_err *err)
{
    const struct cli_input_file **sorted = calloc((size_t)in->count + 1, sizeof(*sorted));
    if (!sorted) {
        return clfcn_err_nomem(err);
    }
    for (int i = 0; i < in->count; ++i) {
        sorted[i] = &in->list[i];
    }
    qsort(sorted, (size_t)in->count, sizeof(*sorted), by_stem);
    int rc = CLFCN_OK;
    for (int i = 1; i < in->count && rc == CLFCN_OK; ++i) {
        if (strcmp(sorted[i - 1]->path, sorted[i]->path) == 0) {
            rc = clfcn_err_set(err, CLFCN_EDATA, 0, "%s is given twice", sorted[i]->path);
        } else if (strcmp(sorted[i - 1]->stem, sorted[i]->stem) == 0) {
            rc = clfcn_err_set(
                err, CLFCN_EDATA, 0,
                "%s and %s would both become %s.png: predict them into different "
                "folders",
                sorted[i - 1]->path, sorted[i]->path, sorted[i]->stem);
        }
    }
    free(sorted);
    return rc;
}

/* A result must not replace a picture it may have been made from. */
static int check_overwrite(const struct cli_inputs *in, const char *out,
                           struct clfcn_err *err)
{
    for (int i = 0; i < in->count; ++i) {
        char *result = cli_inputs_result(&in->list[i], out, "png");
        if (!result) {
            return clfcn_err_nomem(err);
        }
        char *a = realpath(result, NULL);
        char *b = a ? realpath(in->list[i].path, NULL) : NULL;
        bool same = a && b && strcmp(a, b) == 0;
        free(a);
        free(b);
        free(result);
        if (same) {
            return clfcn_err_set(
                err, CLFCN_EDATA, 0,
                "%s would be replaced by its own mask: choose another --out",
                in->list[i].path);
        }
    }
    return CLFCN_OK;
}

int cli_inputs_gather(struct cli_inputs *in, const char *const *paths, int count,
                      const char *out, struct clfcn_err *err)
{
    *in = (struct cli_inputs){ 0 };
    for (int i = 0; i < count; ++i) {
        int rc = clfcn_path_is_dir(paths[i]) ? add_folder(in, paths[i], err)
                                             : add(in, strdup(paths[i]), err);
        if (rc < 0) {
            return rc;
        }
    }
    int rc = check_stems(in, err);
    return rc < 0 ? rc : check_overwrite(in, out, err);
}

void cli_inputs_free(struct cli_inputs *in)
{
    for (int i = 0; i < in->count; ++i) {
        free(in->list[i].path);
        free(in->list[i].stem);
    }
    free(in->list);
    *in = (struct cli_inputs){ 0 };
}

char *cli_inputs_result(const struct cli_input_file *file, const char *out,
                        const char *suffix)
{
    struct clfcn_strbuf name = { 0 };
    clfcn_strbuf_add(&name, "%s.%s", file->stem, suffix);
    char *path = name.failed ? NULL : clfcn_path_join(out, name.str);
    clfcn_strbuf_free(&name);
    return path;
}
