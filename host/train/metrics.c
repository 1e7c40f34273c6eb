/* metrics.c - accuracies and intersections over unions from a confusion matrix. */
#include "metrics.h"
#include "../util/err.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int clfcn_confusion_init(struct clfcn_confusion *m, int classes, struct clfcn_err *err)
{
    m->classes = classes;
    m->counts = calloc((size_t)classes * (size_t)classes, sizeof(*m->counts));
    return m->counts != NULL ? CLFCN_OK : clfcn_err_nomem(err);
}

void clfcn_confusion_finish(struct clfcn_confusion *m)
{
    if (m != NULL) {
        free(m->counts);
        *m = (struct clfcn_confusion){ 0 };
    }
}

void clfcn_confusion_reset(struct clfcn_confusion *m)
{
    memset(m->counts, 0, (size_t)m->classes * (size_t)m->classes * sizeof(*m->counts));
}

void clfcn_confusion_add(struct clfcn_confusion *m, const uint8_t *truth,
                         const uint8_t *predicted, size_t n)
{
    for (size_t i = 0; i < n; ++i) {
        if (truth[i] != CLFCN_IGNORE) {
            m->counts[(size_t)truth[i] * (size_t)m->classes + predicted[i]]++;
        }
    }
}

void clfcn_confusion_merge(struct clfcn_confusion *m, const struct clfcn_confusion *other)
{
    const size_t n = (size_t)m->classes * (size_t)m->classes;
    for (size_t i = 0; i < n; ++i) {
        m->counts[i] += other->counts[i];
    }
}

static double ratio(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : NAN;
}

/* Mean of the values that are not NaN; NaN if there is none. */
static double mean_defined(const double *values, int n)
{
    double sum = 0;
    int count = 0;
    for (int i = 0; i < n; ++i) {
        if (!isnan(values[i])) {
            sum += values[i];
            count++;
        }
    }
    return count > 0 ? sum / count : NAN;
}

void clfcn_metrics_compute(const struct clfcn_confusion *m, struct clfcn_metrics *out)
{
    const int classes = m->classes;
    uint64_t total = 0, correct = 0;
    double weighted = 0;
    for (int c = 0; c < classes; ++c) {
        const uint64_t hit = m->counts[c * classes + c];
        uint64_t truth = 0, predicted = 0;
        for (int other = 0; other < classes; ++other) {
            truth += m->counts[c * classes + other];
            predicted += m->counts[other * classes + c];
        }
        total += truth;
        correct += hit;
        out->acc[c] = ratio(hit, truth);
        out->iou[c] = ratio(hit, truth + predicted - hit);
        if (truth > 0) {
            weighted += (double)truth * out->iou[c];
        }
    }
    out->pixel_acc = ratio(correct, total);
    out->mean_acc = mean_defined(out->acc, classes);
    out->mean_iou = mean_defined(out->iou, classes);
    out->fw_iou = total > 0 ? weighted / (double)total : NAN;
}
