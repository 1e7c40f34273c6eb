#include "conv.h"
#include "op_impl.h"

#include <math.h>
#include <string.h>

/* A convolution, plain or transposed, with bias and ReLU: each pass by its own
 * algorithm. */
struct conv_op {
    struct clfcn_op op;
    struct clfcn_conv_shape shape;             /* out and kernel from creation on */
    struct clfcn_conv *pass[CLFCN_PASS_COUNT]; /* NULL where not wanted */
    struct clfcn_bias_relu bias_relu;
    const struct clfcn_op *norm; /* batch norm that it absorbed, or NULL */
    bool pool;                   /* likewise max pooling */
};

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int plan_passes(struct conv_op *cv, const struct clfcn_op_env *env,
                       struct clfcn_err *err)
{
    struct clfcn_op *op = &cv->op;
    int rc = CLFCN_OK;
    op->scratch_bytes = clfcn_bias_relu_scratch(op->y);
    for (int i = 0; rc == CLFCN_OK && i < CLFCN_PASS_COUNT; ++i) {
        if (i != CLFCN_PASS_FORWARD && !env->training) {
            continue;
        }
        rc = clfcn_conv_create(&cv->shape, (enum clfcn_pass)i, env, &cv->pass[i], err);
        if (rc == CLFCN_OK) {
            op->columns_bytes = larger(op->columns_bytes, cv->pass[i]->columns_bytes);
            op->scratch_bytes = larger(op->scratch_bytes, cv->pass[i]->scratch_bytes);
            op->state_bytes += cv->pass[i]->kept_bytes;
        }
    }
    return rc;
}

/* PyTorch's defaults: Kaiming normal by fan-out for VGG, uniform by fan-in elsewhere; of
 * a transposed convolution it takes Cout*k*k for the fan-in. */
static void add_params(struct conv_op *cv)
{
    const struct clfcn_conv_shape *s = &cv->shape;
    struct clfcn_op *op = &cv->op;
    const int taps = s->kernel * s->kernel;
    const int64_t weight[] = { s->transposed ? s->in : s->out,
                               s->transposed ? s->out : s->in, s->kernel, s->kernel };
    const int64_t bias[] = { s->out };
    if (s->kernel > 1 && !s->transposed) {
        clfcn_op_add_param(op, "weight", true, CLFCN_INIT_NORMAL,
                           sqrt(2.0 / (s->out * taps)), 4, weight);
        clfcn_op_add_param(op, "bias", true, CLFCN_INIT_ZERO, 0.0, 1, bias);
        return;
    }
    const double bound = 1.0 / sqrt((s->transposed ? s->out : s->in) * (double)taps);
    clfcn_op_add_param(op, "weight", true, CLFCN_INIT_UNIFORM, bound, 4, weight);
    clfcn_op_add_param(op, "bias", true, CLFCN_INIT_UNIFORM, bound, 1, bias);
}

static int infer(struct clfcn_op *op, const struct clfcn_op_env *env,
                 struct clfcn_err *err)
{
    struct conv_op *cv = (struct conv_op *)op;
    struct clfcn_conv_shape *s = &cv->shape;
    const int scale = s->transposed ? 2 : 1;
    int rc = clfcn_op_check_row(op->x, err);
    if (rc < 0) {
        return rc;
    }
    s->in = op->x->c;
    s->n = op->x->n;
    s->h = op->x->h;
    s->w = op->x->w;
    *op->y = (struct clfcn_tensor){ s->out, s->n, scale * s->h, scale * s->w, NULL };
    rc = clfcn_op_check_row(op->y, err);
    if (rc < 0) {
        return rc;
    }
    add_params(cv);
    op->forward_flop =
        2.0 * (double)clfcn_tensor_count(op->x) * s->out * s->kernel * s->kernel;
    return env->dev ? plan_passes(cv, env, err) : CLFCN_OK;
}

/* Forward takes the bias and the ReLU along where the algorithm can. */
static bool finishes(const struct conv_op *cv)
{
    return cv->pass[CLFCN_PASS_FORWARD]->impl->finishes;
}

static int prepare(struct clfcn_op *op, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    struct conv_op *cv = (struct conv_op *)op;
    const bool wanted[CLFCN_PASS_COUNT] = {
        [CLFCN_PASS_FORWARD] = true,
        [CLFCN_PASS_INPUT] = op->dx != NULL,
        [CLFCN_PASS_WEIGHT] = env->training && !op->frozen,
    };
    int rc = CLFCN_OK;
    if (env->training || !finishes(cv)) {
        rc = clfcn_bias_relu_prepare(&cv->bias_relu, op->relu, op->relu && !op->dy_masked,
                                     env, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < CLFCN_PASS_COUNT; ++i) {
        if (wanted[i]) {
            rc = cv->pass[i]->impl->prepare(cv->pass[i], env, err);
        }
    }
    op->backward_flop =
        op->forward_flop * (wanted[CLFCN_PASS_INPUT] + wanted[CLFCN_PASS_WEIGHT]);
    return rc;
}

static int run_pass(struct conv_op *cv, enum clfcn_pass pass,
                    const struct clfcn_op_run *run, const struct clfcn_conv_call *call,
                    struct clfcn_err *err)
{
    return cv->pass[pass]->impl->run(cv->pass[pass], run, call, err);
}

static int forward(struct clfcn_op *op, const struct clfcn_op_run *run,
                   struct clfcn_err *err)
{
    struct conv_op *cv = (struct conv_op *)op;
    struct clfcn_conv_norm norm;
    if (cv->norm) {
        norm =
            (struct clfcn_conv_norm){ .state = cv->norm->state,
                                      .gamma = cv->norm->params[0].value,
                                      .beta = cv->norm->params[1].value,
                                      .skip = cv->norm->x2 ? cv->norm->x2->mem : NULL };
    }
    const struct clfcn_conv_call call = {
        .x = op->x->mem,
        .y = op->y->mem,
        .weight = op->params[0].value,
        .bias = finishes(cv) ? op->params[1].value : NULL,
        .relu = finishes(cv) && op->relu,
        .pool = cv->pool,
        .norm = cv->norm ? &norm : NULL,
        .kept = op->state,
    };
    const int rc = run_pass(cv, CLFCN_PASS_FORWARD, run, &call, err);
    return rc < 0 || finishes(cv)
               ? rc
               : clfcn_bias_relu_forward(&cv->bias_relu, run->dev, op->y,
                                         op->params[1].value, err);
}

static int backward(struct clfcn_op *op, const struct clfcn_op_run *run,
                    struct clfcn_err *err)
{
    struct conv_op *cv = (struct conv_op *)op;
    int rc = clfcn_bias_relu_backward(&cv->bias_relu, run, op->y, op->dy,
                                      op->params[1].grad, err);
    if (rc == CLFCN_OK && op->params[0].grad) {
        const struct clfcn_conv_call call = { .x = op->x->mem,
                                              .y = op->dy->mem,
                                              .weight = op->params[0].grad };
        clfcn_prof_pass(run->dev, CLFCN_PASS_WEIGHT);
        rc = run_pass(cv, CLFCN_PASS_WEIGHT, run, &call, err);
    }
    if (rc == CLFCN_OK && op->dx) {
        const struct clfcn_conv_call call = { .x = op->dx->mem,
                                              .y = op->dy->mem,
                                              .weight = op->params[0].value,
                                              .add = op->dx_add };
        clfcn_prof_pass(run->dev, CLFCN_PASS_INPUT);
        rc = run_pass(cv, CLFCN_PASS_INPUT, run, &call, err);
    }
    return rc;
}

static int derive(struct clfcn_op *op, const struct clfcn_op_run *run,
                  struct clfcn_err *err)
{
    struct clfcn_conv *cv = ((struct conv_op *)op)->pass[CLFCN_PASS_FORWARD];
    return op->state ? cv->impl->derive(cv, run, op->params[0].value, op->state, err)
                     : CLFCN_OK;
}

static struct clfcn_conv *conv(const struct clfcn_op *op, enum clfcn_pass pass)
{
    return ((const struct conv_op *)op)->pass[pass];
}

/* The max pooling or batch norm that follows, if the algorithm can. */
static bool absorb(struct clfcn_op *op, const struct clfcn_op *next)
{
    struct conv_op *cv = (struct conv_op *)op;
    const struct clfcn_conv *forward_pass = cv->pass[CLFCN_PASS_FORWARD];
    if (cv->pool || cv->norm || !forward_pass || !forward_pass->impl->absorbs) {
        return false;
    }
    if (strcmp(next->impl->kind, "batchnorm") == 0) {
        cv->norm = next;
    } else if (strcmp(next->impl->kind, "maxpool") == 0 && !cv->shape.transposed &&
               op->y->h % 2 == 0 && op->y->w % 2 == 0) {
        cv->pool = true;
    } else {
        return false;
    }
    op->y = next->y;
    return true;
}

static void finish(struct clfcn_op *op)
{
    struct conv_op *cv = (struct conv_op *)op;
    for (int i = 0; i < CLFCN_PASS_COUNT; ++i) {
        clfcn_conv_destroy(&cv->pass[i]);
    }
}

#define IMPL(title)                                                              \
    {                                                                            \
        .kind = title, .backward_reads_x = true, .backward_reads_y = true,       \
        .adds_dx = true, .infer = infer, .prepare = prepare, .forward = forward, \
        .backward = backward, .finish = finish, .conv = conv, .derive = derive,  \
        .absorb = absorb,                                                        \
    }
static const struct clfcn_op_impl conv2d_impl = IMPL("conv2d"),
                                  deconv2d_impl = IMPL("deconv2d");

static int create(const struct clfcn_op_impl *impl, const struct clfcn_conv_shape *shape,
                  bool relu, struct clfcn_op **out, struct clfcn_err *err)
{
    if (shape->out < 1 || shape->kernel < 1 || shape->kernel % 2 == 0) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "a convolution of %d channels with a %dx%d kernel: channels must be "
            "positive, the kernel odd",
            shape->out, shape->kernel, shape->kernel);
    }
    const int rc = clfcn_op_alloc(sizeof(struct conv_op), impl, out, err);
    if (rc == CLFCN_OK) {
        struct conv_op *cv = (struct conv_op *)*out;
        cv->shape = *shape;
        cv->op.relu = relu;
    }
    return rc;
}

int clfcn_conv2d_create(int out_channels, int kernel, bool relu, struct clfcn_op **out,
                        struct clfcn_err *err)
{
    const struct clfcn_conv_shape shape = { .out = out_channels, .kernel = kernel };
    return create(&conv2d_impl, &shape, relu, out, err);
}

int clfcn_deconv2d_create(int out_channels, struct clfcn_op **out, struct clfcn_err *err)
{
    const struct clfcn_conv_shape shape = { .out = out_channels,
                                            .kernel = 3,
                                            .transposed = true };
    return create(&deconv2d_impl, &shape, true, out, err);
}
