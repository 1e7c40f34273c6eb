#include "op_impl.h"

#include <math.h>

/* Transposed convolution 3x3, stride 2, padding 1, output padding 1, as matrix products.
 * With W [Cin][Cout*9] and Y the columns of dy under the same convolution (im2col, stride
 * 2):
 *
 *   columns = W^T x     [Cout*9][P], gathered into y by deconv.cl
 *   dx      = W Y       [Cin][P]
 *   dW      = x Y^T     summed over slices of columns
 *
 * Forward is sliced by output channels, whose columns are independent; backward by
 * pixels. */
struct deconv2d {
    struct clfcn_op op;
    int out_channels;
    int channel_slice, pixel_slice;
    struct clfcn_im2col im2col;
    struct clfcn_kernel gather;
    struct clfcn_bias_relu bias_relu;
};

enum { TAPS = 9 };

static const struct clfcn_kernel_desc gather_desc = { .stem = "deconv",
                                                      .entry = "deconv_gather" };

static struct clfcn_gemm_call forward_call(const struct deconv2d *dc, cl_mem columns,
                                           int first, int channels)
{
    const struct clfcn_op *op = &dc->op;
    const int row = (int)clfcn_tensor_row(op->x);
    return (struct clfcn_gemm_call){
        .trans_a = true,
        .m = channels * TAPS,
        .n = row,
        .k = op->x->c,
        .a = { op->params[0].value, (size_t)first * TAPS, dc->out_channels * TAPS },
        .b = { op->x->mem, 0, row },
        .c = { columns, 0, row },
    };
}

static struct clfcn_gemm_call weight_call(const struct deconv2d *dc, cl_mem columns,
                                          int first, int count)
{
    const struct clfcn_op *op = &dc->op;
    return (struct clfcn_gemm_call){
        .trans_b = true,
        .m = op->x->c,
        .n = dc->out_channels * TAPS,
        .k = count,
        .a = { op->x->mem, (size_t)first, (int)clfcn_tensor_row(op->x) },
        .b = { columns, 0, count },
        .c = { op->params[0].grad, 0, dc->out_channels * TAPS },
        .beta = first > 0 ? 1.0f : 0.0f,
    };
}

static struct clfcn_gemm_call input_call(const struct deconv2d *dc, cl_mem columns,
                                         int first, int count)
{
    const struct clfcn_op *op = &dc->op;
    return (struct clfcn_gemm_call){
        .m = op->x->c,
        .n = count,
        .k = dc->out_channels * TAPS,
        .a = { op->params[0].value, 0, dc->out_channels * TAPS },
        .b = { columns, 0, count },
        .c = { op->dx ? op->dx->mem : NULL, (size_t)first, (int)clfcn_tensor_row(op->x) },
        .beta = op->dx_add ? 1.0f : 0.0f,
    };
}

static int plan_memory(struct deconv2d *dc, const struct clfcn_op_env *env,
                       struct clfcn_err *err)
{
    struct clfcn_op *op = &dc->op;
    const int row = (int)clfcn_tensor_row(op->x), cout = dc->out_channels;
    const size_t channel_bytes = (size_t)row * TAPS * sizeof(float);
    const size_t fit = env->columns_limit / channel_bytes;
    dc->channel_slice = fit < 1 ? 1 : fit > (size_t)cout ? cout : (int)fit;
    dc->pixel_slice = clfcn_im2col_slice(op->y, 3, 2, env->columns_limit);
    op->columns_bytes = channel_bytes * (size_t)dc->channel_slice;
    op->scratch_bytes = clfcn_bias_relu_scratch(op->y);
    if (env->training) {
        const size_t bytes =
            (size_t)cout * TAPS * (size_t)dc->pixel_slice * sizeof(float);
        op->columns_bytes = bytes > op->columns_bytes ? bytes : op->columns_bytes;
    }
    const int channel_tail = cout % dc->channel_slice, pixel_tail = row % dc->pixel_slice;
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < 2; ++i) {
        const int channels = i && channel_tail ? channel_tail : dc->channel_slice;
        const int pixels = i && pixel_tail ? pixel_tail : dc->pixel_slice;
        rc = clfcn_op_want_scratch(op, env, forward_call(dc, NULL, 0, channels), err);
        if (rc == CLFCN_OK && env->training) {
            rc = clfcn_op_want_scratch(op, env, weight_call(dc, NULL, 0, pixels), err);
        }
        if (rc == CLFCN_OK && env->training) {
            rc = clfcn_op_want_scratch(op, env, input_call(dc, NULL, 0, pixels), err);
        }
    }
    return rc;
}

static int infer(struct clfcn_op *op, const struct clfcn_op_env *env,
                 struct clfcn_err *err)
{
    struct deconv2d *dc = (struct deconv2d *)op;
    const int cin = op->x->c, cout = dc->out_channels;
    const int64_t weight[] = { cin, cout, 3, 3 }, bias[] = { cout };
    /* PyTorch takes Cout*9 for the fan-in of a transposed convolution. */
    const double bound = 1.0 / sqrt(cout * 9.0);
    int rc = clfcn_op_check_row(op->x, err);
    if (rc < 0) {
        return rc;
    }
    *op->y = (struct clfcn_tensor){ cout, op->x->n, 2 * op->x->h, 2 * op->x->w, NULL };
    rc = clfcn_op_check_row(op->y, err);
    if (rc < 0) {
        return rc;
    }
    clfcn_op_add_param(op, "weight", true, CLFCN_INIT_UNIFORM, bound, 4, weight);
    clfcn_op_add_param(op, "bias", true, CLFCN_INIT_UNIFORM, bound, 1, bias);
    op->forward_flop = 2.0 * (double)clfcn_tensor_count(op->x) * cout * TAPS;
    return plan_memory(dc, env, err);
}

static int prepare(struct clfcn_op *op, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    struct deconv2d *dc = (struct deconv2d *)op;
    int rc = clfcn_kernel_want(env->programs, &dc->gather, &gather_desc, NULL, err);
    if (rc == CLFCN_OK && env->training) {
        rc = clfcn_bias_relu_prepare(&dc->bias_relu, true, !op->dy_masked, env, err);
    }
    if (rc == CLFCN_OK && env->training) {
        rc = clfcn_im2col_prepare(&dc->im2col, 3, 2, env, err);
    }
    op->backward_flop =
        op->forward_flop * ((op->params[0].grad != NULL) + (op->dx != NULL));
    return rc;
}

static int forward(struct clfcn_op *op, const struct clfcn_op_run *run,
                   struct clfcn_err *err)
{
    struct deconv2d *dc = (struct deconv2d *)op;
    const int row = (int)clfcn_tensor_row(op->x);
    int rc = CLFCN_OK;
    for (int c = 0; rc == CLFCN_OK && c < dc->out_channels; c += dc->channel_slice) {
        const int left = dc->out_channels - c;
        const int channels = left < dc->channel_slice ? left : dc->channel_slice;
        const struct clfcn_gemm_call call = forward_call(dc, run->columns, c, channels);
        const size_t global[] = { (size_t)row, (size_t)channels };
        const size_t local[] = { run->dev->info.max_work_group < 64 ? 1 : 64, 1 };
        const struct clfcn_arg args[] = {
            CLFCN_ARG(run->columns),
            CLFCN_ARG(op->params[1].value),
            CLFCN_ARG(op->y->mem),
            CLFCN_ARG(row),
            CLFCN_ARG(op->x->h),
            CLFCN_ARG(op->x->w),
            CLFCN_ARG(c),
        };
        rc = clfcn_gemm_run(run->gemm, &call, run->scratch, err);
        if (rc == CLFCN_OK) {
            rc = clfcn_launch(run->dev, &dc->gather, 2, global, local, args,
                              CLFCN_ARRAY_LEN(args), err);
        }
    }
    return rc;
}

static int backward(struct clfcn_op *op, const struct clfcn_op_run *run,
                    struct clfcn_err *err)
{
    struct deconv2d *dc = (struct deconv2d *)op;
    const int row = (int)clfcn_tensor_row(op->x);
    int rc = clfcn_bias_relu_backward(&dc->bias_relu, run, op->y, op->dy,
                                      op->params[1].grad, err);
    for (int first = 0; rc == CLFCN_OK && first < row; first += dc->pixel_slice) {
        const int count = row - first < dc->pixel_slice ? row - first : dc->pixel_slice;
        const struct clfcn_gemm_call weight = weight_call(dc, run->columns, first, count);
        const struct clfcn_gemm_call input = input_call(dc, run->columns, first, count);
        rc = clfcn_im2col_run(&dc->im2col, run->dev, op->dy, run->columns, 0, first,
                              count, err);
        if (rc == CLFCN_OK && op->params[0].grad) {
            rc = clfcn_gemm_run(run->gemm, &weight, run->scratch, err);
        }
        if (rc == CLFCN_OK && op->dx) {
            rc = clfcn_gemm_run(run->gemm, &input, run->scratch, err);
        }
    }
    return rc;
}

static const char *algorithm(const struct clfcn_op *op, enum clfcn_pass pass,
                             const struct clfcn_gemm *gemm)
{
    return gemm->impl->algorithm;
}

static const struct clfcn_op_impl deconv2d_impl = {
    .kind = "deconv2d",
    .backward_reads_x = true,
    .backward_reads_y = true,
    .adds_dx = true,
    .infer = infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
    .algorithm = algorithm,
};

int clfcn_deconv2d_create(int out_channels, struct clfcn_op **out, struct clfcn_err *err)
{
    if (out_channels < 1) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "a transposed convolution needs channels");
    }
    const int rc = clfcn_op_alloc(sizeof(struct deconv2d), &deconv2d_impl, out, err);
    if (rc == CLFCN_OK) {
        ((struct deconv2d *)*out)->out_channels = out_channels;
        (*out)->relu = true;
    }
    return rc;
}
