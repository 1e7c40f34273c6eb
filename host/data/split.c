/* split.c - which items of a set train and which validate. */
#include "../util/rng.h"
#include "dataset.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Two lists with room for n. */
static int make_lists(int n, int **a, int **b, struct clfcn_err *err)
{
    *a = malloc(((size_t)n + 1) * sizeof **a);
    *b = malloc(((size_t)n + 1) * sizeof **b);
    if (*a && *b) {
        return CLFCN_OK;
    }
    free(*a);
    free(*b);
    *a = *b = NULL;
    return clfcn_err_nomem(err);
}

int clfcn_split(int n, double fraction, uint64_t seed, int **train, int *train_count,
                int **val, int *val_count, struct clfcn_err *err)
{
    struct clfcn_rng rng;
    int taken = 0;
    *train = NULL;
    *val = NULL;
    *train_count = 0;
    *val_count = 0;
    if (!(fraction >= 0.0 && fraction < 1.0) || n < 0) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "the validation fraction is %g; it must be at least 0 and below 1", fraction);
    }
    if (fraction > 0.0) {
        taken = (int)floor(fraction * n + 0.5);
        taken = taken > 0 ? taken : 1;
    }
    if (taken >= n) {
        return clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "%d image%s, and %d of them for validation: none is left for "
            "training; add images or lower the validation fraction",
            n, n == 1 ? "" : "s", taken);
    }
    int *order = malloc((size_t)n * sizeof *order);
    const int rc = order ? make_lists(n, train, val, err) : clfcn_err_nomem(err);
    if (rc < 0) {
        free(order);
        return rc;
    }
    for (int i = 0; i < n; ++i) {
        order[i] = i;
    }
    clfcn_rng_init(&rng, seed, "split", 0, 0);
    clfcn_rng_shuffle(&rng, order, n);
    *val_count = taken;
    *train_count = n - taken;
    memcpy(*val, order, (size_t)taken * sizeof **val);
    memcpy(*train, order + taken, (size_t)*train_count * sizeof **train);
    qsort(*val, (size_t)*val_count, sizeof **val, compare_ints);
    qsort(*train, (size_t)*train_count, sizeof **train, compare_ints);
    free(order);
    return CLFCN_OK;
}

int clfcn_dataset_split(const struct clfcn_dataset *set, double fraction, uint64_t seed,
                        int **train, int *train_count, int **val, int *val_count,
                        struct clfcn_err *err)
{
    const int n = clfcn_dataset_size(set);
    if (fraction != CLFCN_OWN_SPLIT) {
        return clfcn_split(n, fraction, seed, train, train_count, val, val_count, err);
    }
    *train_count = 0;
    *val_count = 0;
    const int rc = make_lists(n, train, val, err);
    if (rc < 0) {
        return rc;
    }
    for (int i = 0; i < n; ++i) {
        if (clfcn_dataset_part(set, i) == CLFCN_PART_VAL) {
            (*val)[(*val_count)++] = i;
        } else {
            (*train)[(*train_count)++] = i;
        }
    }
    return CLFCN_OK;
}
