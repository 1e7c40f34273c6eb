#include "conv.h"
#include "op_impl.h"

/* Convolution as matrix products. With X the columns of x (im2col), one column an output
 * pixel:
 *
 *   y  = W X               [Cout][P] = [Cout][Cin*k*k] [Cin*k*k][P]
 *   dW = dY X^T            summed over slices of columns
 *   dx = rotate(W) dYcols  the same convolution, of dy with the weights turned round
 *
 * A 1x1 kernel needs no columns: x is its own matrix. */
struct im2col {
    struct clfcn_conv cv;
    int slice;             /* output pixels at a time */
    size_t columns_offset; /* floats: the turned weights come before the columns */
    struct clfcn_im2col columns;
    struct clfcn_kernel rotate;
};

static int pixels(const struct clfcn_conv_shape *s)
{
    return s->n * s->h * s->w;
}

/* What the columns are made of. */
static struct clfcn_tensor source(const struct clfcn_conv *cv,
                                  const struct clfcn_conv_call *call)
{
    const struct clfcn_conv_shape *s = &cv->shape;
    const bool input = cv->pass == CLFCN_PASS_INPUT;
    return (struct clfcn_tensor){ input ? s->out : s->in, s->n, s->h, s->w,
                                  input ? call->y : call->x };
}

/* The product over count columns that begin at pixel first. */
static struct clfcn_gemm_call product(const struct im2col *im, cl_mem columns,
                                      const struct clfcn_conv_call *call, int first,
                                      int count)
{
    const struct clfcn_conv *cv = &im->cv;
    const struct clfcn_conv_shape *s = &cv->shape;
    const int row = pixels(s), taps = s->kernel * s->kernel;
    const int depth = (cv->pass == CLFCN_PASS_INPUT ? s->out : s->in) * taps;
    const bool direct = s->kernel == 1;
    const struct clfcn_mat matrix =
        direct ? (struct clfcn_mat){ source(cv, call).mem, (size_t)first, row }
               : (struct clfcn_mat){ columns, im->columns_offset, count };
    const struct clfcn_mat x = { call->x, (size_t)first, row };
    const struct clfcn_mat y = { call->y, (size_t)first, row };
    switch (cv->pass) {
    case CLFCN_PASS_FORWARD:
        return (struct clfcn_gemm_call){ .m = s->out,
                                         .n = count,
                                         .k = depth,
                                         .a = { call->weight, 0, depth },
                                         .b = matrix,
                                         .c = y };
    case CLFCN_PASS_INPUT:
        return (struct clfcn_gemm_call){ .trans_a = direct,
                                         .m = s->in,
                                         .n = count,
                                         .k = depth,
                                         .a = { direct ? call->weight : columns, 0,
                                                direct ? s->in : depth },
                                         .b = matrix,
                                         .c = x,
                                         .beta = call->add ? 1.0f : 0.0f };
    default:
        return (struct clfcn_gemm_call){ .trans_b = true,
                                         .m = s->out,
                                         .n = depth,
                                         .k = count,
                                         .a = y,
                                         .b = matrix,
                                         .c = { call->weight, 0, depth },
                                         .beta = first > 0 ? 1.0f : 0.0f };
    }
}

static bool fits(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                 const struct clfcn_op_env *env)
{
    return !shape->transposed;
}

/* The last slice may be smaller, which some providers pack into more scratch memory: so
 * it is asked for too. */
static int plan(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                struct clfcn_err *err)
{
    struct im2col *im = (struct im2col *)cv;
    const struct clfcn_conv_shape *s = &cv->shape;
    const struct clfcn_conv_call none = { 0 };
    const struct clfcn_tensor src = source(cv, &none);
    const int row = pixels(s), taps = s->kernel * s->kernel;
    im->slice = row;
    if (s->kernel > 1) {
        im->slice = clfcn_im2col_slice(&src, s->kernel, 1, env->columns_limit);
        im->columns_offset =
            cv->pass == CLFCN_PASS_INPUT ? (size_t)s->in * (size_t)(s->out * taps) : 0;
        cv->columns_bytes =
            (im->columns_offset + (size_t)(src.c * taps) * (size_t)im->slice) *
            sizeof(float);
    }
    const int tail = row % im->slice ? row % im->slice : im->slice;
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < 2; ++i) {
        const struct clfcn_gemm_call call =
            product(im, NULL, &none, 0, i ? tail : im->slice);
        rc = clfcn_conv_want_scratch(cv, &call, err);
    }
    return rc;
}

static int prepare(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    struct im2col *im = (struct im2col *)cv;
    if (cv->shape.kernel == 1) {
        return CLFCN_OK;
    }
    const int rc = clfcn_im2col_prepare(&im->columns, cv->shape.kernel, 1, env, err);
    if (rc < 0 || cv->pass != CLFCN_PASS_INPUT) {
        return rc;
    }
    return clfcn_rotate_prepare(&im->rotate, cv->shape.kernel, env, err);
}

static int run(struct clfcn_conv *cv, const struct clfcn_op_run *run,
               const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    const struct im2col *im = (const struct im2col *)cv;
    const struct clfcn_tensor src = source(cv, call);
    const int row = pixels(&cv->shape);
    const bool columns = cv->shape.kernel > 1;
    int rc = CLFCN_OK;
    if (columns && cv->pass == CLFCN_PASS_INPUT) {
        rc = clfcn_rotate_run(&im->rotate, run->dev, call->weight, cv->shape.out,
                              cv->shape.in, run->columns, err);
    }
    for (int first = 0; rc == CLFCN_OK && first < row; first += im->slice) {
        const int count = row - first < im->slice ? row - first : im->slice;
        const struct clfcn_gemm_call part = product(im, run->columns, call, first, count);
        if (columns) {
            rc = clfcn_im2col_run(&im->columns, run->dev, &src, run->columns,
                                  im->columns_offset, first, count, err);
        }
        if (rc == CLFCN_OK) {
            rc = clfcn_gemm_run(cv->gemm, &part, run->scratch, err);
        }
    }
    return rc;
}

const struct clfcn_conv_impl clfcn_conv_im2col = {
    .name = "im2col",
    .uses_gemm = true,
    .thrifty = true,
    .size = sizeof(struct im2col),
    .fits = fits,
    .plan = plan,
    .prepare = prepare,
    .run = run,
};
