/* tap.h - bilinear sampling, one position at a time. It follows PyTorch's arithmetic: the
 * scale in float, positions in double, weights and values in float. */
#ifndef CLFCN_DATA_TAP_H
#define CLFCN_DATA_TAP_H

#include "image.h"

/* Between which two source samples a destination sample lies, and the weight of each.
 * Where the sizes are equal w0 is exactly 1: the samples are copied. */
struct tap {
    int i0, i1;
    float w0, w1;
};

/* Of a destination sample, scale being from / to as a float. */
static inline struct tap tap_at(int dst, int from, float scale)
{
    const double pos = (double)scale * (dst + 0.5) - 0.5;
    const double src = pos < 0.0 ? 0.0 : pos;
    struct tap t;
    t.i0 = (int)src < from - 1 ? (int)src : from - 1;
    t.i1 = t.i0 + (t.i0 < from - 1);
    t.w1 = (float)(src - t.i0);
    t.w1 = t.w1 > 1.0f ? 1.0f : t.w1;
    t.w0 = 1.0f - t.w1;
    return t;
}

static inline float mix(const struct tap *x, const struct tap *y, float v00, float v01,
                        float v10, float v11)
{
    return y->w0 * (x->w0 * v00 + x->w1 * v01) + y->w1 * (x->w0 * v10 + x->w1 * v11);
}

/* One row of n pixels of the network's input (resize.h), all three channels; unit[i] is
 * i / 255. (resize.c) */
void clfcn_input_row(const struct clfcn_image *im, const struct tap *xs, int n,
                     struct tap y, const float *unit, float *out, size_t plane_stride);

#endif
