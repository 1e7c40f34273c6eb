/* gemm_impl.h - the GEMM providers, one file each. */
#ifndef CLFCN_OPS_GEMM_IMPL_H
#define CLFCN_OPS_GEMM_IMPL_H

#include "gemm.h"

int clfcn_gemm_clblast_create(struct clfcn_dev *dev, struct clfcn_gemm **out,
                              struct clfcn_err *err);
int clfcn_gemm_native_create(struct clfcn_dev *dev, struct clfcn_programs *programs,
                             struct clfcn_gemm **out, struct clfcn_err *err);

#endif
