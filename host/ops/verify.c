#include "verify.h"

#include "trial_data.h"
#include <math.h>
#include <stdlib.h>

/* What a pass touches, by index. */
enum { X, Y, W, BIAS, ARRAYS };

struct check {
    struct clfcn_conv *cv;
    struct clfcn_dev *dev;
    int made; /* the array that the pass writes */
    struct clfcn_trial_array arrays[ARRAYS];
    struct clfcn_samples samples;
    struct clfcn_trial_noise noise;
};

static bool finishes(const struct clfcn_conv *cv)
{
    return cv->pass == CLFCN_PASS_FORWARD && cv->impl->finishes;
}

static int open_arrays(struct check *c, struct clfcn_err *err)
{
    static const char *const names[] = { "x", "y", "weights", "bias" };
    static const int made[] = {
        [CLFCN_PASS_FORWARD] = Y, [CLFCN_PASS_INPUT] = X, [CLFCN_PASS_WEIGHT] = W
    };
    const struct clfcn_conv_shape *s = &c->cv->shape;
    const size_t counts[] = { clfcn_sample_count_x(s), clfcn_sample_count_y(s),
                              clfcn_sample_count_weight(s), (size_t)s->out };
    int rc = CLFCN_OK;
    c->made = made[c->cv->pass];
    clfcn_trial_noise_init(&c->noise);
    for (int i = 0; rc == CLFCN_OK && i < ARRAYS; ++i) {
        rc = clfcn_trial_array_open(c->dev, &c->arrays[i], names[i], counts[i],
                                    i == c->made ? NULL : &c->noise, err);
    }
    if (rc == CLFCN_OK) {
        const struct clfcn_sample_data data = { c->arrays[X].host, c->arrays[Y].host,
                                                c->arrays[W].host,
                                                finishes(c->cv) ? c->arrays[BIAS].host
                                                                : NULL };
        clfcn_samples_make(s, c->cv->pass, &data, &c->noise.rng, &c->samples);
    }
    return rc;
}

static int run_once(struct check *c, const struct clfcn_op_run *run,
                    struct clfcn_err *err)
{
    const bool finish = finishes(c->cv);
    const struct clfcn_conv_call call = { .x = c->arrays[X].mem,
                                          .y = c->arrays[Y].mem,
                                          .weight = c->arrays[W].mem,
                                          .bias = finish ? c->arrays[BIAS].mem : NULL,
                                          .relu = finish };
    int rc = clfcn_trial_poison(c->dev, run->columns, c->cv->columns_bytes, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_trial_poison(c->dev, run->scratch, c->cv->scratch_bytes, err);
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
        struct clfcn_trial_array *made = &c->arrays[c->made];
        rc = clfcn_trial_array_read(c->dev, made, err);
        *error = rc == CLFCN_OK ? clfcn_samples_error(&c->samples, made->host) : NAN;
    }
    clFinish(c->dev->compute); /* also after an error: it may still use the arrays */
    for (int i = 0; i < ARRAYS; ++i) {
        clfcn_trial_array_close(c->dev, &c->arrays[i]);
    }
    free(c);
    return rc;
}
