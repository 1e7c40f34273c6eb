/* optim.h - SGD with momentum, Adam and AdamW over one flat buffer of parameters. */
#ifndef CLFCN_OPS_OPTIM_H
#define CLFCN_OPS_OPTIM_H

#include "op.h"
#include <clfcn/net.h>

struct clfcn_optim {
    enum clfcn_optimizer kind;
    struct clfcn_kernel kernel;
    int vector_width;
};

/* The numbers of one update; update counts from 1 (Adam's bias correction). As PyTorch
 * defines them: SGD v = m*v + g, p -= lr*v; weight decay adds wd*p to g, but for AdamW,
 * where p *= 1 - lr*wd. */
struct clfcn_optim_hyper {
    double lr, momentum, weight_decay, beta1, beta2, eps;
    int64_t update;
};

/* Buffers of state an optimiser keeps per parameter: 1 for SGD, 2 for Adam. */
int clfcn_optim_states(enum clfcn_optimizer kind);
/* Name of state i in checkpoints: "momentum", "exp_avg", "exp_avg_sq". */
const char *clfcn_optim_state_name(enum clfcn_optimizer kind, int i);

int clfcn_optim_prepare(struct clfcn_optim *optim, enum clfcn_optimizer kind,
                        const struct clfcn_op_env *env, struct clfcn_err *err);
/* Update count parameters, a multiple of 16: p, g and the states are float [count]. s1 is
 * NULL for SGD. */
int clfcn_optim_run(struct clfcn_optim *optim, struct clfcn_dev *dev,
                    const struct clfcn_optim_hyper *hyper, cl_mem p, cl_mem g, cl_mem s0,
                    cl_mem s1, size_t count, struct clfcn_err *err);

#endif
