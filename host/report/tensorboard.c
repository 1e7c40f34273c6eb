/* tensorboard.c - a run as an event file that TensorBoard reads. */
#include "tensorboard.h"
#include "../util/file.h"
#include "../util/machine.h"
#include "../util/path.h"
#include "../util/strbuf.h"
#include "../util/sys.h"
#include "history.h"
#include "tensorboard.pb-c.h"
#include "tfrecord.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_PICTURE_BYTES = 4 << 20, MAX_NAMES = 100 /* of files, in one second */ };

/* Seconds after which readers see what was written. */
static const double flush_interval = 2;

struct clfcn_tensorboard {
    struct clfcn_output *out; /* NULL: not open; within atomic, or own */
    struct clfcn_output own;
    char *path;    /* for messages */
    char *run;     /* folder */
    json_t *names; /* of the classes, or NULL */
    struct clfcn_atomic_file atomic;
    bool begun;     /* there is more in it than its version */
    double at;      /* seconds since 1970 at the event before, of a log; NaN: it is now */
    double flushed; /* clock */
};

typedef ClfcnTb__Summary__Value value_t;

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* What errnum, which may be 0, means for the caller. */
static int written(const struct clfcn_tensorboard *tb, int errnum, struct clfcn_err *err)
{
    return errnum == 0 ? CLFCN_OK
                       : clfcn_err_errno(err, errnum, "cannot write %s", tb->path);
}

static int flush(struct clfcn_tensorboard *tb, struct clfcn_err *err)
{
    tb->flushed = clfcn_clock();
    return written(tb, clfcn_output_flush(tb->out), err);
}

/* Append a message, at the file's time. */
static int put(struct clfcn_tensorboard *tb, ClfcnTb__Event *message,
               struct clfcn_err *err)
{
    message->has_wall_time = 1;
    message->wall_time = isnan(tb->at) ? now() : tb->at;
    const size_t n = clfcn_tb__event__get_packed_size(message);
    uint8_t *bytes = malloc(n);
    if (!bytes) {
        return clfcn_err_nomem(err);
    }
    clfcn_tb__event__pack(message, bytes);
    const int rc = written(tb, clfcn_tfrecord_write(tb->out, bytes, n), err);
    free(bytes);
    return rc;
}

static int put_values(struct clfcn_tensorboard *tb, int64_t step, value_t *values,
                      size_t count, struct clfcn_err *err)
{
    ClfcnTb__Summary summary = CLFCN_TB__SUMMARY__INIT;
    ClfcnTb__Event message = CLFCN_TB__EVENT__INIT;
    value_t **list = malloc((count + 1) * sizeof(value_t *));
    if (!list) {
        return clfcn_err_nomem(err);
    }
    for (size_t i = 0; i < count; ++i) {
        list[i] = &values[i];
    }
    summary.n_value = count;
    summary.value = list;
    message.has_step = 1;
    message.step = step;
    message.summary = &summary;
    const int rc = count > 0 ? put(tb, &message, err) : CLFCN_OK;
    free(list);
    return rc;
}

/* Add a scalar behind the *count others, if it is a number. tag is borrowed. */
static void add_scalar(value_t *values, size_t *count, char *tag, const json_t *number)
{
    if (json_is_number(number)) {
        value_t *v = &values[(*count)++];
        clfcn_tb__summary__value__init(v);
        v->tag = tag;
        v->has_simple_value = 1;
        v->simple_value = (float)json_number_value(number);
    }
}

/* The numbers of an event that keys names, NULL-terminated. */
static size_t add_scalars(value_t *values, const json_t *event, char *const *keys)
{
    size_t count = 0;
    for (; *keys; ++keys) {
        add_scalar(values, &count, *keys, json_object_get(event, *keys));
    }
    return count;
}

static int64_t step_of(const json_t *event)
{
    return json_integer_value(json_object_get(event, "step"));
}

/* A field of an event, 0 if it is no number. */
static double number_of(const json_t *event, const char *key)
{
    return json_number_value(json_object_get(event, key));
}

static int put_step(struct clfcn_tensorboard *tb, const json_t *event,
                    struct clfcn_err *err)
{
    static char loss[] = "loss", lr[] = "lr";
    static char *const keys[] = { loss, lr, NULL };
    value_t values[2];
    tb->at += 1e-3 * number_of(event, "ms");
    const size_t count = add_scalars(values, event, keys);
    return put_values(tb, step_of(event), values, count, err);
}

/* "iou/NAME" of class c; a new string. */
static char *class_tag(const struct clfcn_tensorboard *tb, size_t c)
{
    struct clfcn_strbuf tag = { 0 };
    const char *name = json_string_value(json_array_get(tb->names, c));
    if (name) {
        clfcn_strbuf_add(&tag, "iou/%s", name);
    } else {
        clfcn_strbuf_add(&tag, "iou/%zu", c);
    }
    return tag.str;
}

static int put_classes(struct clfcn_tensorboard *tb, const json_t *event,
                       struct clfcn_err *err)
{
    const json_t *iou = json_object_get(event, "iou");
    const size_t classes = json_array_size(iou);
    value_t *values = calloc(classes + 1, sizeof(*values));
    char **tags = calloc(classes + 1, sizeof(*tags));
    size_t count = 0;
    int rc = values && tags ? CLFCN_OK : clfcn_err_nomem(err);
    for (size_t c = 0; c < classes && rc == CLFCN_OK; ++c) {
        tags[c] = class_tag(tb, c);
        rc = tags[c] ? CLFCN_OK : clfcn_err_nomem(err);
        add_scalar(values, &count, tags[c], json_array_get(iou, c));
    }
    if (rc == CLFCN_OK) {
        rc = put_values(tb, step_of(event), values, count, err);
    }
    for (size_t c = 0; tags && c < classes; ++c) {
        free(tags[c]);
    }
    free(tags);
    free(values);
    return rc;
}

/* The picture's side, in the IHDR chunk at its start. */
static int32_t png_side(const char *png, size_t offset)
{
    const unsigned char *b = (const unsigned char *)png + offset;
    return (int32_t)((uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 |
                     b[3]);
}

static int put_picture(struct clfcn_tensorboard *tb, int64_t step, char *tag, char *png,
                       size_t size, struct clfcn_err *err)
{
    enum { WIDTH_AT = 16, HEIGHT_AT = 20, IHDR_END = 33, RGB = 3 };
    if (size < IHDR_END || memcmp(png, "\x89PNG", 4) != 0) {
        return CLFCN_OK; /* the folder is the user's: whatever else lies there */
    }
    ClfcnTb__Summary__Image image = CLFCN_TB__SUMMARY__IMAGE__INIT;
    value_t value = CLFCN_TB__SUMMARY__VALUE__INIT;
    image.has_width = image.has_height = image.has_colorspace = 1;
    image.width = png_side(png, WIDTH_AT);
    image.height = png_side(png, HEIGHT_AT);
    image.colorspace = RGB;
    image.has_encoded_image_string = 1;
    image.encoded_image_string = (ProtobufCBinaryData){ size, (uint8_t *)png };
    value.tag = tag;
    value.image = &image;
    return put_values(tb, step, &value, 1, err);
}

/* samples/NAME of samples/epoch-0001-NAME.png. One that cannot be read is left out. */
static int put_sample(struct clfcn_tensorboard *tb, int64_t step, const char *dir,
                      const char *file, const char *name, struct clfcn_err *err)
{
    struct clfcn_strbuf tag = { 0 };
    char *png = NULL;
    size_t size = 0;
    char *path = clfcn_path_join(dir, file);
    clfcn_strbuf_add(&tag, "samples/%.*s", (int)strcspn(name, "."), name);
    int rc = path && !tag.failed ? CLFCN_OK : clfcn_err_nomem(err);
    if (rc == CLFCN_OK &&
        clfcn_file_read(path, MAX_PICTURE_BYTES, &png, &size, NULL) == CLFCN_OK) {
        rc = put_picture(tb, step, tag.str, png, size, err);
    }
    free(png);
    free(path);
    clfcn_strbuf_free(&tag);
    return rc;
}

static int put_samples(struct clfcn_tensorboard *tb, const json_t *event,
                       struct clfcn_err *err)
{
    char prefix[32];
    char **files = NULL;
    int count = 0, rc = CLFCN_OK;
    const int n = snprintf(prefix, sizeof(prefix), "epoch-%04d-",
                           (int)number_of(event, "epoch") + 1);
    char *dir = clfcn_path_join(tb->run, "samples");
    if (!dir) {
        return clfcn_err_nomem(err);
    }
    if (clfcn_path_is_dir(dir)) {
        rc = clfcn_path_list(dir, &files, &count, err);
    }
    for (int i = 0; i < count && rc == CLFCN_OK; ++i) {
        if (strncmp(files[i], prefix, (size_t)n) == 0 &&
            strcmp(clfcn_path_ext(files[i]), "png") == 0) {
            rc = put_sample(tb, step_of(event), dir, files[i], files[i] + n, err);
        }
    }
    clfcn_path_list_free(files, count);
    free(dir);
    return rc;
}

static int put_epoch(struct clfcn_tensorboard *tb, const json_t *event,
                     struct clfcn_err *err)
{
    static char names[][16] = { "train_loss", "val_loss", "pixel_acc",   "mean_acc",
                                "mean_iou",   "fw_iou",   "images_per_s" };
    static char *const keys[] = { names[0], names[1], names[2], names[3],
                                  names[4], names[5], names[6], NULL };
    value_t values[sizeof(names) / sizeof(names[0])];
    tb->at += number_of(event, "val_seconds");
    const size_t count = add_scalars(values, event, keys);
    int rc = put_values(tb, step_of(event), values, count, err);
    if (rc == CLFCN_OK) {
        rc = put_classes(tb, event, err);
    }
    return rc == CLFCN_OK ? put_samples(tb, event, err) : rc;
}

/* Seconds since 1970 of "2026-11-22T20:44:00Z"; otherwise is returned if it is none. */
static double time_of(const json_t *event, double otherwise)
{
    struct tm t = { 0 };
    const char *s = json_string_value(json_object_get(event, "time"));
    if (!s || sscanf(s, "%4d-%2d-%2dT%2d:%2d:%2d", &t.tm_year, &t.tm_mon, &t.tm_mday,
                     &t.tm_hour, &t.tm_min, &t.tm_sec) != 6) {
        return otherwise;
    }
    t.tm_year -= 1900;
    t.tm_mon -= 1;
    return (double)timegm(&t);
}

static int put_start(struct clfcn_tensorboard *tb, const json_t *event,
                     struct clfcn_err *err)
{
    ClfcnTb__SessionLog session = CLFCN_TB__SESSION_LOG__INIT;
    ClfcnTb__Event message = CLFCN_TB__EVENT__INIT;
    json_decref(tb->names);
    tb->names = json_incref(json_object_get(event, "classes"));
    if (!isnan(tb->at)) {
        tb->at = time_of(event, tb->at);
    }
    session.has_status = 1;
    session.status = CLFCN_TB__SESSION_LOG__SESSION_STATUS__START;
    message.has_step = 1;
    message.step = step_of(event) + 1; /* the first that is to come */
    message.session_log = &session;
    return put(tb, &message, err);
}

int clfcn_tensorboard_event(struct clfcn_tensorboard *tb, const json_t *event,
                            struct clfcn_err *err)
{
    const char *kind = json_string_value(json_object_get(event, "event"));
    int rc = CLFCN_OK;
    bool visible = false;
    tb->begun = true;
    if (kind && strcmp(kind, "start") == 0) {
        rc = put_start(tb, event, err);
    } else if (kind && strcmp(kind, "step") == 0) {
        rc = put_step(tb, event, err);
    } else if (kind && strcmp(kind, "epoch") == 0) {
        rc = put_epoch(tb, event, err);
        visible = true;
    }
    if (rc == CLFCN_OK && (visible || clfcn_clock() - tb->flushed > flush_interval)) {
        rc = flush(tb, err);
    }
    return rc;
}

/* The first record of every event file. */
static int put_version(struct clfcn_tensorboard *tb, struct clfcn_err *err)
{
    static char version[] = "brain.Event:2";
    ClfcnTb__Event message = CLFCN_TB__EVENT__INIT;
    message.file_version = version;
    return put(tb, &message, err);
}

/* The time to be told by a new file's name. TensorBoard takes files in the order of their
 * names, so it is no earlier than that of any other, even if the clock was set back. */
static double name_time(const char *dir)
{
    char **names = NULL;
    int count = 0;
    double latest = floor(now()), other;
    clfcn_path_list(dir, &names, &count, NULL);
    for (int i = 0; i < count; ++i) {
        if (sscanf(names[i], "events.out.tfevents.%10lf.", &other) == 1 &&
            latest < other) {
            latest = other;
        }
    }
    clfcn_path_list_free(names, count);
    return latest;
}

/* Open the first of the names that there is no file of. */
static int open_new(struct clfcn_tensorboard *tb, const char *dir, struct clfcn_err *err)
{
    struct clfcn_machine machine;
    const double time = name_time(dir);
    clfcn_machine_get(&machine);
    int errnum = EEXIST;
    for (int i = 0; i < MAX_NAMES && errnum == EEXIST; ++i) {
        struct clfcn_strbuf path = { 0 };
        clfcn_strbuf_add(&path, "%s/events.out.tfevents.%.0f.%s.%d", dir, time,
                         *machine.host ? machine.host : "localhost", i);
        if (path.failed) {
            return clfcn_err_nomem(err);
        }
        free(tb->path);
        tb->path = path.str;
        errnum = clfcn_output_open(&tb->own, tb->path, CLFCN_OUTPUT_NEW);
    }
    tb->out = errnum == 0 ? &tb->own : NULL;
    return written(tb, errnum, err);
}

static struct clfcn_tensorboard *new_writer(const char *run, double at)
{
    struct clfcn_tensorboard *tb = calloc(1, sizeof(*tb));
    char *copy = strdup(run);
    if (!tb || !copy) {
        free(tb);
        free(copy);
        return NULL;
    }
    tb->run = copy;
    tb->at = at;
    return tb;
}

int clfcn_tensorboard_open(const char *dir, const char *run,
                           struct clfcn_tensorboard **out, struct clfcn_err *err)
{
    struct clfcn_tensorboard *tb = new_writer(run, NAN);
    *out = NULL;
    if (!tb) {
        return clfcn_err_nomem(err);
    }
    int rc = clfcn_path_mkdir(dir, 0777, err);
    if (rc == CLFCN_OK) {
        rc = open_new(tb, dir, err);
    }
    if (rc == CLFCN_OK) {
        rc = put_version(tb, err);
    }
    if (rc == CLFCN_OK) {
        rc = flush(tb, err);
    }
    if (rc < 0) {
        clfcn_tensorboard_close(&tb, NULL);
    }
    *out = tb;
    return rc;
}

int clfcn_tensorboard_close(struct clfcn_tensorboard **tb, struct clfcn_err *err)
{
    if (!*tb) {
        return CLFCN_OK;
    }
    if ((*tb)->out == &(*tb)->own && !(*tb)->begun) {
        remove((*tb)->path);
    }
    const int rc = written(*tb, clfcn_output_close(&(*tb)->own), err);
    clfcn_atomic_abort(&(*tb)->atomic);
    json_decref((*tb)->names);
    free((*tb)->path);
    free((*tb)->run);
    free(*tb);
    *tb = NULL;
    return rc;
}

/* Begin the file of a log whose first event this is: its name tells the run's start. */
static int open_of_log(struct clfcn_tensorboard *tb, const json_t *event,
                       struct clfcn_err *err)
{
    struct clfcn_strbuf path = { 0 };
    tb->at = time_of(event, 0);
    clfcn_strbuf_add(&path, "%s.%.0f.clfcn-report", tb->path, tb->at);
    if (path.failed) {
        return clfcn_err_nomem(err);
    }
    free(tb->path);
    tb->path = path.str;
    int rc = clfcn_atomic_open(&tb->atomic, tb->path, err);
    if (rc < 0) {
        return rc;
    }
    tb->out = &tb->atomic.out;
    return put_version(tb, err);
}

static int take_logged(void *user, json_t *event, struct clfcn_err *err)
{
    struct clfcn_tensorboard *tb = user;
    const int rc = tb->out ? CLFCN_OK : open_of_log(tb, event, err);
    return rc == CLFCN_OK ? clfcn_tensorboard_event(tb, event, err) : rc;
}

int clfcn_tensorboard_write(const char *run, const char *dir, struct clfcn_err *err)
{
    struct clfcn_tensorboard *tb = new_writer(run, 0);
    struct clfcn_strbuf path = { 0 };
    struct clfcn_history history = { 0 };
    if (!tb) {
        return clfcn_err_nomem(err);
    }
    clfcn_strbuf_add(&path, "%s/events.out.tfevents", dir);
    tb->path = path.str;
    int rc = path.failed ? clfcn_err_nomem(err) : clfcn_path_mkdir(dir, 0777, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_history_open(&history, run, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_history_events(&history, -1, take_logged, tb, err);
    }
    if (rc >= 0 && tb->out) {
        rc = clfcn_atomic_commit(&tb->atomic, err);
        tb->out = NULL;
    }
    clfcn_history_close(&history);
    clfcn_tensorboard_close(&tb, NULL);
    return rc < 0 ? rc : CLFCN_OK;
}
