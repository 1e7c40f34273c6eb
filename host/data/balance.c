#include "balance.h"
#include "../util/thread.h"
#include <stdlib.h>

struct balance {
    const struct clfcn_dataset *set;
    const int *items;
    struct counted {
        int rc;
        struct clfcn_err err;
        uint64_t pixels[CLFCN_IGNORE + 1]; /* by label */
    } * counted;                           /* one an item */
};

/* Runs on several threads, one item each. */
static void count_mask(void *arg, int i)
{
    struct balance *b = arg;
    struct counted *item = &b->counted[i];
    uint8_t *labels = NULL;
    int width, height;
    item->rc = clfcn_dataset_read_labels(b->set, b->items[i], &labels, &width, &height,
                                         &item->err);
    if (item->rc < 0) {
        return;
    }
    const size_t pixels = (size_t)width * (size_t)height;
    for (size_t p = 0; p < pixels; ++p) {
        ++item->pixels[labels[p]];
    }
    free(labels);
}

/* A class's share of the masks that have it; 0 if none has. */
static double frequency_of(const struct balance *b, int count, int classes, int c)
{
    uint64_t own = 0, all = 0;
    for (int i = 0; i < count; ++i) {
        const uint64_t *pixels = b->counted[i].pixels;
        own += pixels[c];
        for (int k = 0; k < classes && pixels[c] > 0; ++k) {
            all += pixels[k];
        }
    }
    return own > 0 ? (double)own / (double)all : 0;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* From frequencies [classes] to weights. */
static int weigh(const double *frequencies, int classes, float *weights,
                 struct clfcn_err *err)
{
    double sorted[CLFCN_MAX_CLASSES];
    int n = 0;
    for (int c = 0; c < classes; ++c) {
        if (frequencies[c] > 0) {
            sorted[n++] = frequencies[c];
        }
    }
    if (n == 0) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "no pixel of the training masks is of a class");
    }
    qsort(sorted, (size_t)n, sizeof *sorted, compare_doubles);
    const double median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    for (int c = 0; c < classes; ++c) {
        weights[c] = frequencies[c] > 0 ? (float)(median / frequencies[c]) : 1;
    }
    return CLFCN_OK;
}

int clfcn_balance(const struct clfcn_dataset *set, const int *items, int count,
                  float *weights, struct clfcn_err *err)
{
    const int classes = clfcn_dataset_classes(set);
    double frequencies[CLFCN_MAX_CLASSES];
    struct balance b = { .set = set,
                         .items = items,
                         .counted = calloc((size_t)count + 1, sizeof *b.counted) };
    int rc = CLFCN_OK;
    if (!b.counted) {
        return clfcn_err_nomem(err);
    }
    clfcn_parallel_for(count, clfcn_cpu_count(), count_mask, &b);
    for (int i = 0; i < count && rc == CLFCN_OK; ++i) {
        rc = b.counted[i].rc;
        if (rc < 0 && err) {
            *err = b.counted[i].err;
        }
    }
    for (int c = 0; c < classes; ++c) {
        frequencies[c] = frequency_of(&b, count, classes, c);
    }
    free(b.counted);
    return rc < 0 ? rc : weigh(frequencies, classes, weights, err);
}
