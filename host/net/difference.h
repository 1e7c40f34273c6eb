/* difference.h - how far two arrays that should be equal are apart. */
#ifndef CLFCN_NET_DIFFERENCE_H
#define CLFCN_NET_DIFFERENCE_H

#include <stdbool.h>
#include <stddef.h>

/* Elements that are not finite count in distance and norms only where one side alone is
 * not, or differs: then distance is infinite. */
struct clfcn_difference {
    size_t count;
    double distance;       /* 2-norm of a - b */
    double norm_a, norm_b; /* 2-norms */
    double relative;       /* distance over the larger norm; 0 where nothing differs */
    double worst;          /* largest |a - b| over the root mean square of the larger */
    size_t at;             /* the element where that is; 0 where nothing differs */
    float a, b;            /* its values */
    size_t far;            /* elements that are limit or more of that mean apart */
};

/* limit: what counts as far. a and b hold count elements, count >= 1. */
void clfcn_difference_measure(const float *a, const float *b, size_t count, double limit,
                              struct clfcn_difference *out);

#endif
