/* history_log.c - a run's log, line by line, as it grows: thinned where it is long. */
#include "history.h"
#include "../util/json.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINE = 1 << 20 }; /* no event comes near this: a longer line is passed over */

double clfcn_history_number(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

double clfcn_history_mean(const struct clfcn_history_range *r)
{
    return r->count ? r->sum / r->count : NAN;
}

/* --- steps --- */

static const struct clfcn_history_range no_range = { .lo = INFINITY, .hi = -INFINITY };

static void widen(struct clfcn_history_range *r, const struct clfcn_history_range *by)
{
    r->sum += by->sum;
    r->lo = fmin(r->lo, by->lo);
    r->hi = fmax(r->hi, by->hi);
    r->count += by->count;
}

static void take_number(struct clfcn_history_range *r, double v)
{
    if (isfinite(v)) {
        widen(r, &(struct clfcn_history_range){ v, v, v, 1 });
    }
}

/* Two stretches become one. */
static void thin_steps(struct clfcn_history *h)
{
    for (size_t i = 0; i < CLFCN_HISTORY_STRETCHES / 2; ++i) {
        struct clfcn_history_stretch *to = &h->stretches[i];
        const struct clfcn_history_stretch *next = &h->stretches[2 * i + 1];
        *to = h->stretches[2 * i];
        to->count += next->count;
        widen(&to->loss, &next->loss);
        widen(&to->lr, &next->lr);
        widen(&to->ms, &next->ms);
    }
    h->stretch_count = CLFCN_HISTORY_STRETCHES / 2;
    h->stretch_steps *= 2;
}

/* The stretch that takes the next step. */
static struct clfcn_history_stretch *next_stretch(struct clfcn_history *h)
{
    if (h->stretch_count > 0 &&
        h->stretches[h->stretch_count - 1].count < h->stretch_steps) {
        return &h->stretches[h->stretch_count - 1];
    }
    if (h->stretch_count == CLFCN_HISTORY_STRETCHES) {
        thin_steps(h);
    }
    struct clfcn_history_stretch *s = &h->stretches[h->stretch_count++];
    *s = (struct clfcn_history_stretch){ h->step_count + 1, 0, no_range, no_range,
                                         no_range };
    return s;
}

static void take_step(struct clfcn_history *h, const json_t *event)
{
    struct clfcn_history_stretch *s = next_stretch(h);
    h->last_loss = clfcn_history_number(event, "loss");
    h->last_lr = clfcn_history_number(event, "lr");
    h->last_ms = clfcn_history_number(event, "ms");
    take_number(&s->loss, h->last_loss);
    take_number(&s->lr, h->last_lr);
    take_number(&s->ms, h->last_ms);
    ++s->count;
    ++h->step_count;
}

/* --- epochs --- */

/* Every other epoch goes; best and last stay. */
static void thin_epochs(struct clfcn_history *h)
{
    int n = 0, best = -1;
    for (int i = 0; i < h->epoch_count; ++i) {
        if (i % 2 == 0 || i == h->best || i == h->epoch_count - 1) {
            best = i == h->best ? n : best;
            h->epochs[n++] = h->epochs[i];
        } else {
            free(h->epochs[i].iou);
        }
    }
    h->epoch_count = n;
    h->best = best;
}

static double *read_iou(const json_t *list, int count)
{
    double *values = calloc((size_t)count + 1, sizeof(*values));
    for (int c = 0; values && c < count; ++c) {
        const json_t *v = json_array_get(list, (size_t)c);
        values[c] = json_is_number(v) ? json_number_value(v) : NAN;
    }
    return values;
}

static int take_epoch(struct clfcn_history *h, const json_t *event, struct clfcn_err *err)
{
    if (h->epoch_count == CLFCN_HISTORY_EPOCHS) {
        thin_epochs(h);
    }
    const json_t *iou = json_object_get(event, "iou");
    const int classes = (int)json_array_size(iou);
    double *values = read_iou(iou, classes);
    if (!values) {
        return clfcn_err_nomem(err);
    }
    const double epoch = clfcn_history_number(event, "epoch");
    struct clfcn_history_epoch *e = &h->epochs[h->epoch_count];
    *e = (struct clfcn_history_epoch){
        .number = epoch >= 0 && epoch < 1e9 ? (int)epoch + 1 : h->epoch_total + 1,
        .step = h->step_count,
        .train_loss = clfcn_history_number(event, "train_loss"),
        .val_loss = clfcn_history_number(event, "val_loss"),
        .pixel_acc = clfcn_history_number(event, "pixel_acc"),
        .mean_acc = clfcn_history_number(event, "mean_acc"),
        .mean_iou = clfcn_history_number(event, "mean_iou"),
        .fw_iou = clfcn_history_number(event, "fw_iou"),
        .seconds = clfcn_history_number(event, "seconds"),
        .wait_s = clfcn_history_number(event, "wait_s"),
        .images_per_s = clfcn_history_number(event, "images_per_s"),
        .iou = values,
        .iou_count = classes,
    };
    if (isfinite(e->mean_iou) &&
        (h->best < 0 || e->mean_iou > h->epochs[h->best].mean_iou)) {
        h->best = h->epoch_count;
    }
    h->seconds += isfinite(e->seconds) ? e->seconds : 0;
    json_decref(h->ranks);
    h->ranks = json_incref(json_object_get(event, "ranks"));
    ++h->epoch_count;
    ++h->epoch_total;
    return CLFCN_OK;
}

/* --- lines --- */

static void enter_state(struct clfcn_history *h, enum clfcn_history_state state,
                        json_t *why)
{
    json_decref(h->why);
    h->state = state;
    h->why = json_incref(why);
}

static int take_event(void *user, json_t *event, struct clfcn_err *err)
{
    struct clfcn_history *h = user;
    const char *kind = json_string_value(json_object_get(event, "event"));
    if (!kind) {
        return CLFCN_OK;
    }
    if (strcmp(kind, "step") == 0) {
        take_step(h, event);
    } else if (strcmp(kind, "epoch") == 0) {
        return take_epoch(h, event, err);
    } else if (strcmp(kind, "start") == 0) {
        json_decref(h->start);
        h->start = json_incref(event);
        enter_state(h, CLFCN_HISTORY_RUNNING, NULL);
    } else if (strcmp(kind, "pause") == 0) {
        enter_state(h, CLFCN_HISTORY_PAUSED, event);
    } else if (strcmp(kind, "resume") == 0) {
        enter_state(h, CLFCN_HISTORY_RUNNING, NULL);
    } else if (strcmp(kind, "end") == 0) {
        enter_state(h, CLFCN_HISTORY_ENDED, event);
    }
    return CLFCN_OK;
}

/* Read the next line into line [MAX_LINE], *n bytes with the line feed; false where there
 * is no whole one yet. A longer one is passed over: *n is 0. */
static bool read_line(FILE *log, char *line, size_t *n)
{
    const off_t begin = ftello(log);
    size_t bytes = 0;
    int c;
    *n = 0;
    for (;;) {
        c = getc_unlocked(log);
        if (c == EOF && ferror(log) && errno == EINTR) { /* a signal came between */
            clearerr(log);
            continue;
        }
        if (c == EOF) {
            break;
        }
        if (bytes < MAX_LINE) {
            line[bytes] = (char)c;
        }
        ++bytes;
        if (c == '\n') {
            *n = bytes <= MAX_LINE ? bytes : 0;
            return true;
        }
    }
    if (bytes > 0) { /* being written */
        fseeko(log, begin, SEEK_SET);
    }
    return false;
}

int clfcn_history_events(struct clfcn_history *h, int lines, clfcn_history_event_fn take,
                         void *user, struct clfcn_err *err)
{
    char *line = malloc(MAX_LINE);
    size_t n;
    int done = 0, rc = line ? CLFCN_OK : clfcn_err_nomem(err);
    clearerr(h->log); /* the end may have moved */
    while (done != lines && rc == CLFCN_OK && read_line(h->log, line, &n)) {
        json_t *event = clfcn_json_read(line, n, 0, NULL, &rc, err);
        rc = event               ? take(user, event, err)
             : rc == CLFCN_EDATA ? CLFCN_OK /* a line that is none is left out */
                                 : rc;
        json_decref(event);
        ++done;
    }
    if (rc == CLFCN_OK && ferror(h->log)) {
        rc = clfcn_err_errno(err, errno, "cannot read %s/log.jsonl", h->dir);
    }
    free(line);
    return rc < 0 ? rc : done;
}

int clfcn_history_follow(struct clfcn_history *h, int lines, struct clfcn_err *err)
{
    return clfcn_history_events(h, lines, take_event, h, err);
}
