#include "op_impl.h"

#include <math.h>

/* Convolution as matrix products. With X the columns of x (im2col), one column an output
 * pixel:
 *
 *   y  = W X               [Cout][P] = [Cout][Cin*k*k] [Cin*k*k][P]
 *   dW = dY X^T            summed over slices of columns
 *   dx = rotate(W) dYcols  the same convolution, of dy with the weights turned round
 *
 * A 1x1 kernel needs no columns: x is its own matrix. */
struct conv2d {
    struct clfcn_op op;
    int out_channels, kernel;
    int slice, slice_dy;   /* output pixels at a time, of x and of dy */
    size_t columns_offset; /* floats: the turned weights come before the columns */
    struct clfcn_im2col im2col;
    struct clfcn_kernel rotate;
    struct clfcn_bias_relu bias_relu;
};

static const struct clfcn_kernel_desc rotate_desc = {
    .stem = "rotate",
    .entry = "rotate_weights",
    .params = { { "K", 3, { 0 } } },
};

/* Rows of the column matrix. */
static int depth(const struct conv2d *cv)
{
    return cv->op.x->c * cv->kernel * cv->kernel;
}

/* The three products over count columns that begin at pixel first. */
static struct clfcn_gemm_call forward_call(const struct conv2d *cv, cl_mem columns,
                                           int first, int count)
{
    const struct clfcn_op *op = &cv->op;
    const int row = (int)clfcn_tensor_row(op->y);
    const bool direct = cv->kernel == 1;
    return (struct clfcn_gemm_call){
        .m = cv->out_channels,
        .n = count,
        .k = depth(cv),
        .a = { op->params[0].value, 0, depth(cv) },
        .b = { direct ? op->x->mem : columns, direct ? (size_t)first : cv->columns_offset,
               direct ? row : count },
        .c = { op->y->mem, (size_t)first, row },
    };
}

static struct clfcn_gemm_call weight_call(const struct conv2d *cv, cl_mem columns,
                                          int first, int count)
{
    const struct clfcn_op *op = &cv->op;
    const int row = (int)clfcn_tensor_row(op->y);
    const bool direct = cv->kernel == 1;
    return (struct clfcn_gemm_call){
        .trans_b = true,
        .m = cv->out_channels,
        .n = depth(cv),
        .k = count,
        .a = { op->dy ? op->dy->mem : NULL, (size_t)first, row },
        .b = { direct ? op->x->mem : columns, direct ? (size_t)first : cv->columns_offset,
               direct ? row : count },
        .c = { op->params[0].grad, 0, depth(cv) },
        .beta = first > 0 ? 1.0f : 0.0f,
    };
}

static struct clfcn_gemm_call input_call(const struct conv2d *cv, cl_mem columns,
                                         int first, int count)
{
    const struct clfcn_op *op = &cv->op;
    const int row = (int)clfcn_tensor_row(op->y);
    const int k = cv->out_channels * cv->kernel * cv->kernel;
    const bool direct = cv->kernel == 1;
    return (struct clfcn_gemm_call){
        .trans_a = direct,
        .m = op->x->c,
        .n = count,
        .k = k,
        .a = { direct ? op->params[0].value : columns, 0, direct ? op->x->c : k },
        .b = { direct ? (op->dy ? op->dy->mem : NULL) : columns,
               direct ? (size_t)first : cv->columns_offset, direct ? row : count },
        .c = { op->dx ? op->dx->mem : NULL, (size_t)first, row },
        .beta = op->dx_add ? 1.0f : 0.0f,
    };
}

/* Slices, and from them the sizes of both shared buffers. The last slice may be smaller,
 * which some providers pack into more scratch memory: so it is asked for too. */
static int plan_memory(struct conv2d *cv, const struct clfcn_op_env *env,
                       struct clfcn_err *err)
{
    struct clfcn_op *op = &cv->op;
    const int row = (int)clfcn_tensor_row(op->y);
    cv->slice = cv->slice_dy = row;
    if (cv->kernel > 1) {
        const size_t kk = (size_t)(cv->kernel * cv->kernel);
        cv->slice = clfcn_im2col_slice(op->x, cv->kernel, 1, env->columns_limit);
        cv->slice_dy = clfcn_im2col_slice(op->y, cv->kernel, 1, env->columns_limit);
        size_t columns = (size_t)depth(cv) * (size_t)cv->slice;
        if (env->training) {
            const size_t dy_columns =
                (size_t)cv->out_channels * kk * (size_t)cv->slice_dy;
            cv->columns_offset = op->params[0].count;
            columns = dy_columns > columns ? dy_columns : columns;
        }
        op->columns_bytes = (cv->columns_offset + columns) * sizeof(float);
    }
    op->scratch_bytes = clfcn_bias_relu_scratch(op->y);
    int rc = CLFCN_OK;
    const int tails[2] = { row % cv->slice ? row % cv->slice : cv->slice,
                           row % cv->slice_dy ? row % cv->slice_dy : cv->slice_dy };
    for (int i = 0; rc == CLFCN_OK && i < 2; ++i) {
        const int n = i ? tails[0] : cv->slice, n_dy = i ? tails[1] : cv->slice_dy;
        rc = clfcn_op_want_scratch(op, env, forward_call(cv, NULL, 0, n), err);
        if (rc == CLFCN_OK && env->training) {
            rc = clfcn_op_want_scratch(op, env, weight_call(cv, NULL, 0, n), err);
        }
        if (rc == CLFCN_OK && env->training) {
            rc = clfcn_op_want_scratch(op, env, input_call(cv, NULL, 0, n_dy), err);
        }
    }
    return rc;
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
    return plan_memory(cv, env, err);
}

static int prepare(struct clfcn_op *op, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    struct conv2d *cv = (struct conv2d *)op;
    const int values[CLFCN_MAX_PARAMS] = { cv->kernel };
    int rc = clfcn_bias_relu_prepare(&cv->bias_relu, op->relu, op->relu && !op->dy_masked,
                                     env, err);
    if (rc == CLFCN_OK && cv->kernel > 1) {
        rc = clfcn_im2col_prepare(&cv->im2col, cv->kernel, 1, env, err);
    }
    if (rc == CLFCN_OK && cv->kernel > 1 && env->training) {
        rc = clfcn_kernel_want(env->programs, &cv->rotate, &rotate_desc, values, err);
    }
    op->backward_flop =
        op->forward_flop * ((op->params[0].grad != NULL) + (op->dx != NULL));
    return rc;
}

/* Build the columns of src for count pixels from first on, if the kernel needs any;
 * multiply. */
static int multiply(const struct conv2d *cv, const struct clfcn_op_run *run,
                    const struct clfcn_tensor *src, int first, int count,
                    const struct clfcn_gemm_call *call, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    if (cv->kernel > 1) {
        rc = clfcn_im2col_run(&cv->im2col, run->dev, src, run->columns,
                              cv->columns_offset, first, count, err);
    }
    return rc < 0 ? rc : clfcn_gemm_run(run->gemm, call, run->scratch, err);
}

static int forward(struct clfcn_op *op, const struct clfcn_op_run *run,
                   struct clfcn_err *err)
{
    struct conv2d *cv = (struct conv2d *)op;
    const int row = (int)clfcn_tensor_row(op->y);
    int rc = CLFCN_OK;
    for (int first = 0; rc == CLFCN_OK && first < row; first += cv->slice) {
        const int count = row - first < cv->slice ? row - first : cv->slice;
        const struct clfcn_gemm_call call = forward_call(cv, run->columns, first, count);
        rc = multiply(cv, run, op->x, first, count, &call, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_bias_relu_forward(&cv->bias_relu, run->dev, op->y, op->params[1].value,
                                     err);
    }
    return rc;
}

static int backward_weight(const struct conv2d *cv, const struct clfcn_op_run *run,
                           struct clfcn_err *err)
{
    const int row = (int)clfcn_tensor_row(cv->op.y);
    int rc = CLFCN_OK;
    for (int first = 0; rc == CLFCN_OK && first < row; first += cv->slice) {
        const int count = row - first < cv->slice ? row - first : cv->slice;
        const struct clfcn_gemm_call call = weight_call(cv, run->columns, first, count);
        rc = multiply(cv, run, cv->op.x, first, count, &call, err);
    }
    return rc;
}

static int backward_input(const struct conv2d *cv, const struct clfcn_op_run *run,
                          struct clfcn_err *err)
{
    const struct clfcn_op *op = &cv->op;
    const int row = (int)clfcn_tensor_row(op->y);
    int rc = CLFCN_OK;
    if (cv->kernel > 1) {
        const size_t global[] = { (size_t)op->x->c, (size_t)cv->out_channels };
        const struct clfcn_arg args[] = { CLFCN_ARG(op->params[0].value),
                                          CLFCN_ARG(run->columns),
                                          CLFCN_ARG(cv->out_channels),
                                          CLFCN_ARG(op->x->c) };
        rc = clfcn_launch(run->dev, &cv->rotate, 2, global, NULL, args,
                          CLFCN_ARRAY_LEN(args), err);
    }
    for (int first = 0; rc == CLFCN_OK && first < row; first += cv->slice_dy) {
        const int count = row - first < cv->slice_dy ? row - first : cv->slice_dy;
        const struct clfcn_gemm_call call = input_call(cv, run->columns, first, count);
        rc = multiply(cv, run, op->dy, first, count, &call, err);
    }
    return rc;
}

static int backward(struct clfcn_op *op, const struct clfcn_op_run *run,
                    struct clfcn_err *err)
{
    struct conv2d *cv = (struct conv2d *)op;
    int rc = clfcn_bias_relu_backward(&cv->bias_relu, run, op->y, op->dy,
                                      op->params[1].grad, err);
    if (rc == CLFCN_OK && op->params[0].grad) {
        rc = backward_weight(cv, run, err);
    }
    if (rc == CLFCN_OK && op->dx) {
        rc = backward_input(cv, run, err);
    }
    return rc;
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
