#include "optim.h"

#include "op_impl.h"
#include <math.h>

enum { P_VW, P_DECOUPLED };

#define PARAMS                                                                        \
    {                                                                                 \
        [P_VW] = { "VW", 4, { 4, 8, 16 } }, [P_DECOUPLED] = { "DECOUPLED", 0, { 0 } } \
    }

static const struct clfcn_kernel_desc sgd_desc = {
    .stem = "optim", .entry = "sgd", .cut = CLFCN_CUT_X, .params = PARAMS
};
static const struct clfcn_kernel_desc adam_desc = {
    .stem = "optim", .entry = "adam", .cut = CLFCN_CUT_X, .params = PARAMS
};

int clfcn_optim_states(enum clfcn_optimizer kind)
{
    return kind == CLFCN_SGD ? 1 : 2;
}

const char *clfcn_optim_state_name(enum clfcn_optimizer kind, int i)
{
    return kind == CLFCN_SGD ? "momentum" : i == 0 ? "exp_avg" : "exp_avg_sq";
}

int clfcn_optim_prepare(struct clfcn_optim *optim, enum clfcn_optimizer kind,
                        const struct clfcn_op_env *env, struct clfcn_err *err)
{
    optim->kind = kind;
    optim->vector_width = clfcn_defaults_for(&env->dev->info).vector_width;
    const int values[CLFCN_MAX_PARAMS] = {
        [P_VW] = optim->vector_width, [P_DECOUPLED] = kind == CLFCN_ADAMW
    };
    return clfcn_kernel_want(env->programs, &optim->kernel,
                             kind == CLFCN_SGD ? &sgd_desc : &adam_desc, values, err);
}

int clfcn_optim_run(struct clfcn_optim *optim, struct clfcn_dev *dev,
                    const struct clfcn_optim_hyper *h, cl_mem p, cl_mem g, cl_mem s0,
                    cl_mem s1, size_t count, struct clfcn_err *err)
{
    const size_t vw = (size_t)optim->vector_width, items = (count + vw - 1) / vw;
    const cl_uint n = (cl_uint)count;
    const float lr = (float)h->lr, momentum = (float)h->momentum,
                decay = (float)h->weight_decay;
    if (optim->kind == CLFCN_SGD) {
        const struct clfcn_arg args[] = {
            CLFCN_ARG(p),  CLFCN_ARG(g),        CLFCN_ARG(s0),    CLFCN_ARG(n),
            CLFCN_ARG(lr), CLFCN_ARG(momentum), CLFCN_ARG(decay),
        };
        return clfcn_launch_each(dev, &optim->kernel, items, args, CLFCN_ARRAY_LEN(args),
                                 err);
    }
    const double t = (double)h->update;
    const float step = (float)(h->lr / (1.0 - pow(h->beta1, t)));
    const float root = (float)(1.0 / sqrt(1.0 - pow(h->beta2, t)));
    const float beta1 = (float)h->beta1, beta2 = (float)h->beta2, eps = (float)h->eps;
    const float rest1 = (float)(1.0 - h->beta1), rest2 = (float)(1.0 - h->beta2);
    const float shrink =
        optim->kind == CLFCN_ADAMW ? (float)(h->lr * h->weight_decay) : decay;
    const struct clfcn_arg args[] = {
        CLFCN_ARG(p),      CLFCN_ARG(g),     CLFCN_ARG(s0),    CLFCN_ARG(s1),
        CLFCN_ARG(n),      CLFCN_ARG(step),  CLFCN_ARG(beta1), CLFCN_ARG(rest1),
        CLFCN_ARG(beta2),  CLFCN_ARG(rest2), CLFCN_ARG(root),  CLFCN_ARG(eps),
        CLFCN_ARG(shrink),
    };
    return clfcn_launch_each(dev, &optim->kernel, items, args, CLFCN_ARRAY_LEN(args),
                             err);
}
