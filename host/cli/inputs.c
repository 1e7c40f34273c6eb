/* inputs.c - the pictures that `clfcn predict` was given, and its results' names. */
#include "inputs.h"
#include "../data/image.h"
#include "../util/path.h"
#include "../util/strbuf.h"
#include "cli.h"
#include <stdlib.h>
#include <string.h>

/* A folder on the way down from one that was given. */
struct level {
    const char *real; /* path without symbolic links */
    const struct level *above;
};

/* Takes path over, also on error. prefix goes before the stem: "sub/", or "". */
static int add(struct cli_inputs *in, char *path, const char *prefix,
               struct clfcn_err *err)
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
    struct clfcn_strbuf name = { 0 };
    char *stem = clfcn_path_stem(path);
    clfcn_strbuf_add(&name, "%s%s", prefix, stem ? stem : "");
    const bool failed = !stem || name.failed;
    free(stem);
    if (failed) {
        free(path);
        clfcn_strbuf_free(&name);
        return clfcn_err_nomem(err);
    }
    in->list[in->count++] = (struct cli_input_file){ path, name.str };
    return CLFCN_OK;
}

static int add_files(struct cli_inputs *in, const char *dir, const char *prefix,
                     struct clfcn_err *err)
{
    char **names = NULL;
    int count = 0;
    int rc = cli_input(clfcn_path_list(dir, &names, &count, err), err);
    for (int i = 0; i < count && rc == CLFCN_OK; ++i) {
        if (clfcn_image_name_ok(names[i])) {
            rc = add(in, clfcn_path_join(dir, names[i]), prefix, err);
        }
    }
    clfcn_path_list_free(names, count);
    return rc;
}

/* Whether a folder is the results' own, or one that a link leads back to. */
static bool is_to_be_left_out(const char *real, const struct level *above,
                              const char *out)
{
    char *results = realpath(out, NULL);
    bool found = results && strcmp(results, real) == 0;
    free(results);
    for (; above && !found; above = above->above) {
        found = strcmp(above->real, real) == 0;
    }
    return found;
}

static int add_tree(struct cli_inputs *in, const struct cli_inputs_ask *ask,
                    const char *dir, const char *prefix, const struct level *above,
                    struct clfcn_err *err);

static int add_subfolder(struct cli_inputs *in, const struct cli_inputs_ask *ask,
                         const char *dir, const char *prefix, const char *name,
                         const struct level *above, struct clfcn_err *err)
{
    struct clfcn_strbuf below = { 0 };
    char *path = clfcn_path_join(dir, name);
    clfcn_strbuf_add(&below, "%s%s/", prefix, name);
    const int rc = path && !below.failed ? add_tree(in, ask, path, below.str, above, err)
                                         : clfcn_err_nomem(err);
    clfcn_strbuf_free(&below);
    free(path);
    return rc;
}

/* The pictures in dir and, if they are asked for, in the folders below. */
static int add_tree(struct cli_inputs *in, const struct cli_inputs_ask *ask,
                    const char *dir, const char *prefix, const struct level *above,
                    struct clfcn_err *err)
{
    char **names = NULL, *real = ask->recursive ? realpath(dir, NULL) : NULL;
    const struct level here = { real, above };
    int count = 0, rc = CLFCN_OK;
    if (real && above && is_to_be_left_out(real, above, ask->out)) {
        free(real);
        return CLFCN_OK;
    }
    rc = add_files(in, dir, prefix, err);
    if (rc == CLFCN_OK && real) {
        rc = cli_input(clfcn_path_list_dirs(dir, &names, &count, err), err);
    }
    for (int i = 0; i < count && rc == CLFCN_OK; ++i) {
        rc = add_subfolder(in, ask, dir, prefix, names[i], &here, err);
    }
    clfcn_path_list_free(names, count);
    free(real);
    return rc;
}

static int add_folder(struct cli_inputs *in, const struct cli_inputs_ask *ask,
                      const char *dir, struct clfcn_err *err)
{
    const int before = in->count;
    const int rc = add_tree(in, ask, dir, "", NULL, err);
    if (rc == CLFCN_OK && in->count == before) {
        return clfcn_err_set(
            err, CLFCN_EDATA, 0, "%s: holds no picture (png, jpg, jpeg)%s", dir,
            ask->recursive ? "" : "; --recursive looks into its folders");
    }
    return rc;
}

static int by_stem(const void *a, const void *b)
{
    const struct cli_input_file *const *x = a, *const *y = b;
    return strcmp((*x)->stem, (*y)->stem);
}

static int same_result(const struct cli_input_file *a, const struct cli_input_file *b,
                       struct clfcn_err *err)
{
    return clfcn_err_set(err, CLFCN_EDATA, 0,
                         "%s and %s would both become %s.png: predict them into "
                         "different folders, or give the folder that holds theirs and "
                         "--recursive",
                         a->path, b->path, a->stem);
}

/* Whether a result of file besides its mask is another input's mask. */
static int check_extra(const struct cli_input_file *file,
                       const struct cli_inputs_ask *ask,
                       const struct cli_input_file *const *sorted, int count,
                       struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int i = 0; i < ask->extra_count && rc == CLFCN_OK; ++i) {
        struct clfcn_strbuf stem = { 0 };
        clfcn_strbuf_add(&stem, "%s.%s", file->stem, ask->extra[i]);
        const struct cli_input_file key = { NULL, stem.str }, *wanted = &key;
        const struct cli_input_file *const *found =
            stem.failed
                ? NULL
                : bsearch(&wanted, sorted, (size_t)count, sizeof(*sorted), by_stem);
        if (stem.failed) {
            rc = clfcn_err_nomem(err);
        } else if (found) {
            rc = same_result(*found, file, err);
        }
        clfcn_strbuf_free(&stem);
    }
    return rc;
}

static int check_names(const struct cli_inputs *in, const struct cli_inputs_ask *ask,
                       struct clfcn_err *err)
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
            rc = same_result(sorted[i - 1], sorted[i], err);
        }
    }
    for (int i = 0; i < in->count && rc == CLFCN_OK; ++i) {
        rc = check_extra(&in->list[i], ask, sorted, in->count, err);
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

int cli_inputs_gather(struct cli_inputs *in, const struct cli_inputs_ask *ask,
                      struct clfcn_err *err)
{
    *in = (struct cli_inputs){ 0 };
    for (int i = 0; i < ask->count; ++i) {
        const char *path = ask->paths[i];
        int rc = clfcn_path_is_dir(path) ? add_folder(in, ask, path, err)
                                         : add(in, strdup(path), "", err);
        if (rc < 0) {
            return rc;
        }
    }
    int rc = check_names(in, ask, err);
    return rc < 0 ? rc : check_overwrite(in, ask->out, err);
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

int cli_inputs_make_folders(const struct cli_inputs *in, const char *out,
                            struct clfcn_err *err)
{
    int rc = clfcn_path_mkdir(out, 0777, err);
    for (int i = 0; i < in->count && rc == CLFCN_OK; ++i) {
        const char *stem = in->list[i].stem, *slash = strrchr(stem, '/');
        const size_t n = slash ? (size_t)(slash - stem) + 1 : 0;
        if (n == 0 || (i > 0 && strncmp(stem, in->list[i - 1].stem, n) == 0)) {
            continue; /* out itself, or the folder of the one before */
        }
        struct clfcn_strbuf dir = { 0 };
        clfcn_strbuf_add(&dir, "%s/%.*s", out, (int)n - 1, stem);
        rc = dir.failed ? clfcn_err_nomem(err) : clfcn_path_mkdir(dir.str, 0777, err);
        clfcn_strbuf_free(&dir);
    }
    return rc;
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
