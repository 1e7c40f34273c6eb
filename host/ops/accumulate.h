/* accumulate.h - adding one buffer of floats to another. */
#ifndef CLFCN_OPS_ACCUMULATE_H
#define CLFCN_OPS_ACCUMULATE_H

#include "op.h"

struct clfcn_accumulate {
    struct clfcn_kernel kernel;
    int vector_width;
};

int clfcn_accumulate_prepare(struct clfcn_accumulate *acc, const struct clfcn_op_env *env,
                             struct clfcn_err *err);
/* sum += x, of count floats each. */
int clfcn_accumulate_run(const struct clfcn_accumulate *acc, struct clfcn_dev *dev,
                         cl_mem sum, cl_mem x, size_t count, struct clfcn_err *err);

#endif
