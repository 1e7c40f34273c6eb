/* history.h - a run folder read back: configuration, log, names of the pictures. */
#ifndef CLFCN_REPORT_HISTORY_H
#define CLFCN_REPORT_HISTORY_H

#include "../data/classes.h"
#include <jansson.h>

struct clfcn_history_step {
    double loss, lr, ms; /* NaN where the log has no number */
};

struct clfcn_history_epoch {
    int number;   /* counts from 1 */
    int step;     /* steps logged before it ended */
    double train_loss, val_loss, pixel_acc, mean_acc, mean_iou, fw_iou;
    double seconds, wait_s, images_per_s;
    double *iou;  /* [iou_count]; NaN where a class does not occur */
    int iou_count;
};

struct clfcn_history_sample {
    char *file; /* name in samples/ */
    int epoch;  /* counts from 1 */
};

/* Zero-initialised is empty. */
struct clfcn_history {
    char *dir, *name; /* as given; its last component */
    json_t *config;   /* config.json */
    json_t *start;    /* last "start" event, or NULL */
    struct clfcn_classes classes; /* count 0 if config.json does not say */
    struct clfcn_history_step *steps;
    int step_count, step_capacity;
    struct clfcn_history_epoch *epochs;
    int epoch_count, epoch_capacity;
    struct clfcn_history_sample *samples;
    int sample_count;
};

/* CLFCN_EDATA if dir holds no readable config.json or log.jsonl; lines of the log that
 * are no JSON object, such as one being written, are left out. Free with
 * clfcn_history_free() in every case. */
int clfcn_history_read(struct clfcn_history *h, const char *dir, struct clfcn_err *err);
void clfcn_history_free(struct clfcn_history *h);

/* Hand the events of dir/log.jsonl to take, from the first on, until it returns an error,
 * which is returned then. Errors as above. */
typedef int (*clfcn_history_event_fn)(void *user, json_t *event, struct clfcn_err *err);
int clfcn_history_events(const char *dir, clfcn_history_event_fn take, void *user,
                         struct clfcn_err *err);

/* The epoch with the best mean IoU, or NULL if none was validated. */
const struct clfcn_history_epoch *clfcn_history_best(const struct clfcn_history *h);

#endif
