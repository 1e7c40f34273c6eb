#include "difference.h"

#include <math.h>

static double apart(float a, float b)
{
    if (a == b || (isnan(a) && isnan(b))) {
        return 0.0;
    }
    return isfinite(a) && isfinite(b) ? fabs((double)a - b) : INFINITY;
}

static double square(float v)
{
    return isfinite(v) ? (double)v * v : 0.0;
}

/* 0 of 0 is no difference. */
static double ratio(double part, double whole)
{
    return part > 0.0 && isfinite(part) ? part / whole : part;
}

void clfcn_difference_measure(const float *a, const float *b, size_t count, double limit,
                              struct clfcn_difference *out)
{
    double sum = 0.0, sum_a = 0.0, sum_b = 0.0;
    *out = (struct clfcn_difference){ .count = count };
    for (size_t i = 0; i < count; ++i) {
        const double d = apart(a[i], b[i]);
        sum += d * d;
        sum_a += square(a[i]);
        sum_b += square(b[i]);
    }
    const double norm = sqrt(fmax(sum_a, sum_b)), mean = norm / sqrt((double)count);
    for (size_t i = 0; sum > 0.0 && i < count; ++i) {
        const double size = mean + fmax(fabs(a[i]), fabs(b[i]));
        const double off = ratio(apart(a[i], b[i]), size);
        out->far += off > limit;
        if (off > out->worst) {
            out->worst = off;
            out->at = i;
        }
    }
    out->distance = sqrt(sum);
    out->norm_a = sqrt(sum_a);
    out->norm_b = sqrt(sum_b);
    out->relative = ratio(out->distance, norm);
    out->a = a[out->at];
    out->b = b[out->at];
}
