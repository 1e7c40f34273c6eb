/* metrics.h - segmentation metrics of the FCN paper (Long, Shelhamer, Darrell, 2015,
 * section 5), from one confusion matrix. */
#ifndef CLFCN_TRAIN_METRICS_H
#define CLFCN_TRAIN_METRICS_H

#include <clfcn/train.h>

/* counts[t * classes + p]: pixels of true class t predicted as p. */
struct clfcn_confusion {
    int classes;
    uint64_t *counts;
};

int clfcn_confusion_init(struct clfcn_confusion *m, int classes, struct clfcn_err *err);
void clfcn_confusion_finish(struct clfcn_confusion *m);
void clfcn_confusion_reset(struct clfcn_confusion *m);
/* Pixels whose truth is CLFCN_IGNORE are not counted. */
void clfcn_confusion_add(struct clfcn_confusion *m, const uint8_t *truth,
                         const uint8_t *predicted, size_t n);
void clfcn_confusion_merge(struct clfcn_confusion *m,
                           const struct clfcn_confusion *other);

void clfcn_metrics_compute(const struct clfcn_confusion *m, struct clfcn_metrics *out);

#endif
