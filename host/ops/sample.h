/* sample.h - a convolution pass checked against its definition in float64: everywhere if
 * it is small, else at a few hundred places, as full references (ref.h) take minutes at
 * the sizes that networks have. */
#ifndef CLFCN_OPS_SAMPLE_H
#define CLFCN_OPS_SAMPLE_H

#include "../util/rng.h"
#include "conv.h"

/* What a pass reads, on the host; the forward pass also adds bias and cuts at 0. The
 * array that the pass writes is not looked at. x [in][n][h][w], y [out][n][h][w], weight
 * [out][in][kernel][kernel], bias [out]; if transposed, y [out][n][2h][2w] and weight
 * [in][out][kernel][kernel]. */
struct clfcn_sample_data {
    const float *x, *y, *weight, *bias;
};

/* Floats of x, y and weight. */
size_t clfcn_sample_count_x(const struct clfcn_conv_shape *shape);
size_t clfcn_sample_count_y(const struct clfcn_conv_shape *shape);
size_t clfcn_sample_count_weight(const struct clfcn_conv_shape *shape);

enum {
    CLFCN_SAMPLES_ALL = 8192, /* results of no more elements are checked everywhere */
    CLFCN_SAMPLES_MAX = 384   /* others at so many places at most */
};

/* What the error of a correct pass may be. Sums of up to 10^5 products in single
 * precision, also through Winograd's transforms, stay below 10^-5; one product left out
 * of so many shows as 3 * 10^-3, and one element of a small result that is off by a
 * hundredth as 10^-4. */
#define CLFCN_SAMPLES_BOUND 1e-4

/* Places in the array that a pass writes, and what belongs there. */
struct clfcn_samples {
    size_t total; /* floats of that array */
    int count;
    size_t at[CLFCN_SAMPLES_ALL];
    double want[CLFCN_SAMPLES_ALL];
    /* Sums of the products' magnitudes: what rounding is in proportion to, also where
     * the products cancel out. */
    double size[CLFCN_SAMPLES_ALL];
};

/* Of the places in a large result half are corners and edges of random planes, half are
 * anywhere. */
void clfcn_samples_make(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                        const struct clfcn_sample_data *data, struct clfcn_rng *rng,
                        struct clfcn_samples *out);

/* What belongs at one place of that array, without bias and cut; size, which may be NULL,
 * receives the sum of its products' magnitudes. */
double clfcn_sample_value(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                          const struct clfcn_sample_data *data, size_t at, double *size);

/* The relative error of got in the 2-norm. NaN if any element of got, sampled or not, is
 * not finite. */
double clfcn_samples_error(const struct clfcn_samples *samples, const float *got);

#endif
