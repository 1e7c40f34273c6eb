#include "op_impl.h"

enum { P_VW, P_WGS, P_CHUNK, P_RELU, P_MASK };

#define PARAMS                                                                        \
    {                                                                                 \
        [P_VW] = { "VW", 4, { 4, 8, 16 } },                                           \
        [P_WGS] = { "WGS", 64, { 1, 64, 128, 256 } },                                 \
        [P_CHUNK] = { "CHUNK", CLFCN_CHUNK, { 0 } }, [P_RELU] = { "RELU", 1, { 0 } }, \
        [P_MASK] = { "MASK", 1, { 0 } },                                              \
    }

static const struct clfcn_kernel_desc forward_desc = { .stem = "bias_relu",
                                                       .entry = "bias_relu",
                                                       .cut = CLFCN_CUT_X | CLFCN_CUT_Y,
                                                       .params = PARAMS };
static const struct clfcn_kernel_desc backward_desc = {
    .stem = "bias_relu", .entry = "bias_relu_grad", .cut = CLFCN_CUT_Y, .params = PARAMS
};
static const struct clfcn_kernel_desc finish_desc = { .stem = "bias_relu",
                                                      .entry = "bias_grad_finish",
                                                      .params = PARAMS };

int clfcn_bias_relu_prepare(struct clfcn_bias_relu *br, bool relu, bool mask,
                            const struct clfcn_op_env *env, struct clfcn_err *err)
{
    br->defaults = clfcn_defaults_for(&env->dev->info);
    int values[CLFCN_MAX_PARAMS] = {
        [P_VW] = br->defaults.vector_width,
        [P_WGS] = br->defaults.group,
        [P_CHUNK] = CLFCN_CHUNK,
    };
    /* Each kernel with what it depends on alone, so that none is compiled twice. */
    int rc = CLFCN_OK;
    if (env->training) {
        rc = clfcn_kernel_want(env->programs, &br->finish, &finish_desc, values, err);
    }
    if (rc == CLFCN_OK && env->training) {
        values[P_MASK] = mask;
        rc = clfcn_kernel_want(env->programs, &br->backward, &backward_desc, values, err);
    }
    if (rc == CLFCN_OK) {
        values[P_MASK] = false;
        values[P_RELU] = relu;
        rc = clfcn_kernel_want(env->programs, &br->forward, &forward_desc, values, err);
    }
    return rc;
}

int clfcn_bias_relu_forward(const struct clfcn_bias_relu *br, struct clfcn_dev *dev,
                            const struct clfcn_tensor *y, cl_mem bias,
                            struct clfcn_err *err)
{
    const int row = (int)clfcn_tensor_row(y);
    const struct clfcn_arg args[] = { CLFCN_ARG(y->mem), CLFCN_ARG(bias),
                                      CLFCN_ARG(row) };
    return clfcn_launch_rows(dev, &br->forward, br->defaults.vector_width, (size_t)row,
                             y->c, args, CLFCN_ARRAY_LEN(args), err);
}

size_t clfcn_bias_relu_scratch(const struct clfcn_tensor *y)
{
    return (size_t)y->c * (size_t)clfcn_op_chunks(clfcn_tensor_row(y)) * sizeof(float);
}

int clfcn_bias_relu_backward(const struct clfcn_bias_relu *br,
                             const struct clfcn_op_run *run, const struct clfcn_tensor *y,
                             const struct clfcn_tensor *dy, cl_mem dbias,
                             struct clfcn_err *err)
{
    const int row = (int)clfcn_tensor_row(y), chunks = clfcn_op_chunks((size_t)row);
    const struct clfcn_arg args[] = { CLFCN_ARG(y->mem), CLFCN_ARG(dy->mem),
                                      CLFCN_ARG(run->scratch), CLFCN_ARG(row) };
    const struct clfcn_arg finish_args[] = { CLFCN_ARG(run->scratch), CLFCN_ARG(dbias),
                                             CLFCN_ARG(y->c), CLFCN_ARG(chunks) };
    int rc = clfcn_launch_chunks(run->dev, &br->backward, br->defaults.group, (size_t)row,
                                 y->c, args, CLFCN_ARRAY_LEN(args), err);
    if (rc == CLFCN_OK && dbias) {
        rc = clfcn_launch_each(run->dev, &br->finish, (size_t)y->c, finish_args,
                               CLFCN_ARRAY_LEN(finish_args), err);
    }
    return rc;
}
