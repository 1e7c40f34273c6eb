#include "stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value below which a share of sorted v lies, between neighbours in proportion. */
static double quantile(const double *v, int n, double share)
{
    const double at = share * (n - 1);
    const int i = (int)at;
    return i + 1 < n ? v[i] + (at - i) * (v[i + 1] - v[i]) : v[n - 1];
}

static void sort_copy(const double *v, int n, double *scratch)
{
    memcpy(scratch, v, (size_t)n * sizeof(*v));
    qsort(scratch, (size_t)n, sizeof(*scratch), by_value);
}

static double median_of(const double *v, int n, double *scratch)
{
    sort_copy(v, n, scratch);
    return quantile(scratch, n, 0.5);
}

struct clfcn_spread clfcn_spread_of(const double *v, int n, double *scratch)
{
    struct clfcn_spread s = { .relative = NAN, .drift = NAN };
    if (n >= CLFCN_DRIFT_MIN) {
        const int third = n / 3;
        const double first = median_of(v, third, scratch);
        s.drift = median_of(v + n - third, third, scratch) / first;
    }
    sort_copy(v, n, scratch);
    s.median = quantile(scratch, n, 0.5);
    s.lowest = scratch[0];
    s.highest = scratch[n - 1];
    if (n >= CLFCN_SPREAD_MIN) {
        s.relative = (quantile(scratch, n, 0.75) - quantile(scratch, n, 0.25)) / s.median;
    }
    s.noisy = s.relative > CLFCN_NOISY || fabs(s.drift - 1) > CLFCN_NOISY;
    return s;
}
