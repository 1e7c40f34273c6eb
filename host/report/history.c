/* history.c - a run folder read back. */
#include "history.h"
#include "../util/file.h"
#include "../util/json.h"
#include "../util/path.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG = 1 << 20 };

/* A pipe in its place would be waited for. One that is missing is found by opening it. */
static int check_file(const char *path, struct clfcn_err *err)
{
    return clfcn_path_is_file(path) || !clfcn_path_exists(path)
               ? CLFCN_OK
               : clfcn_err_set(err, CLFCN_EDATA, 0, "%s: no regular file", path);
}

static int read_config(struct clfcn_history *h, struct clfcn_err *err)
{
    char *text = NULL;
    size_t size = 0;
    char *path = clfcn_path_join(h->dir, "config.json");
    int rc = path ? check_file(path, err) : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = clfcn_file_read(path, MAX_CONFIG, &text, &size, err);
    }
    free(path);
    if (rc < 0) {
        return rc;
    }
    h->config = clfcn_json_read(text, size, 0, NULL, &rc, err);
    free(text);
    if (rc == CLFCN_ENOMEM) {
        return rc;
    }
    if (!json_is_object(h->config)) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "config.json: not a JSON object");
    }
    const char *classes = json_string_value(json_object_get(h->config, "classes-text"));
    if (!classes) {
        return CLFCN_OK;
    }
    rc = clfcn_classes_parse(classes, "config.json", &h->classes, err);
    if (rc == CLFCN_EDATA) { /* the report can do without names */
        h->classes = (struct clfcn_classes){ 0 };
        rc = CLFCN_OK;
    }
    return rc;
}

static int open_log(struct clfcn_history *h, struct clfcn_err *err)
{
    char *path = clfcn_path_join(h->dir, "log.jsonl");
    if (!path) {
        return clfcn_err_nomem(err);
    }
    int rc = check_file(path, err);
    h->log = rc < 0 ? NULL : clfcn_file_open_read(path);
    if (rc == CLFCN_OK && !h->log) {
        rc = clfcn_err_errno(err, errno, "%s", path);
    }
    free(path);
    return rc;
}

char *clfcn_history_name(const char *dir)
{
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/') {
        --n;
    }
    char *copy = strndup(dir, n);
    char *name = copy ? strdup(clfcn_path_base(copy)) : NULL;
    free(copy);
    return name;
}

int clfcn_history_open(struct clfcn_history *h, const char *dir, struct clfcn_err *err)
{
    *h = (struct clfcn_history){ .dir = strdup(dir),
                                 .name = clfcn_history_name(dir),
                                 .stretch_steps = 1,
                                 .last_loss = NAN,
                                 .last_lr = NAN,
                                 .last_ms = NAN,
                                 .best = -1 };
    if (!h->dir || !h->name) {
        return clfcn_err_nomem(err);
    }
    int rc = read_config(h, err);
    if (rc == CLFCN_OK) {
        rc = open_log(h, err);
    }
    if (rc == CLFCN_EIO) { /* an unreadable file makes the folder bad input */
        rc = CLFCN_EDATA;
        if (err) {
            err->code = rc;
        }
    }
    if (rc < 0) {
        clfcn_err_note(err, "%s is no run folder", dir);
    }
    return rc;
}

static void free_samples(struct clfcn_history *h)
{
    for (int i = 0; i < h->sample_count; ++i) {
        free(h->samples[i].file);
    }
    free(h->samples);
    h->samples = NULL;
    h->sample_count = 0;
}

/* The epoch of samples/epoch-0001-NAME.png, 0 if the file is none of these. */
static int epoch_of(const char *name)
{
    int epoch = 0;
    const bool fits = sscanf(name, "epoch-%9d-", &epoch) == 1 && epoch > 0 &&
                      strcmp(clfcn_path_ext(name), "png") == 0;
    return fits ? epoch : 0;
}

static int keep_samples(struct clfcn_history *h, char **names, int count,
                        struct clfcn_err *err)
{
    int first = 0, last = 0;
    for (int i = 0; i < count; ++i) {
        const int e = epoch_of(names[i]);
        first = e && (!first || e < first) ? e : first;
        last = e > last ? e : last;
    }
    h->samples = calloc((size_t)count + 1, sizeof(*h->samples));
    if (!h->samples) {
        return clfcn_err_nomem(err);
    }
    for (int i = 0; i < count; ++i) {
        const int e = epoch_of(names[i]);
        if (!e || (e != first && e != last)) {
            continue;
        }
        char *file = strdup(names[i]);
        if (!file) {
            return clfcn_err_nomem(err);
        }
        h->samples[h->sample_count++] = (struct clfcn_history_sample){ file, e };
    }
    return CLFCN_OK;
}

int clfcn_history_find_samples(struct clfcn_history *h, struct clfcn_err *err)
{
    char **names = NULL;
    int count = 0, rc = CLFCN_OK;
    char *dir = clfcn_path_join(h->dir, "samples");
    if (!dir) {
        return clfcn_err_nomem(err);
    }
    free_samples(h);
    bool found = false;
    rc = clfcn_path_find(dir, &found, err);
    if (rc == CLFCN_OK && found) { /* a missing folder means that there are none */
        rc = clfcn_path_list(dir, &names, &count, err);
    }
    if (rc == CLFCN_OK) {
        rc = keep_samples(h, names, count, err);
    }
    clfcn_path_list_free(names, count);
    free(dir);
    return rc;
}

int clfcn_history_read(struct clfcn_history *h, const char *dir, struct clfcn_err *err)
{
    int rc = clfcn_history_open(h, dir, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_history_follow(h, -1, err);
    }
    return rc < 0 ? rc : clfcn_history_find_samples(h, err);
}

void clfcn_history_close(struct clfcn_history *h)
{
    for (int i = 0; i < h->epoch_count; ++i) {
        free(h->epochs[i].iou);
    }
    free_samples(h);
    clfcn_classes_free(&h->classes);
    json_decref(h->config);
    json_decref(h->start);
    json_decref(h->why);
    json_decref(h->ranks);
    if (h->log) {
        fclose(h->log);
    }
    free(h->dir);
    free(h->name);
    *h = (struct clfcn_history){ 0 };
}

const struct clfcn_history_epoch *clfcn_history_best(const struct clfcn_history *h)
{
    return h->epoch_count > 0 && h->best >= 0 ? &h->epochs[h->best] : NULL;
}
