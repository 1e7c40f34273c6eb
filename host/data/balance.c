#include "balance.h"
#include "../comm/comm.h"
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

/* Pixels by class: of the class, and of all classes in the masks that have it. As numbers
 * that ranks can sum: whole, and exact as long as they are below 2^53. */
struct sums {
    double own[CLFCN_MAX_CLASSES], all[CLFCN_MAX_CLASSES];
};

static void add_mask(struct sums *sums, const uint64_t *pixels, int classes)
{
    uint64_t labelled = 0;
    for (int c = 0; c < classes; ++c) {
        labelled += pixels[c];
    }
    for (int c = 0; c < classes; ++c) {
        sums->own[c] += (double)pixels[c];
        sums->all[c] += pixels[c] > 0 ? (double)labelled : 0;
    }
}

/* Count the masks of this process's items. */
static int count_masks(const struct clfcn_dataset *set, const int *items, int count,
                       struct sums *sums, struct clfcn_err *err)
{
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
        add_mask(sums, b.counted[i].pixels, clfcn_dataset_classes(set));
    }
    free(b.counted);
    return rc;
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

int clfcn_balance(struct clfcn_comm *comm, const struct clfcn_dataset *set,
                  const int *items, int count, float *weights, struct clfcn_err *err)
{
    const int classes = clfcn_dataset_classes(set), ranks = clfcn_comm_size(comm);
    const int64_t rank = clfcn_comm_rank(comm);
    const int first = (int)(count * rank / ranks),
              end = (int)(count * (rank + 1) / ranks);
    double frequencies[CLFCN_MAX_CLASSES];
    struct sums sums = { 0 };
    int rc = count_masks(set, items + first, end - first, &sums, err);
    rc = clfcn_comm_agree(comm, rc, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_comm_sum(comm, (double *)&sums, sizeof(sums) / sizeof(double), err);
    }
    for (int c = 0; c < classes; ++c) {
        frequencies[c] = sums.own[c] > 0 ? sums.own[c] / sums.all[c] : 0;
    }
    return rc < 0 ? rc : weigh(frequencies, classes, weights, err);
}
