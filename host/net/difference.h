/* difference.h - how far two arrays that should be equal are apart. */
#ifndef CLFCN_NET_DIFFERENCE_H
#define CLFCN_NET_DIFFERENCE_H

#include <stddef.h>

/* Elements that are equal, or NaN on both sides, do not differ. One that is a number on
 * one side alone, or an infinity, makes the distance infinite; no norm counts it. */
struct clfcn_difference {
    size_t count;
    double distance;       /* 2-norm of a - b */
    double norm_a, norm_b; /* 2-norms */
    double relative;       /* distance over the larger norm; 0 where nothing differs */
    /* Of an element: |a - b| over the root mean square of the larger array plus its own
     * larger magnitude, which gives large elements the room that rounding takes. */
    double worst;
    size_t at;  /* the worst element; 0 where nothing differs */
    float a, b; /* its values */
    size_t far; /* elements that are worse than limit */
};

/* a and b hold count elements, count >= 1. */
void clfcn_difference_measure(const float *a, const float *b, size_t count, double limit,
                              struct clfcn_difference *out);

#endif
