/* history.c - a run folder read back. */
#include "history.h"
#include "../util/file.h"
#include "../util/path.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double number(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

/* Make room for one more element; the count is the caller's to raise. */
static int grow(void *array, int count, int *capacity, size_t size, struct clfcn_err *err)
{
    void **list = array;
    if (count < *capacity) {
        return CLFCN_OK;
    }
    int wanted = *capacity ? 2 * *capacity : 256;
    void *larger = realloc(*list, (size_t)wanted * size);
    if (!larger) {
        return clfcn_err_nomem(err);
    }
    *list = larger;
    *capacity = wanted;
    return CLFCN_OK;
}

static int add_step(struct clfcn_history *h, const json_t *event, struct clfcn_err *err)
{
    void *list = h->steps;
    int rc = grow(&list, h->step_count, &h->step_capacity, sizeof(*h->steps), err);
    h->steps = list;
    if (rc < 0) {
        return rc;
    }
    h->steps[h->step_count++] = (struct clfcn_history_step){
        .loss = number(event, "loss"),
        .lr = number(event, "lr"),
        .ms = number(event, "ms"),
    };
    return CLFCN_OK;
}

static int add_epoch(struct clfcn_history *h, const json_t *event, struct clfcn_err *err)
{
    void *list = h->epochs;
    int rc = grow(&list, h->epoch_count, &h->epoch_capacity, sizeof(*h->epochs), err);
    h->epochs = list;
    if (rc < 0) {
        return rc;
    }
    const json_t *iou = json_object_get(event, "iou");
    int classes = (int)json_array_size(iou);
    double *values = calloc((size_t)classes + 1, sizeof(*values));
    if (!values) {
        return clfcn_err_nomem(err);
    }
    for (int c = 0; c < classes; ++c) {
        const json_t *v = json_array_get(iou, (size_t)c);
        values[c] = json_is_number(v) ? json_number_value(v) : NAN;
    }
    double epoch = number(event, "epoch");
    h->epochs[h->epoch_count] = (struct clfcn_history_epoch){
        .number = epoch >= 0 && epoch < 1e9 ? (int)epoch + 1 : h->epoch_count + 1,
        .step = h->step_count,
        .train_loss = number(event, "train_loss"),
        .val_loss = number(event, "val_loss"),
        .pixel_acc = number(event, "pixel_acc"),
        .mean_acc = number(event, "mean_acc"),
        .mean_iou = number(event, "mean_iou"),
        .fw_iou = number(event, "fw_iou"),
        .seconds = number(event, "seconds"),
        .wait_s = number(event, "wait_s"),
        .images_per_s = number(event, "images_per_s"),
        .iou = values,
        .iou_count = classes,
    };
    ++h->epoch_count;
    return CLFCN_OK;
}

static int take_event(void *user, json_t *event, struct clfcn_err *err)
{
    struct clfcn_history *h = user;
    const char *kind = json_string_value(json_object_get(event, "event"));
    if (!kind) {
        return CLFCN_OK;
    }
    if (strcmp(kind, "step") == 0) {
        return add_step(h, event, err);
    }
    if (strcmp(kind, "epoch") == 0) {
        return add_epoch(h, event, err);
    }
    if (strcmp(kind, "start") == 0) {
        json_decref(h->start);
        h->start = json_incref(event);
    }
    return CLFCN_OK;
}

/* An unreadable file of the folder makes the folder bad input. */
static int read_text(const char *dir, const char *name, char **text, size_t *size,
                     struct clfcn_err *err)
{
    char *path = clfcn_path_join(dir, name);
    int rc = path ? clfcn_file_read(path, 0, text, size, err) : clfcn_err_nomem(err);
    free(path);
    if (rc == CLFCN_EIO) {
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

int clfcn_history_events(const char *dir, clfcn_history_event_fn take, void *user,
                         struct clfcn_err *err)
{
    char *text = NULL;
    size_t size = 0;
    int rc = read_text(dir, "log.jsonl", &text, &size, err);
    for (const char *line = text; rc == CLFCN_OK && line < text + size;) {
        size_t n = strcspn(line, "\n");
        json_t *event = json_loadb(line, n, 0, NULL);
        rc = event ? take(user, event, err) : CLFCN_OK;
        json_decref(event);
        line += n + 1;
    }
    free(text);
    return rc;
}

static int read_config(struct clfcn_history *h, struct clfcn_err *err)
{
    char *text = NULL;
    size_t size = 0;
    int rc = read_text(h->dir, "config.json", &text, &size, err);
    if (rc < 0) {
        return rc;
    }
    json_error_t error;
    h->config = json_loadb(text, size, 0, &error);
    free(text);
    if (!json_is_object(h->config)) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "%s/config.json: not a JSON object",
                             h->dir);
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

/* samples/epoch-0001-NAME.png. A missing folder means that there are none. */
static int read_samples(struct clfcn_history *h, struct clfcn_err *err)
{
    char **names = NULL;
    int count = 0, rc = CLFCN_OK;
    char *dir = clfcn_path_join(h->dir, "samples");
    if (!dir) {
        return clfcn_err_nomem(err);
    }
    if (clfcn_path_is_dir(dir)) {
        rc = clfcn_path_list(dir, &names, &count, err);
    }
    if (rc == CLFCN_OK && count > 0) {
        h->samples = calloc((size_t)count, sizeof(*h->samples));
        rc = h->samples ? CLFCN_OK : clfcn_err_nomem(err);
    }
    for (int i = 0; i < count && rc == CLFCN_OK; ++i) {
        int epoch = 0;
        if (sscanf(names[i], "epoch-%9d-", &epoch) != 1 ||
            strcmp(clfcn_path_ext(names[i]), "png") != 0) {
            continue;
        }
        char *file = strdup(names[i]);
        rc = file ? CLFCN_OK : clfcn_err_nomem(err);
        h->samples[h->sample_count] = (struct clfcn_history_sample){ file, epoch };
        h->sample_count += file != NULL;
    }
    clfcn_path_list_free(names, count);
    free(dir);
    return rc;
}

/* "runs/a/" is called "a". */
static char *folder_name(const char *dir)
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

int clfcn_history_read(struct clfcn_history *h, const char *dir, struct clfcn_err *err)
{
    *h = (struct clfcn_history){ .dir = strdup(dir), .name = folder_name(dir) };
    int rc = h->dir && h->name ? CLFCN_OK : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = read_config(h, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_history_events(h->dir, take_event, h, err);
    }
    return rc < 0 ? rc : read_samples(h, err);
}

void clfcn_history_free(struct clfcn_history *h)
{
    for (int i = 0; i < h->epoch_count; ++i) {
        free(h->epochs[i].iou);
    }
    for (int i = 0; i < h->sample_count; ++i) {
        free(h->samples[i].file);
    }
    clfcn_classes_free(&h->classes);
    json_decref(h->config);
    json_decref(h->start);
    free(h->steps);
    free(h->epochs);
    free(h->samples);
    free(h->dir);
    free(h->name);
    *h = (struct clfcn_history){ 0 };
}

const struct clfcn_history_epoch *clfcn_history_best(const struct clfcn_history *h)
{
    const struct clfcn_history_epoch *best = NULL;
    for (int i = 0; i < h->epoch_count; ++i) {
        const struct clfcn_history_epoch *e = &h->epochs[i];
        if (isfinite(e->mean_iou) && (!best || e->mean_iou > best->mean_iou)) {
            best = e;
        }
    }
    return best;
}
