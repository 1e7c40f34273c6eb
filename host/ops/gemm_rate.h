/* gemm_rate.h - how fast a provider's matrix product is, and whether it is right. */
#ifndef CLFCN_OPS_GEMM_RATE_H
#define CLFCN_OPS_GEMM_RATE_H

#include "gemm.h"

/* c[m][n] = a[m][k] * b[k][n], all float32 in rows. */
struct clfcn_gemm_rate {
    int m, n, k;
    const char *provider; /* "native" */
    double gflops;        /* median of three, packing included */
    double error;         /* relative, in the 2-norm over samples; NaN: not finite */
    bool correct;
};

/* Set m, n, k and get the rest; kind as for clfcn_gemm_create(). n is lowered where b
 * would take more than an eighth of the device's memory or 256 MiB: columns of im2col are
 * made in slices too. CLFCN_EDEVMEM; CLFCN_ENOMEM; CLFCN_ECL. */
int clfcn_gemm_measure(struct clfcn_dev *dev, enum clfcn_gemm_kind kind,
                       struct clfcn_gemm_rate *rate, struct clfcn_err *err);

#endif
