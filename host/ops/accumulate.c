#include "accumulate.h"

#include "op_impl.h"

enum { P_VW };

static const struct clfcn_kernel_desc desc = { .stem = "accumulate",
                                               .entry = "accumulate",
                                               .cut = CLFCN_CUT_X,
                                               .params = {
                                                   [P_VW] = { "VW", 4, { 4, 8, 16 } } } };

int clfcn_accumulate_prepare(struct clfcn_accumulate *acc, const struct clfcn_op_env *env,
                             struct clfcn_err *err)
{
    acc->vector_width = clfcn_defaults_for(&env->dev->info).vector_width;
    const int values[CLFCN_MAX_PARAMS] = { [P_VW] = acc->vector_width };
    return clfcn_kernel_want(env->programs, &acc->kernel, &desc, values, err);
}

int clfcn_accumulate_run(const struct clfcn_accumulate *acc, struct clfcn_dev *dev,
                         cl_mem sum, cl_mem x, size_t count, struct clfcn_err *err)
{
    const size_t vw = (size_t)acc->vector_width;
    const cl_uint n = (cl_uint)count;
    const struct clfcn_arg args[] = { CLFCN_ARG(sum), CLFCN_ARG(x), CLFCN_ARG(n) };
    return clfcn_launch_each(dev, &acc->kernel, (count + vw - 1) / vw, args,
                             CLFCN_ARRAY_LEN(args), err);
}
