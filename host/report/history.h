/* history.h - a run folder read back: configuration, log, names of the pictures. Its size
 * is bounded, however long the run. */
#ifndef CLFCN_REPORT_HISTORY_H
#define CLFCN_REPORT_HISTORY_H

#include "../data/classes.h"
#include <jansson.h>
#include <stdio.h>

/* Of the finite values among those taken. */
struct clfcn_history_range {
    double sum, lo, hi;
    int count;
};

/* Steps that follow one another. */
struct clfcn_history_stretch {
    int64_t first; /* counts from 1 */
    int64_t count;
    struct clfcn_history_range loss, lr, ms;
};

struct clfcn_history_epoch {
    int number;   /* counts from 1 */
    int64_t step; /* steps logged before it ended */
    double train_loss, val_loss, pixel_acc, mean_acc, mean_iou, fw_iou;
    double seconds, wait_s, images_per_s;
    double *iou;  /* [iou_count]; NaN where a class does not occur */
    int iou_count;
};

struct clfcn_history_sample {
    char *file; /* name in samples/ */
    int epoch;  /* counts from 1 */
};

enum clfcn_history_state {
    CLFCN_HISTORY_EMPTY, /* no start event yet */
    CLFCN_HISTORY_RUNNING,
    CLFCN_HISTORY_PAUSED,
    CLFCN_HISTORY_ENDED
};

enum { CLFCN_HISTORY_STRETCHES = 256, CLFCN_HISTORY_EPOCHS = 512 };

/* Zero-initialised is empty. */
struct clfcn_history {
    char *dir, *name; /* as given; its last component */
    json_t *config;   /* config.json, NULL before it is read */
    json_t *start;    /* last "start" event, or NULL */
    struct clfcn_classes classes; /* count 0 if config.json does not say */
    FILE *log;                    /* read up to its last whole line */

    enum clfcn_history_state state;
    json_t *why; /* the "pause" or "end" event that led to it, or NULL */

    /* All steps; when the list is full, neighbours are merged. */
    struct clfcn_history_stretch stretches[CLFCN_HISTORY_STRETCHES];
    int stretch_count;
    int64_t stretch_steps; /* that a stretch takes before the next one begins */
    int64_t step_count;
    double last_loss, last_lr, last_ms; /* NaN: none */

    /* When the list is full, every other one goes, but for the best and the last. */
    struct clfcn_history_epoch epochs[CLFCN_HISTORY_EPOCHS];
    int epoch_count;
    int epoch_total;  /* with those that are gone */
    double seconds;   /* of all of them */
    int best;         /* the epoch with the best mean IoU, -1: none was validated */
    json_t *ranks;    /* "ranks" of the last epoch's event, or NULL */

    struct clfcn_history_sample *samples; /* of the first and the last epoch */
    int sample_count;
};

/* Take up the run in dir: its configuration, none of its log yet. CLFCN_EDATA if dir
 * holds no readable config.json or log.jsonl. Free with clfcn_history_close() in every
 * case. */
int clfcn_history_open(struct clfcn_history *h, const char *dir, struct clfcn_err *err);
/* Hand the events that the log has gained since to take, at most so many lines (< 0: all
 * of them), until it returns an error, which is returned then. Lines that are no JSON
 * object are left out, and a last one without an end is left for later. Returns the
 * number of lines. (history_log.c) */
typedef int (*clfcn_history_event_fn)(void *user, json_t *event, struct clfcn_err *err);
int clfcn_history_events(struct clfcn_history *h, int lines, clfcn_history_event_fn take,
                         void *user, struct clfcn_err *err);
/* Take them into the history, likewise. (history_log.c) */
int clfcn_history_follow(struct clfcn_history *h, int lines, struct clfcn_err *err);
/* Look for the names of the samples anew. */
int clfcn_history_find_samples(struct clfcn_history *h, struct clfcn_err *err);
void clfcn_history_close(struct clfcn_history *h);

/* All three: the run as it stands. Close it in every case. */
int clfcn_history_read(struct clfcn_history *h, const char *dir, struct clfcn_err *err);

/* What a run folder is called: "a" for "runs/a/". A new string, or NULL. */
char *clfcn_history_name(const char *dir);
/* The epoch with the best mean IoU, or NULL if none was validated. */
const struct clfcn_history_epoch *clfcn_history_best(const struct clfcn_history *h);
/* The mean of a range, NaN if it is empty. */
double clfcn_history_mean(const struct clfcn_history_range *r);
/* An event's or the configuration's number, NaN if it has none of that name. */
double clfcn_history_number(const json_t *object, const char *key);

#endif
