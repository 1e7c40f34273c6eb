#include "verify.h"

#include "../device/buffer.h"
#include <math.h>
#include <stdlib.h>

/* What a pass touches, by index. */
enum { X, Y, W, BIAS, ARRAYS };
/* Random values, repeated: prime, so that no rows of a tensor are alike. */
enum { NOISE = 65537 };

struct check {
    struct clfcn_conv *cv;
    struct clfcn_dev *dev;
    int made; /* the array that the pass writes */
    size_t count[ARRAYS];
    float *host[ARRAYS];
    cl_mem mem[ARRAYS];
    struct clfcn_rng rng;
    struct clfcn_samples samples;
    float noise[NOISE];
};

static void fill(struct check *c, float *v, size_t count)
{
    size_t from = clfcn_rng_below(&c->rng, NOISE);
    for (size_t i = 0; i < count; ++i) {
        v[i] = c->noise[from];
        from = from + 1 < NOISE ? from + 1 : 0;
    }
}

/* NaN everywhere: what is left unwritten, or read before it was written, shows. */
static int poison(struct check *c, cl_mem mem, size_t bytes, struct clfcn_err *err)
{
    const cl_float nan = NAN;
    bytes = bytes / sizeof(nan) * sizeof(nan);
    const cl_int code = bytes > 0
                            ? clEnqueueFillBuffer(c->dev->compute, mem, &nan, sizeof(nan),
                                                  0, bytes, 0, NULL, NULL)
                            : CL_SUCCESS;
    return code == CL_SUCCESS ? CLFCN_OK : clfcn_cl_err(err, code, "filling a buffer");
}

static int open_array(struct check *c, int i, struct clfcn_err *err)
{
    static const char *const names[] = { "x", "y", "weights", "bias" };
    const size_t bytes = c->count[i] * sizeof(float);
    c->host[i] = malloc(bytes);
    if (!c->host[i]) {
        return clfcn_err_nomem(err);
    }
    int rc = clfcn_buffer_create(c->dev, bytes, names[i], &c->mem[i], err);
    if (rc == CLFCN_OK && i == c->made) {
        return poison(c, c->mem[i], bytes, err);
    }
    if (rc == CLFCN_OK) {
        fill(c, c->host[i], c->count[i]);
        rc = clfcn_buffer_write(c->dev, c->mem[i], 0, bytes, c->host[i], err);
    }
    return rc;
}

static bool finishes(const struct clfcn_conv *cv)
{
    return cv->pass == CLFCN_PASS_FORWARD && cv->impl->finishes;
}

static int open_arrays(struct check *c, struct clfcn_err *err)
{
    static const int made[] = {
        [CLFCN_PASS_FORWARD] = Y, [CLFCN_PASS_INPUT] = X, [CLFCN_PASS_WEIGHT] = W
    };
    const struct clfcn_conv_shape *s = &c->cv->shape;
    int rc = CLFCN_OK;
    c->made = made[c->cv->pass];
    c->count[X] = clfcn_sample_count_x(s);
    c->count[Y] = clfcn_sample_count_y(s);
    c->count[W] = clfcn_sample_count_weight(s);
    c->count[BIAS] = (size_t)s->out;
    clfcn_rng_init(&c->rng, 0, "verify", 0, 0);
    for (int i = 0; i < NOISE; ++i) {
        c->noise[i] = (float)clfcn_rng_normal(&c->rng);
    }
    for (int i = 0; rc == CLFCN_OK && i < ARRAYS; ++i) {
        rc = open_array(c, i, err);
    }
    if (rc == CLFCN_OK) {
        const struct clfcn_sample_data data = { c->host[X], c->host[Y], c->host[W],
                                                finishes(c->cv) ? c->host[BIAS] : NULL };
        clfcn_samples_make(s, c->cv->pass, &data, &c->rng, &c->samples);
    }
    return rc;
}

static void close_arrays(struct check *c)
{
    for (int i = 0; i < ARRAYS; ++i) {
        clfcn_buffer_release(c->dev, &c->mem[i]);
        free(c->host[i]);
    }
}

static int run_once(struct check *c, const struct clfcn_op_run *run,
                    struct clfcn_err *err)
{
    const struct clfcn_conv_call call = { .x = c->mem[X],
                                          .y = c->mem[Y],
                                          .weight = c->mem[W],
                                          .bias = finishes(c->cv) ? c->mem[BIAS] : NULL,
                                          .relu = finishes(c->cv) };
    int rc = poison(c, run->columns, c->cv->columns_bytes, err);
    if (rc == CLFCN_OK) {
        rc = poison(c, run->scratch, c->cv->scratch_bytes, err);
    }
    return rc < 0 ? rc : c->cv->impl->run(c->cv, run, &call, err);
}

int clfcn_verify_conv(struct clfcn_conv *cv, const struct clfcn_op_run *run,
                      double *error, struct clfcn_err *err)
{
    struct check *c = calloc(1, sizeof(*c));
    *error = NAN;
    if (!c) {
        return clfcn_err_nomem(err);
    }
    c->cv = cv;
    c->dev = run->dev;
    int rc = open_arrays(c, err);
    if (rc == CLFCN_OK) {
        rc = run_once(c, run, err);
    }
    if (rc == CLFCN_OK) {
        float *got = c->host[c->made];
        rc = clfcn_buffer_read(c->dev, c->mem[c->made], 0,
                               c->count[c->made] * sizeof(*got), got, err);
        *error = rc == CLFCN_OK ? clfcn_samples_error(&c->samples, got) : NAN;
    }
    clFinish(c->dev->compute); /* also after an error: it may still use the arrays */
    close_arrays(c);
    free(c);
    return rc;
}
