#include "op_impl.h"

enum { P_K, P_STRIDE, P_PAD };

#define PARAMS                                                          \
    {                                                                   \
        [P_K] = { "K", 3, { 0 } }, [P_STRIDE] = { "STRIDE", 1, { 0 } }, \
        [P_PAD] = { "PAD", 1, { 0 } },                                  \
    }

static const struct clfcn_kernel_desc pixels_desc = { .stem = "im2col",
                                                      .entry = "im2col_pixels",
                                                      .cut = CLFCN_CUT_X | CLFCN_CUT_Y,
                                                      .params = PARAMS };
static const struct clfcn_kernel_desc rows_desc = { .stem = "im2col",
                                                    .entry = "im2col_rows",
                                                    .cut = CLFCN_CUT_X | CLFCN_CUT_Y,
                                                    .params = PARAMS };

int clfcn_im2col_prepare(struct clfcn_im2col *im, int kernel_size, int stride,
                         const struct clfcn_op_env *env, struct clfcn_err *err)
{
    const int values[CLFCN_MAX_PARAMS] = {
        [P_K] = kernel_size, [P_STRIDE] = stride, [P_PAD] = (kernel_size - 1) / 2
    };
    im->by_rows = clfcn_defaults_for(&env->dev->info).copy_rows;
    im->kernel_size = kernel_size;
    im->stride = stride;
    return clfcn_kernel_want(env->programs, &im->kernel,
                             im->by_rows ? &rows_desc : &pixels_desc, values, err);
}

static int out_side(int side, int stride)
{
    return (side + stride - 1) / stride;
}

int clfcn_im2col_slice(const struct clfcn_tensor *x, int kernel_size, int stride,
                       size_t limit)
{
    const int ow = out_side(x->w, stride);
    const int rows = x->n * out_side(x->h, stride);
    const size_t row_bytes =
        (size_t)x->c * (size_t)(kernel_size * kernel_size) * (size_t)ow * sizeof(float);
    const size_t fit = limit / row_bytes;
    return ow * (fit < 1 ? 1 : fit > (size_t)rows ? rows : (int)fit);
}

int clfcn_im2col_run(const struct clfcn_im2col *im, struct clfcn_dev *dev,
                     const struct clfcn_tensor *x, cl_mem columns, size_t offset,
                     int first, int count, struct clfcn_err *err)
{
    const int oh = out_side(x->h, im->stride), ow = out_side(x->w, im->stride);
    const size_t global[] = { (size_t)(im->by_rows ? count / ow : count), (size_t)x->c };
    const size_t local[] = { im->by_rows || dev->info.max_work_group < 64 ? 1 : 64, 1 };
    const cl_ulong at = offset;
    const struct clfcn_arg args[] = {
        CLFCN_ARG(x->mem), CLFCN_ARG(columns), CLFCN_ARG(at), CLFCN_ARG(x->n),
        CLFCN_ARG(x->h),   CLFCN_ARG(x->w),    CLFCN_ARG(oh), CLFCN_ARG(ow),
        CLFCN_ARG(first),  CLFCN_ARG(count),
    };
    return clfcn_launch(dev, &im->kernel, 2, global, local, args, CLFCN_ARRAY_LEN(args),
                        err);
}
