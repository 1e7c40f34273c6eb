/* selftest_kernels.c - the self-test of the kernels that are no layer of their own:
 * biases with ReLU, losses, optimisers, sums and clipping of gradients, and the providers
 * of matrix products. */
#include "../util/sys.h"
#include "accumulate.h"
#include "clip.h"
#include "gemm_rate.h"
#include "loss.h"
#include "op_impl.h"
#include "optim.h"
#include "ref.h"
#include "selftest.h"
#include "verify.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 4 }; /* of each test, so that races show */

enum { A0, A1, A2, A3, A4, ARRAYS };
enum { COUNT = 32 * 37 }; /* parameters that an optimiser updates: a multiple of 16 */
static const double CLIP_LIMIT = 3.0; /* less than the norm of so many */

/* A kernel, the arrays that it reads, the one that it makes, and what belongs there. */
struct part {
    const struct clfcn_selftest *t;
    const struct kernel *test;
    struct clfcn_programs *programs;
    struct clfcn_trial_noise noise;
    struct clfcn_trial_array arrays[ARRAYS];
    const float *start[ARRAYS]; /* content before each run; NULL: nothing is written */
    cl_mem labels;
    double *want;
    struct clfcn_tensor x;
    int64_t labelled;
    double terms;
    struct clfcn_loss_op loss;
    struct clfcn_optim optim;
    struct clfcn_bias_relu bias;
    struct clfcn_accumulate accumulate;
    struct clfcn_clip clip;
};

struct kernel {
    const char *subject, *pass;
    int which; /* enum clfcn_loss or clfcn_optimizer */
    int made;
    int (*open)(struct part *p, const struct clfcn_op_env *env, struct clfcn_err *err);
    int (*run)(struct part *p, struct clfcn_err *err);
};

static int open_array(struct part *p, int i, size_t count, enum clfcn_trial_kind kind,
                      struct clfcn_err *err)
{
    p->noise.kind = kind;
    return clfcn_trial_array_open(p->t->dev, &p->arrays[i], "test data", count,
                                  i == p->test->made ? NULL : &p->noise, err);
}

static double *widened(const struct clfcn_trial_array *a)
{
    double *v = malloc(a->count * sizeof(*v));
    for (size_t i = 0; v && i < a->count; ++i) {
        v[i] = a->host[i];
    }
    return v;
}

/* A0 y, A1 bias, A2 what y holds before */
static int open_bias(struct part *p, const struct clfcn_op_env *env,
                     struct clfcn_err *err)
{
    const size_t count = clfcn_tensor_count(&p->x), row = clfcn_tensor_row(&p->x);
    int rc = clfcn_bias_relu_prepare(&p->bias, true, true, env, err);
    for (int i = A0; rc == CLFCN_OK && i <= A2; ++i) {
        rc = open_array(p, i, i == A1 ? (size_t)p->x.c : count, CLFCN_TRIAL_NORMAL, err);
    }
    p->want = rc < 0 ? NULL : widened(&p->arrays[A2]);
    p->start[A0] = p->arrays[A2].host;
    for (size_t i = 0; p->want && i < count; ++i) {
        p->want[i] = fmax(0.0, p->want[i] + p->arrays[A1].host[i / row]);
    }
    return rc;
}

static int run_bias(struct part *p, struct clfcn_err *err)
{
    p->x.mem = p->arrays[A0].mem;
    return clfcn_bias_relu_forward(&p->bias, p->t->dev, &p->x, p->arrays[A1].mem, err);
}

/* A0 the gradient of bias, A1 y, A2 that of y */
static int open_bias_gradient(struct part *p, const struct clfcn_op_env *env,
                              struct clfcn_err *err)
{
    const size_t count = clfcn_tensor_count(&p->x), row = clfcn_tensor_row(&p->x);
    int rc = clfcn_bias_relu_prepare(&p->bias, true, true, env, err);
    for (int i = A0; rc == CLFCN_OK && i <= A2; ++i) {
        rc = open_array(p, i, i == A0 ? (size_t)p->x.c : count, CLFCN_TRIAL_NORMAL, err);
    }
    if (rc == CLFCN_OK) {
        rc = open_array(p, A3, clfcn_bias_relu_scratch(&p->x) / sizeof(float),
                        CLFCN_TRIAL_NORMAL, err);
    }
    p->start[A2] = p->arrays[A2].host;
    p->want = rc < 0 ? NULL : calloc((size_t)p->x.c, sizeof(*p->want));
    for (size_t i = 0; p->want && i < count; ++i) {
        const bool on = p->arrays[A1].host[i] > 0;
        p->want[i / row] += on ? p->arrays[A2].host[i] : 0;
    }
    return rc;
}

static int run_bias_gradient(struct part *p, struct clfcn_err *err)
{
    struct clfcn_tensor dy = p->x;
    const struct clfcn_op_run run = { .dev = p->t->dev,
                                      .training = true,
                                      .scratch = p->arrays[A3].mem };
    p->x.mem = p->arrays[A1].mem;
    dy.mem = p->arrays[A2].mem;
    return clfcn_bias_relu_backward(&p->bias, &run, &p->x, &dy, p->arrays[A0].mem, err);
}

/* Labels, of which one in five counts nowhere. */
static int open_labels(struct part *p, uint8_t *labels, struct clfcn_err *err)
{
    const size_t row = clfcn_tensor_row(&p->x);
    for (size_t i = 0; i < row; ++i) {
        const bool on = clfcn_rng_below(&p->noise.rng, 5) > 0;
        labels[i] =
            on ? (uint8_t)clfcn_rng_below(&p->noise.rng, (uint32_t)p->x.c) : CLFCN_IGNORE;
        p->labelled += on;
    }
    const int rc = clfcn_buffer_create(p->t->dev, row, "labels", &p->labels, err);
    return rc < 0 ? rc : clfcn_buffer_write(p->t->dev, p->labels, 0, row, labels, err);
}

/* A0 logits, A1 their gradient, A2 the loss, A3 scratch. */
static int open_loss(struct part *p, const struct clfcn_op_env *env,
                     struct clfcn_err *err)
{
    const size_t count = clfcn_tensor_count(&p->x), row = clfcn_tensor_row(&p->x);
    float weights[CLFCN_MAX_CLASSES];
    const struct clfcn_loss_how how = { .kind = (enum clfcn_loss)p->test->which,
                                        .weights = weights,
                                        .gamma = 2.0 };
    for (int c = 0; c < p->x.c; ++c) {
        weights[c] = 0.5f + 0.25f * (float)(c % 5);
    }
    int rc = clfcn_loss_prepare(&p->loss, &how, &p->x, env, err);
    const size_t counts[] = { count, count, 1, p->loss.scratch_bytes / sizeof(float) };
    for (int i = A0; rc == CLFCN_OK && i <= A3; ++i) {
        rc = open_array(p, i, counts[i], CLFCN_TRIAL_NORMAL, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_loss_allocate(&p->loss, p->t->dev, err);
    }
    uint8_t *labels = malloc(row);
    double *logits = rc < 0 ? NULL : widened(&p->arrays[A0]);
    p->want = malloc(count * sizeof(*p->want));
    if (rc == CLFCN_OK && labels && logits && p->want) {
        rc = open_labels(p, labels, err);
        const double loss = clfcn_ref_loss(&how, p->x.c, row, logits, labels, p->want);
        p->want[0] = p->test->made == A2 ? loss : p->want[0];
        p->terms = clfcn_loss_terms(&p->loss, labels, p->labelled);
    } else if (rc == CLFCN_OK) {
        rc = clfcn_err_nomem(err);
    }
    free(labels);
    free(logits);
    return rc;
}

static int run_loss(struct part *p, struct clfcn_err *err)
{
    struct clfcn_tensor gradient = p->x;
    const struct clfcn_op_run run = { .dev = p->t->dev,
                                      .training = true,
                                      .scratch = p->arrays[A3].mem };
    p->x.mem = p->arrays[A0].mem;
    gradient.mem = p->arrays[A1].mem;
    return clfcn_loss_run(&p->loss, &run, &p->x, p->labels, p->terms, &gradient,
                          p->arrays[A2].mem, 0, err);
}

/* The third update of some. */
static const struct clfcn_optim_hyper hyper = { .lr = 0.1,
                                                .momentum = 0.7,
                                                .weight_decay = 0.01,
                                                .beta1 = 0.9,
                                                .beta2 = 0.999,
                                                .eps = 1e-8,
                                                .update = 3 };

/* A0 parameters, A1 gradients, A2 and A3 state, A4 what the parameters are before */
static int open_optim(struct part *p, const struct clfcn_op_env *env,
                      struct clfcn_err *err)
{
    const enum clfcn_optimizer kind = (enum clfcn_optimizer)p->test->which;
    int rc = clfcn_optim_prepare(&p->optim, kind, env, err);
    for (int i = A0; rc == CLFCN_OK && i <= A4; ++i) {
        rc = open_array(p, i, COUNT, i == A3 ? CLFCN_TRIAL_POSITIVE : CLFCN_TRIAL_NORMAL,
                        err);
    }
    if (rc < 0) {
        return rc;
    }
    p->start[A0] = p->arrays[A4].host;
    p->start[A2] = p->arrays[A2].host;
    p->start[A3] = p->arrays[A3].host;
    double *g = widened(&p->arrays[A1]), *s0 = widened(&p->arrays[A2]),
           *s1 = widened(&p->arrays[A3]);
    p->want = widened(&p->arrays[A4]);
    if (g && s0 && s1 && p->want) {
        clfcn_ref_optim(kind, COUNT, hyper.lr, hyper.momentum, hyper.weight_decay,
                        hyper.beta1, hyper.beta2, hyper.eps, hyper.update, p->want, g, s0,
                        s1);
    } else {
        rc = clfcn_err_nomem(err);
    }
    free(g);
    free(s0);
    free(s1);
    return rc;
}

static int run_optim(struct part *p, struct clfcn_err *err)
{
    const bool one = clfcn_optim_states(p->optim.kind) == 1;
    return clfcn_optim_run(&p->optim, p->t->dev, &hyper, p->arrays[A0].mem,
                           p->arrays[A1].mem, p->arrays[A2].mem,
                           one ? NULL : p->arrays[A3].mem, COUNT, err);
}

/* A0 the sum, A1 what is added to it, A2 what it was before */
static int open_accumulate(struct part *p, const struct clfcn_op_env *env,
                           struct clfcn_err *err)
{
    const size_t count = clfcn_tensor_count(&p->x);
    int rc = clfcn_accumulate_prepare(&p->accumulate, env, err);
    for (int i = A0; rc == CLFCN_OK && i <= A2; ++i) {
        rc = open_array(p, i, count, CLFCN_TRIAL_NORMAL, err);
    }
    p->start[A0] = p->arrays[A2].host;
    p->want = rc < 0 ? NULL : widened(&p->arrays[A1]);
    for (size_t i = 0; p->want && i < count; ++i) {
        p->want[i] += p->arrays[A2].host[i];
    }
    return rc;
}

static int run_accumulate(struct part *p, struct clfcn_err *err)
{
    return clfcn_accumulate_run(&p->accumulate, p->t->dev, p->arrays[A0].mem,
                                p->arrays[A1].mem, p->arrays[A0].count, err);
}

/* A0 gradients, A1 their norm and the factor, A2 what they are before, A3 scratch */
static int open_clip(struct part *p, const struct clfcn_op_env *env,
                     struct clfcn_err *err)
{
    const size_t scratch = clfcn_clip_scratch(COUNT) / sizeof(float);
    const size_t counts[] = { COUNT, 2, COUNT, scratch };
    int rc = clfcn_clip_prepare(&p->clip, env, err);
    for (int i = A0; rc == CLFCN_OK && i <= A3; ++i) {
        rc = open_array(p, i, counts[i], CLFCN_TRIAL_NORMAL, err);
    }
    p->start[A0] = p->arrays[A2].host;
    p->want = rc < 0 ? NULL : widened(&p->arrays[A2]);
    double norm = 0.0;
    for (size_t i = 0; p->want && i < COUNT; ++i) {
        norm += p->want[i] * p->want[i];
    }
    for (size_t i = 0; p->want && i < COUNT; ++i) {
        p->want[i] *= CLIP_LIMIT / (sqrt(norm) + 1e-6);
    }
    return rc;
}

static int run_clip(struct part *p, struct clfcn_err *err)
{
    const struct clfcn_op_run run = { .dev = p->t->dev,
                                      .training = true,
                                      .scratch = p->arrays[A3].mem };
    return clfcn_clip_run(&p->clip, &run, p->arrays[A0].mem, COUNT, CLIP_LIMIT,
                          p->arrays[A1].mem, 0, err);
}

/* Names as in names.c of the networks. */
static const struct kernel kernels[] = {
    { "bias and ReLU", "forward", 0, A0, open_bias, run_bias },
    { "bias and ReLU", "backward", 0, A0, open_bias_gradient, run_bias_gradient },
    { "bce", "forward", CLFCN_LOSS_BCE, A2, open_loss, run_loss },
    { "bce", "backward", CLFCN_LOSS_BCE, A1, open_loss, run_loss },
    { "ce", "forward", CLFCN_LOSS_CE, A2, open_loss, run_loss },
    { "ce", "backward", CLFCN_LOSS_CE, A1, open_loss, run_loss },
    { "dice", "forward", CLFCN_LOSS_DICE, A2, open_loss, run_loss },
    { "dice", "backward", CLFCN_LOSS_DICE, A1, open_loss, run_loss },
    { "focal", "forward", CLFCN_LOSS_FOCAL, A2, open_loss, run_loss },
    { "focal", "backward", CLFCN_LOSS_FOCAL, A1, open_loss, run_loss },
    { "sgd", "update", CLFCN_SGD, A0, open_optim, run_optim },
    { "adam", "update", CLFCN_ADAM, A0, open_optim, run_optim },
    { "adamw", "update", CLFCN_ADAMW, A0, open_optim, run_optim },
    { "accumulate", "update", 0, A0, open_accumulate, run_accumulate },
    { "clip", "update", 0, A0, open_clip, run_clip },
};

static int run_part(void *user, struct clfcn_err *err)
{
    struct part *p = user;
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < ARRAYS; ++i) {
        if (p->start[i]) {
            rc = clfcn_buffer_write(p->t->dev, p->arrays[i].mem, 0,
                                    p->arrays[i].count * sizeof(float), p->start[i], err);
        }
    }
    return rc < 0 ? rc : p->test->run(p, err);
}

static double error_of(const struct part *p)
{
    const struct clfcn_trial_array *made = &p->arrays[p->test->made];
    double distance = 0, norm = 0;
    for (size_t i = 0; i < made->count; ++i) {
        const double off = made->host[i] - p->want[i];
        distance += off * off;
        norm += p->want[i] * p->want[i];
    }
    return norm > 0 ? sqrt(distance / norm) : distance > 0 ? INFINITY : 0.0;
}

static int try_part(struct part *p, struct clfcn_finding *found, struct clfcn_err *err)
{
    struct clfcn_op_env env = { .dev = p->t->dev, .training = true };
    struct clfcn_repeats repeats = { 0 };
    struct clfcn_trial_array *made = &p->arrays[p->test->made];
    int rc = clfcn_programs_create(env.dev, &p->programs, err);
    env.programs = p->programs;
    if (rc == CLFCN_OK) {
        rc = p->test->open(p, &env, err);
    }
    if (rc == CLFCN_OK && !p->want) {
        rc = clfcn_err_nomem(err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_programs_build(p->programs, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < RUNS; ++i) {
        rc = clfcn_repeat(&repeats, env.dev, made, run_part, p, err);
    }
    clfcn_repeat_judge(&repeats, made, rc < 0 ? NAN : error_of(p), found);
    clFinish(env.dev->compute);
    return rc;
}

static int test_kernel(const struct clfcn_selftest *t, const struct kernel *test,
                       const struct clfcn_tensor *x, struct clfcn_certificate *out,
                       struct clfcn_err *err)
{
    struct part *p = calloc(1, sizeof(*p));
    struct clfcn_finding found = { .tests = 1, .bound = CLFCN_SAMPLES_BOUND };
    struct clfcn_err why;
    char at[64];
    if (!p) {
        return clfcn_err_nomem(err);
    }
    p->t = t;
    p->test = test;
    p->x = *x;
    clfcn_trial_noise_init(&p->noise);
    snprintf(at, sizeof(at), "%d channels, %d of %dx%d", x->c, x->n, x->w, x->h);
    int rc = try_part(p, &found, &why);
    rc =
        clfcn_selftest_note(t, &found, test->subject, test->pass, at, rc, &why, out, err);
    for (int i = 0; i < ARRAYS; ++i) {
        clfcn_trial_array_close(t->dev, &p->arrays[i]);
    }
    clfcn_buffer_release(t->dev, &p->labels);
    clfcn_loss_release(&p->loss, t->dev);
    clfcn_programs_destroy(&p->programs);
    free(p->want);
    free(p);
    return rc;
}

static int test_products(const struct clfcn_selftest *t, enum clfcn_gemm_kind kind,
                         struct clfcn_certificate *out, struct clfcn_err *err)
{
    static const int sizes[][3] = { { 33, 70, 45 }, { 1, 1, 1 }, { 128, 13, 200 } };
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < CLFCN_ARRAY_LEN(sizes); ++i) {
        struct clfcn_gemm_rate r = { .m = sizes[i][0],
                                     .n = sizes[i][1],
                                     .k = sizes[i][2] };
        struct clfcn_finding found = { .tests = 1, .bound = CLFCN_SAMPLES_BOUND };
        struct clfcn_err why;
        char at[64];
        const double start = clfcn_clock();
        snprintf(at, sizeof(at), "%dx%dx%d", r.m, r.n, r.k);
        rc = clfcn_gemm_measure(t->dev, kind, &r, &why);
        found.error = r.error;
        found.ms = 1e3 * (clfcn_clock() - start);
        clfcn_finding_judge(&found);
        rc = clfcn_selftest_note(t, &found, "matrix product",
                                 clfcn_gemm_impl_of(&t->dev->info, kind)->name, at, rc,
                                 &why, out, err);
    }
    return rc;
}

int clfcn_selftest_kernels(const struct clfcn_selftest *t, struct clfcn_certificate *out,
                           struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int i = 0; i < CLFCN_ARRAY_LEN(kernels); ++i) {
        for (int j = 0; rc == CLFCN_OK && j < CLFCN_SELFTEST_TENSORS; ++j) {
            rc = test_kernel(t, &kernels[i], &clfcn_selftest_tensors[j], out, err);
        }
    }
    if (rc == CLFCN_OK && t->gemm != CLFCN_GEMM_CLBLAST) {
        rc = test_products(t, CLFCN_GEMM_NATIVE, out, err);
    }
    if (rc == CLFCN_OK && t->gemm != CLFCN_GEMM_NATIVE &&
        clfcn_gemm_check_kind(&t->dev->info, CLFCN_GEMM_CLBLAST, NULL) == CLFCN_OK) {
        rc = test_products(t, CLFCN_GEMM_CLBLAST, out, err);
    }
    return rc;
}
