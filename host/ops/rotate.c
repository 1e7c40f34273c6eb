#include "op_impl.h"

static const struct clfcn_kernel_desc desc = {
    .stem = "rotate",
    .entry = "rotate_weights",
    .cut = CLFCN_CUT_X | CLFCN_CUT_Y,
    .params = { { "K", 3, { 0 } } },
};

int clfcn_rotate_prepare(struct clfcn_kernel *kernel, int kernel_size,
                         const struct clfcn_op_env *env, struct clfcn_err *err)
{
    const int values[CLFCN_MAX_PARAMS] = { kernel_size };
    return clfcn_kernel_want(env->programs, kernel, &desc, values, err);
}

int clfcn_rotate_run(const struct clfcn_kernel *kernel, struct clfcn_dev *dev,
                     cl_mem weight, int out_channels, int in_channels, cl_mem rotated,
                     struct clfcn_err *err)
{
    const size_t global[] = { (size_t)in_channels, (size_t)out_channels };
    const struct clfcn_arg args[] = { CLFCN_ARG(weight), CLFCN_ARG(rotated),
                                      CLFCN_ARG(out_channels), CLFCN_ARG(in_channels) };
    return clfcn_launch(dev, kernel, 2, global, NULL, args, CLFCN_ARRAY_LEN(args), err);
}
