/* verify_op.c - layers without convolutions, run on data of their own and held against
 * their definitions in a few channels: poolings, batch norms, sums and parts of a batch
 * treat each channel by itself. */
#include "../device/buffer.h"
#include "channel.h"
#include "ref.h"
#include "verify.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    X,
    X2,
    Y,
    DY,
    DX,
    STATE,
    PARAMS,
    GRADS = PARAMS + CLFCN_OP_MAX_PARAMS,
    ARRAYS = GRADS + CLFCN_OP_MAX_PARAMS
};
enum { GAMMA, BETA, RUNNING_MEAN, RUNNING_VAR };
enum { CHANNELS = 4, SMALL = 8192 }; /* so many are compared of what has more floats */

struct check {
    struct clfcn_dev *dev;
    struct clfcn_op_run run;
    struct clfcn_op *op;
    bool backward;
    int runs;
    struct clfcn_trial_array arrays[ARRAYS];
    struct clfcn_tensor tensors[STATE];
    size_t x_row, y_row; /* floats of a channel */
    struct clfcn_channel_span span;
    double distance, norm;
    struct clfcn_trial_noise noise;
};

static int open_array(struct check *c, int i, const char *what, size_t count, bool random,
                      struct clfcn_err *err)
{
    return clfcn_trial_array_open(c->dev, &c->arrays[i], what, count,
                                  random ? &c->noise : NULL, err);
}

static int open_arrays(struct check *c, enum clfcn_trial_kind data, struct clfcn_err *err)
{
    static const char *const names[] = { "x", "x2", "y", "dy", "dx" };
    const struct clfcn_op *op = c->op;
    const struct clfcn_tensor *shapes[] = { op->x, op->x2, op->y,
                                            c->backward ? op->y : NULL,
                                            c->backward ? op->x : NULL };
    int rc = CLFCN_OK;
    clfcn_trial_noise_init(&c->noise);
    c->noise.kind = data;
    for (int i = 0; rc == CLFCN_OK && i < STATE; ++i) {
        const size_t count = shapes[i] ? clfcn_tensor_count(shapes[i]) : 0;
        rc = open_array(c, i, names[i], count, i != Y && i != DX, err);
        if (shapes[i]) {
            c->tensors[i] = *shapes[i];
            c->tensors[i].mem = c->arrays[i].mem;
        }
    }
    if (rc == CLFCN_OK) {
        rc = open_array(c, STATE, "state", op->state_bytes / sizeof(float), false, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < op->param_count; ++i) {
        const struct clfcn_param *p = &op->params[i];
        c->noise.kind = strcmp(p->suffix, "running_var") == 0 ? CLFCN_TRIAL_POSITIVE
                                                              : CLFCN_TRIAL_NORMAL;
        rc = open_array(c, PARAMS + i, p->suffix, p->count, true, err);
        if (rc == CLFCN_OK && c->backward && p->learned && !op->frozen) {
            rc = open_array(c, GRADS + i, p->suffix, p->count, false, err);
        }
    }
    return rc;
}

/* What the op makes of a channel; of the parts of a batch, the last. */
static void find_made(struct check *c)
{
    const int a = c->op->x->n, b = c->op->y->n;
    c->x_row = clfcn_tensor_row(c->op->x);
    c->y_row = clfcn_tensor_row(c->op->y);
    c->run.part = (a > b ? a / b : b / a) - 1;
    c->span = clfcn_channel_span(c->op, c->backward, c->run.part);
}

/* Run the op on the arrays in the place of its own tensors and parameters. */
static int run_once(void *user, struct clfcn_err *err)
{
    struct check *c = user;
    struct clfcn_op *op = c->op;
    const struct clfcn_op own = *op;
    op->x = &c->tensors[X];
    op->x2 = op->x2 ? &c->tensors[X2] : NULL;
    op->y = &c->tensors[Y];
    op->dy = &c->tensors[DY];
    op->dx = &c->tensors[DX];
    op->state = c->arrays[STATE].mem;
    for (int i = 0; i < op->param_count; ++i) {
        op->params[i].value = c->arrays[PARAMS + i].mem;
        op->params[i].grad = c->arrays[GRADS + i].mem;
    }
    int rc = clfcn_trial_poison(c->dev, c->run.scratch, op->scratch_bytes, err);
    if (rc == CLFCN_OK) {
        rc = op->impl->forward(op, &c->run, err);
    }
    if (rc == CLFCN_OK && c->backward) {
        rc = op->impl->backward(op, &c->run, err);
    }
    *op = own;
    return rc;
}

/* --- definitions, of one channel --- */

/* Floats as doubles. */
static void widen(const struct clfcn_trial_array *a, size_t from, size_t count,
                  double *out)
{
    for (size_t i = 0; i < count; ++i) {
        out[i] = a->host[from + i];
    }
}

/* What the op makes of x, or of dy, in a channel. */
static void define(const struct check *c, int channel, const double *x, const double *x2,
                   const double *dy, double *want)
{
    struct clfcn_channel of = {
        .x = x, .x2 = x2, .dy = dy, .training = c->run.training, .part = c->run.part
    };
    if (c->op->param_count > 0) {
        of.gamma = c->arrays[PARAMS + GAMMA].host[channel];
        of.beta = c->arrays[PARAMS + BETA].host[channel];
        of.mean = c->arrays[PARAMS + RUNNING_MEAN].host[channel];
        of.var = c->arrays[PARAMS + RUNNING_VAR].host[channel];
    }
    clfcn_channel_define(c->op, c->backward, &of, want);
}

static void compare_channel(struct check *c, int channel, double *memory)
{
    const struct clfcn_trial_array *made = &c->arrays[c->backward ? DX : Y];
    const size_t row = c->backward ? c->x_row : c->y_row;
    const size_t x_from = (size_t)channel * c->x_row, y_from = (size_t)channel * c->y_row;
    double *x = memory, *x2 = x + c->x_row, *dy = x2 + c->x_row, *want = dy + c->y_row;
    widen(&c->arrays[X], x_from, c->x_row, x);
    if (c->op->x2) {
        widen(&c->arrays[X2], x_from, c->x_row, x2);
    }
    if (c->backward) {
        widen(&c->arrays[DY], y_from, c->y_row, dy);
    }
    define(c, channel, x, x2, dy, want);
    for (size_t i = c->span.from; i < c->span.from + c->span.count; ++i) {
        const double off = made->host[(size_t)channel * row + i] - want[i];
        c->distance += off * off;
        c->norm += want[i] * want[i];
    }
}

/* Likewise the running statistics that a batch norm in training leaves, once it has seen
 * the same batch in every run. memory holds x, as compare_channel() leaves it. */
static int compare_running(struct check *c, int channel, double *memory,
                           struct clfcn_err *err)
{
    const int which[] = { PARAMS + RUNNING_MEAN, PARAMS + RUNNING_VAR };
    const double one = 1, zero = 0;
    double want[2], *y = memory + c->x_row;
    int rc = CLFCN_OK;
    for (int i = 0; i < 2; ++i) {
        want[i] = c->arrays[which[i]].host[channel];
    }
    for (int i = 0; i < c->runs; ++i) {
        clfcn_ref_batchnorm(1, c->x_row, memory, &one, &zero, &want[0], &want[1], y);
    }
    for (int i = 0; rc == CLFCN_OK && i < 2; ++i) {
        float got = NAN;
        rc = clfcn_buffer_read(c->dev, c->arrays[which[i]].mem,
                               (size_t)channel * sizeof(got), sizeof(got), &got, err);
        c->distance += (got - want[i]) * (got - want[i]);
        c->norm += want[i] * want[i];
    }
    return rc;
}

/* Whether all is finite that the op makes, and the poison still there that was between.
 */
static bool made_all(const struct check *c, const struct clfcn_trial_array *made)
{
    const size_t row = c->backward ? c->x_row : c->y_row;
    bool right = true;
    for (size_t i = 0; i < made->count; ++i) {
        const size_t at = i % row;
        const bool wanted = at >= c->span.from && at < c->span.from + c->span.count;
        right = right && (wanted ? isfinite(made->host[i]) : isnan(made->host[i]));
    }
    return right;
}

/* The first, the last, and some between, or all; NaN anywhere is told. */
static int compare(struct check *c, double *error, struct clfcn_err *err)
{
    const struct clfcn_trial_array *made = &c->arrays[c->backward ? DX : Y];
    const int channels = c->tensors[X].c;
    const int count = made->count <= SMALL ? channels : CHANNELS;
    double *memory = calloc(3 * c->x_row + 2 * c->y_row, sizeof(*memory));
    if (!memory) {
        return clfcn_err_nomem(err);
    }
    const bool finite = made_all(c, made);
    const bool running =
        strcmp(c->op->impl->kind, "batchnorm") == 0 && !c->backward && c->run.training;
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && finite && i < count; ++i) {
        const int channel = count > 1 ? (channels - 1) * i / (count - 1) : 0;
        compare_channel(c, channel, memory);
        rc = running ? compare_running(c, channel, memory, err) : CLFCN_OK;
    }
    *error = finite && c->norm > 0 ? sqrt(c->distance / c->norm) : NAN;
    free(memory);
    return rc;
}

int clfcn_verify_op(struct clfcn_op *op, const struct clfcn_op_run *run, bool backward,
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
    c->dev = run->dev;
    c->op = op;
    c->run = *run;
    c->backward = backward;
    c->runs = how->runs;
    find_made(c);
    int rc = open_arrays(c, how->data, err);
    struct clfcn_trial_array *made = &c->arrays[backward ? DX : Y];
    for (int i = 0; rc == CLFCN_OK && i < how->runs; ++i) {
        rc = clfcn_repeat(&repeats, c->dev, made, run_once, c, err);
    }
    if (rc == CLFCN_OK) {
        rc = compare(c, &error, err);
    }
    clfcn_repeat_judge(&repeats, made, error, found);
    clFinish(c->dev->compute); /* also after an error: it may still use the arrays */
    for (int i = 0; i < ARRAYS; ++i) {
        clfcn_trial_array_close(c->dev, &c->arrays[i]);
    }
    free(c);
    return rc;
}
