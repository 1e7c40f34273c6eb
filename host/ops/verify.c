#include "verify.h"

#include "../util/sys.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a pass touches, by index. */
enum { X, Y, W, BIAS, KEPT, STATE, GAMMA, BETA, SKIP, ARRAYS };

struct check {
    struct clfcn_conv *cv;
    const struct clfcn_op_run *run;
    struct clfcn_dev *dev;
    enum clfcn_verify_after after;
    int made; /* the array that the pass writes */
    struct clfcn_trial_array arrays[ARRAYS];
    struct clfcn_samples samples;
    struct clfcn_trial_noise noise;
};

static bool finishes(const struct clfcn_conv *cv)
{
    return cv->pass == CLFCN_PASS_FORWARD && cv->impl->finishes;
}

/* Of each 2x2 pixels the largest, in place: no pixel is written before it was read. */
static void pool_samples(const struct clfcn_conv_shape *s, struct clfcn_samples *k)
{
    const size_t w = (size_t)s->w, across = w / 2;
    assert((size_t)k->count == k->total);
    k->total /= 4;
    k->count /= 4;
    for (size_t i = 0; i < k->total; ++i) {
        const double *at = &k->want[i / across * 2 * w + i % across * 2];
        k->want[i] = fmax(fmax(at[0], at[1]), fmax(at[w], at[w + 1]));
    }
}

/* What belongs there after all. */
static void add_after(struct check *c)
{
    struct clfcn_samples *k = &c->samples;
    if (c->after == CLFCN_AFTER_POOL) {
        pool_samples(&c->cv->shape, k);
    }
    for (int i = 0; i < k->count && c->after == CLFCN_AFTER_NORM; ++i) {
        const size_t channel = k->at[i] / (k->total / (size_t)c->cv->shape.out);
        const float *state = &c->arrays[STATE].host[2 * channel];
        k->want[i] = (k->want[i] - state[0]) * state[1] * c->arrays[GAMMA].host[channel] +
                     c->arrays[BETA].host[channel] + c->arrays[SKIP].host[k->at[i]];
    }
}

static int open_arrays(struct check *c, enum clfcn_trial_kind data, struct clfcn_err *err)
{
    static const char *const names[] = {
        "x", "y", "weights", "bias", "kept weights", "state", "gamma", "beta", "skip"
    };
    static const int made[] = {
        [CLFCN_PASS_FORWARD] = Y, [CLFCN_PASS_INPUT] = X, [CLFCN_PASS_WEIGHT] = W
    };
    const struct clfcn_conv_shape *s = &c->cv->shape;
    const size_t out = (size_t)s->out, y = clfcn_sample_count_y(s);
    const size_t channels = c->after == CLFCN_AFTER_NORM ? out : 0;
    const size_t counts[] = { clfcn_sample_count_x(s),
                              c->after == CLFCN_AFTER_POOL ? y / 4 : y,
                              clfcn_sample_count_weight(s),
                              out,
                              c->cv->kept_bytes / sizeof(float),
                              2 * channels,
                              channels,
                              channels,
                              channels ? y : 0 };
    int rc = CLFCN_OK;
    c->made = made[c->cv->pass];
    clfcn_trial_noise_init(&c->noise);
    for (int i = 0; rc == CLFCN_OK && i < ARRAYS; ++i) {
        const bool written = i == c->made || i == KEPT;
        c->noise.kind = i == X || i == Y ? data
                        : i == STATE     ? CLFCN_TRIAL_POSITIVE
                                         : CLFCN_TRIAL_NORMAL;
        rc = clfcn_trial_array_open(c->dev, &c->arrays[i], names[i], counts[i],
                                    written ? NULL : &c->noise, err);
    }
    if (rc == CLFCN_OK) {
        const struct clfcn_sample_data known = { c->arrays[X].host, c->arrays[Y].host,
                                                 c->arrays[W].host,
                                                 finishes(c->cv) ? c->arrays[BIAS].host
                                                                 : NULL };
        clfcn_samples_make(s, c->cv->pass, &known, &c->noise.rng, &c->samples);
        add_after(c);
    }
    return rc;
}

static int run_once(void *user, struct clfcn_err *err)
{
    struct check *c = user;
    struct clfcn_conv *cv = c->cv;
    const bool finish = finishes(cv);
    const struct clfcn_conv_norm norm = { .state = c->arrays[STATE].mem,
                                          .gamma = c->arrays[GAMMA].mem,
                                          .beta = c->arrays[BETA].mem,
                                          .skip = c->arrays[SKIP].mem };
    const struct clfcn_conv_call call = { .x = c->arrays[X].mem,
                                          .y = c->arrays[Y].mem,
                                          .weight = c->arrays[W].mem,
                                          .bias = finish ? c->arrays[BIAS].mem : NULL,
                                          .relu = finish,
                                          .pool = c->after == CLFCN_AFTER_POOL,
                                          .norm =
                                              c->after == CLFCN_AFTER_NORM ? &norm : NULL,
                                          .kept = c->arrays[KEPT].mem };
    int rc = clfcn_trial_poison(c->dev, c->run->columns, cv->columns_bytes, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_trial_poison(c->dev, c->run->scratch, cv->scratch_bytes, err);
    }
    if (rc == CLFCN_OK && call.kept) {
        rc = cv->impl->derive(cv, c->run, call.weight, call.kept, err);
    }
    return rc < 0 ? rc : cv->impl->run(cv, c->run, &call, err);
}

int clfcn_repeat(struct clfcn_repeats *r, struct clfcn_dev *dev,
                 struct clfcn_trial_array *made,
                 int (*run)(void *user, struct clfcn_err *err), void *user,
                 struct clfcn_err *err)
{
    const size_t bytes = made->count * sizeof(*r->first);
    int rc = clfcn_trial_array_clear(dev, made, err);
    const double start = clfcn_clock();
    if (rc == CLFCN_OK) {
        rc = run(user, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_trial_array_read(dev, made, err);
    }
    r->ms += 1e3 * (clfcn_clock() - start);
    if (rc < 0) {
        return rc;
    }
    if (r->runs++ == 0) {
        r->first = malloc(bytes);
        if (!r->first) {
            return clfcn_err_nomem(err);
        }
        memcpy(r->first, made->host, bytes);
    }
    r->differ = r->differ || memcmp(r->first, made->host, bytes) != 0;
    return CLFCN_OK;
}

void clfcn_repeat_judge(struct clfcn_repeats *r, const struct clfcn_trial_array *made,
                        double error, struct clfcn_finding *found)
{
    found->error = error;
    found->ms = r->ms;
    clfcn_finding_judge(found);
    if (found->correct && (made->overrun || r->differ)) {
        found->correct = false;
        snprintf(found->why, sizeof(found->why), "%s",
                 made->overrun ? "writes past the end of its result"
                               : "gives other bits when it is repeated");
    }
    free(r->first);
    *r = (struct clfcn_repeats){ 0 };
}

int clfcn_verify_conv(struct clfcn_conv *cv, const struct clfcn_op_run *run,
                      const struct clfcn_verify_how *how, struct clfcn_finding *found,
                      struct clfcn_err *err)
{
    struct check *c = calloc(1, sizeof(*c));
    struct clfcn_repeats repeats = { 0 };
    double error = NAN;
    *found = (struct clfcn_finding){ .tests = 1, .bound = CLFCN_SAMPLES_BOUND };
    if (!c) {
        return clfcn_err_nomem(err);
    }
    c->cv = cv;
    c->run = run;
    c->dev = run->dev;
    c->after = how->after;
    int rc = open_arrays(c, how->data, err);
    struct clfcn_trial_array *made = &c->arrays[c->made];
    for (int i = 0; rc == CLFCN_OK && i < how->runs; ++i) {
        rc = clfcn_repeat(&repeats, c->dev, made, run_once, c, err);
    }
    if (rc == CLFCN_OK) {
        error = clfcn_samples_error(&c->samples, made->host);
    }
    clfcn_repeat_judge(&repeats, made, error, found);
    clFinish(c->dev->compute); /* also after an error: it may still use the arrays */
    for (int i = 0; i < ARRAYS; ++i) {
        clfcn_trial_array_close(c->dev, &c->arrays[i]);
    }
    free(c);
    return rc;
}
