#include "conv.h"
#include "op_impl.h"

#include <math.h>

/* A convolution: each pass by its own algorithm. */
struct conv2d {
    struct clfcn_op op;
    int out_channels, kernel;
    struct clfcn_conv *pass[CLFCN_PASS_COUNT]; /* NULL where not wanted */
    struct clfcn_bias_relu bias_relu;
};

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int infer(struct clfcn_op *op, const struct clfcn_op_env *env,
                 struct clfcn_err *err)
{
    struct conv2d *cv = (struct conv2d *)op;
    const int cin = op->x->c, cout = cv->out_channels, k = cv->kernel;
    const int64_t weight[] = { cout, cin, k, k }, bias[] = { cout };
    int rc = clfcn_op_check_row(op->x, err);
    if (rc < 0) {
        return rc;
    }
    *op->y = (struct clfcn_tensor){ cout, op->x->n, op->x->h, op->x->w, NULL };
    /* PyTorch's defaults: Kaiming normal by fan-out for VGG, uniform by fan-in elsewhere.
     */
    if (k > 1) {
        clfcn_op_add_param(op, "weight", true, CLFCN_INIT_NORMAL,
                           sqrt(2.0 / (cout * k * k)), 4, weight);
        clfcn_op_add_param(op, "bias", true, CLFCN_INIT_ZERO, 0.0, 1, bias);
    } else {
        clfcn_op_add_param(op, "weight", true, CLFCN_INIT_UNIFORM, 1.0 / sqrt(cin), 4,
                           weight);
        clfcn_op_add_param(op, "bias", true, CLFCN_INIT_UNIFORM, 1.0 / sqrt(cin), 1,
                           bias);
    }
    op->forward_flop = 2.0 * (double)clfcn_tensor_count(op->y) * cin * k * k;
    op->scratch_bytes = clfcn_bias_relu_scratch(op->y);
    const struct clfcn_conv_shape shape = { cin, cout, k, op->x->n, op->x->h, op->x->w };
    for (int i = 0; rc == CLFCN_OK && i < CLFCN_PASS_COUNT; ++i) {
        if (i == CLFCN_PASS_FORWARD || env->training) {
            rc = clfcn_conv_create(&shape, (enum clfcn_pass)i, env, &cv->pass[i], err);
        }
        if (rc == CLFCN_OK && cv->pass[i]) {
            op->columns_bytes = larger(op->columns_bytes, cv->pass[i]->columns_bytes);
            op->scratch_bytes = larger(op->scratch_bytes, cv->pass[i]->scratch_bytes);
        }
    }
    return rc;
}

/* Forward takes the bias and the ReLU along where the algorithm can. */
static bool finishes(const struct conv2d *cv)
{
    return cv->pass[CLFCN_PASS_FORWARD]->impl->finishes;
}

static int prepare(struct clfcn_op *op, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    struct conv2d *cv = (struct conv2d *)op;
    const bool wanted[CLFCN_PASS_COUNT] = {
        [CLFCN_PASS_FORWARD] = true,
        [CLFCN_PASS_INPUT] = op->dx != NULL,
        [CLFCN_PASS_WEIGHT] = op->params[0].grad != NULL,
    };
    int rc = clfcn_bias_relu_prepare(&cv->bias_relu, op->relu, op->relu && !op->dy_masked,
                                     env, err);
    for (int i = 0; rc == CLFCN_OK && i < CLFCN_PASS_COUNT; ++i) {
        if (wanted[i]) {
            rc = cv->pass[i]->impl->prepare(cv->pass[i], env, err);
        }
    }
    op->backward_flop =
        op->forward_flop * (wanted[CLFCN_PASS_INPUT] + wanted[CLFCN_PASS_WEIGHT]);
    return rc;
}

static int forward(struct clfcn_op *op, const struct clfcn_op_run *run,
                   struct clfcn_err *err)
{
    struct conv2d *cv = (struct conv2d *)op;
    struct clfcn_conv *pass = cv->pass[CLFCN_PASS_FORWARD];
    const struct clfcn_conv_call call = {
        .x = op->x->mem,
        .y = op->y->mem,
        .weight = op->params[0].value,
        .bias = finishes(cv) ? op->params[1].value : NULL,
        .relu = finishes(cv) && op->relu,
    };
    const int rc = pass->impl->run(pass, run, &call, err);
    return rc < 0 || finishes(cv)
               ? rc
               : clfcn_bias_relu_forward(&cv->bias_relu, run->dev, op->y,
                                         op->params[1].value, err);
}

static int backward(struct clfcn_op *op, const struct clfcn_op_run *run,
                    struct clfcn_err *err)
{
    struct conv2d *cv = (struct conv2d *)op;
    int rc = clfcn_bias_relu_backward(&cv->bias_relu, run, op->y, op->dy,
                                      op->params[1].grad, err);
    if (rc == CLFCN_OK && op->params[0].grad) {
        struct clfcn_conv *pass = cv->pass[CLFCN_PASS_WEIGHT];
        const struct clfcn_conv_call call = { .x = op->x->mem,
                                              .y = op->dy->mem,
                                              .weight = op->params[0].grad };
        rc = pass->impl->run(pass, run, &call, err);
    }
    if (rc == CLFCN_OK && op->dx) {
        struct clfcn_conv *pass = cv->pass[CLFCN_PASS_INPUT];
        const struct clfcn_conv_call call = { .x = op->dx->mem,
                                              .y = op->dy->mem,
                                              .weight = op->params[0].value,
                                              .add = op->dx_add };
        rc = pass->impl->run(pass, run, &call, err);
    }
    return rc;
}

static const char *algorithm(const struct clfcn_op *op, enum clfcn_pass pass,
                             const struct clfcn_gemm *gemm)
{
    const struct conv2d *cv = (const struct conv2d *)op;
    return cv->pass[pass] ? clfcn_conv_name(cv->pass[pass], gemm) : NULL;
}

static void finish(struct clfcn_op *op)
{
    struct conv2d *cv = (struct conv2d *)op;
    for (int i = 0; i < CLFCN_PASS_COUNT; ++i) {
        clfcn_conv_destroy(&cv->pass[i]);
    }
}

static const struct clfcn_op_impl conv2d_impl = {
    .kind = "conv2d",
    .backward_reads_x = true,
    .backward_reads_y = true,
    .adds_dx = true,
    .infer = infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
    .finish = finish,
    .algorithm = algorithm,
};

int clfcn_conv2d_create(int out_channels, int kernel, bool relu, struct clfcn_op **out,
                        struct clfcn_err *err)
{
    if (out_channels < 1 || kernel < 1 || kernel % 2 == 0) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "a convolution of %d channels with a %dx%d kernel: channels must be "
            "positive, the kernel odd",
            out_channels, kernel, kernel);
    }
    const int rc = clfcn_op_alloc(sizeof(struct conv2d), &conv2d_impl, out, err);
    if (rc == CLFCN_OK) {
        struct conv2d *cv = (struct conv2d *)*out;
        cv->out_channels = out_channels;
        cv->kernel = kernel;
        cv->op.relu = relu;
    }
    return rc;
}
