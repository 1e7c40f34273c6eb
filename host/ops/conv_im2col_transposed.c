#include "conv.h"
#include "op_impl.h"

/* The transposed convolution as matrix products. With W [Cin][Cout*9] and Y the columns
 * of dy under the convolution that it transposes (im2col, stride 2):
 *
 *   columns = W^T x     [Cout*9][P], gathered into y by deconv.cl with bias and ReLU
 *   dx      = W Y       [Cin][P]
 *   dW      = x Y^T     summed over slices of columns
 *
 * Forward is sliced by output channels, whose columns are independent; backward by
 * pixels. */
struct transposed {
    struct clfcn_conv cv;
    int slice;
    struct clfcn_im2col im2col;
    struct clfcn_kernel gather;
};

enum { TAPS = 9 };

static const struct clfcn_kernel_desc gather_desc = { .stem = "deconv",
                                                      .entry = "deconv_gather",
                                                      .cut = CLFCN_CUT_X | CLFCN_CUT_Y };

static int pixels(const struct clfcn_conv_shape *s)
{
    return s->n * s->h * s->w;
}

static struct clfcn_tensor gradient(const struct clfcn_conv *cv,
                                    const struct clfcn_conv_call *call)
{
    const struct clfcn_conv_shape *s = &cv->shape;
    return (struct clfcn_tensor){ s->out, s->n, 2 * s->h, 2 * s->w, call->y };
}

/* The product over count output channels (forward) or pixels from first on. */
static struct clfcn_gemm_call product(const struct clfcn_conv *cv, cl_mem columns,
                                      const struct clfcn_conv_call *call, int first,
                                      int count)
{
    const struct clfcn_conv_shape *s = &cv->shape;
    const int row = pixels(s), depth = s->out * TAPS;
    const struct clfcn_mat x = { call->x, (size_t)first, row };
    switch (cv->pass) {
    case CLFCN_PASS_FORWARD:
        return (struct clfcn_gemm_call){
            .trans_a = true,
            .m = count * TAPS,
            .n = row,
            .k = s->in,
            .a = { call->weight, (size_t)first * TAPS, depth },
            .b = { call->x, 0, row },
            .c = { columns, 0, row },
        };
    case CLFCN_PASS_INPUT:
        return (struct clfcn_gemm_call){ .m = s->in,
                                         .n = count,
                                         .k = depth,
                                         .a = { call->weight, 0, depth },
                                         .b = { columns, 0, count },
                                         .c = x,
                                         .beta = call->add ? 1.0f : 0.0f };
    default:
        return (struct clfcn_gemm_call){ .trans_b = true,
                                         .m = s->in,
                                         .n = depth,
                                         .k = count,
                                         .a = x,
                                         .b = { columns, 0, count },
                                         .c = { call->weight, 0, depth },
                                         .beta = first > 0 ? 1.0f : 0.0f };
    }
}

static bool fits(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                 const struct clfcn_op_env *env)
{
    return shape->transposed;
}

/* The last slice may be smaller, which some providers pack into more scratch memory: so
 * it is asked for too. */
static int plan(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                struct clfcn_err *err)
{
    struct transposed *tr = (struct transposed *)cv;
    const struct clfcn_conv_shape *s = &cv->shape;
    const struct clfcn_conv_call none = { 0 };
    const bool by_channels = cv->pass == CLFCN_PASS_FORWARD;
    const int whole = by_channels ? s->out : pixels(s);
    if (by_channels) {
        const size_t channel_bytes = (size_t)pixels(s) * TAPS * sizeof(float);
        const size_t fit = env->columns_limit / channel_bytes;
        tr->slice = fit < 1 ? 1 : fit > (size_t)whole ? whole : (int)fit;
        cv->columns_bytes = channel_bytes * (size_t)tr->slice;
    } else {
        const struct clfcn_tensor dy = gradient(cv, &none);
        tr->slice = clfcn_im2col_slice(&dy, 3, 2, env->columns_limit);
        cv->columns_bytes = (size_t)s->out * TAPS * (size_t)tr->slice * sizeof(float);
    }
    const int tail = whole % tr->slice ? whole % tr->slice : tr->slice;
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < 2; ++i) {
        const struct clfcn_gemm_call call =
            product(cv, NULL, &none, 0, i ? tail : tr->slice);
        rc = clfcn_conv_want_scratch(cv, &call, err);
    }
    return rc;
}

static int prepare(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    struct transposed *tr = (struct transposed *)cv;
    return cv->pass == CLFCN_PASS_FORWARD
               ? clfcn_kernel_want(env->programs, &tr->gather, &gather_desc, NULL, err)
               : clfcn_im2col_prepare(&tr->im2col, 3, 2, env, err);
}

static int gather(const struct transposed *tr, const struct clfcn_op_run *run,
                  const struct clfcn_conv_call *call, int first, int channels,
                  struct clfcn_err *err)
{
    const struct clfcn_conv_shape *s = &tr->cv.shape;
    const cl_int row = pixels(s);
    const size_t global[] = { (size_t)row, (size_t)channels };
    const size_t local[] = { run->dev->info.max_work_group < 64 ? 1 : 64, 1 };
    const struct clfcn_arg args[] = {
        CLFCN_ARG(run->columns), CLFCN_ARG(call->bias), CLFCN_ARG(call->y),
        CLFCN_ARG(row),          CLFCN_ARG(s->h),       CLFCN_ARG(s->w),
        CLFCN_ARG(first),
    };
    return clfcn_launch(run->dev, &tr->gather, 2, global, local, args,
                        CLFCN_ARRAY_LEN(args), err);
}

static int run(struct clfcn_conv *cv, const struct clfcn_op_run *run,
               const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    const struct transposed *tr = (const struct transposed *)cv;
    const bool forward = cv->pass == CLFCN_PASS_FORWARD;
    const struct clfcn_tensor dy = gradient(cv, call);
    const int whole = forward ? cv->shape.out : pixels(&cv->shape);
    int rc = CLFCN_OK;
    for (int first = 0; rc == CLFCN_OK && first < whole; first += tr->slice) {
        const int count = whole - first < tr->slice ? whole - first : tr->slice;
        const struct clfcn_gemm_call part = product(cv, run->columns, call, first, count);
        if (!forward) {
            rc = clfcn_im2col_run(&tr->im2col, run->dev, &dy, run->columns, 0, first,
                                  count, err);
        }
        if (rc == CLFCN_OK) {
            rc = clfcn_gemm_run(cv->gemm, &part, run->scratch, err);
        }
        if (rc == CLFCN_OK && forward) {
            rc = gather(tr, run, call, first, count, err);
        }
    }
    return rc;
}

const struct clfcn_conv_impl clfcn_conv_im2col_transposed = {
    .name = "im2col",
    .finishes = true,
    .uses_gemm = true,
    .thrifty = true,
    .size = sizeof(struct transposed),
    .fits = fits,
    .plan = plan,
    .prepare = prepare,
    .run = run,
};
