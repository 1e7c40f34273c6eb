/* stats.h - repeated measurements of one thing: their middle, and how far they can be
 * trusted. */
#ifndef CLFCN_UTIL_STATS_H
#define CLFCN_UTIL_STATS_H

#include <stdbool.h>

/* A relative spread or drift beyond this is too much to rely on. */
#define CLFCN_NOISY 0.1

enum {
    CLFCN_SPREAD_MIN = 3, /* repetitions that tell a spread, */
    CLFCN_DRIFT_MIN = 6   /* and a drift */
};

struct clfcn_spread {
    double median, lowest, highest;
    double relative; /* interquartile range over the median; NaN: too few repetitions */
    double drift;    /* median of the last third over that of the first; NaN: too few */
    bool noisy;      /* relative above CLFCN_NOISY, or drift as far from 1 */
};

/* Of v[n], in the order of measuring, n >= 1. scratch has room for n and is overwritten.
 */
struct clfcn_spread clfcn_spread_of(const double *v, int n, double *scratch);

#endif
