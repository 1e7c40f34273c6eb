/* gemm.h - single-precision matrix product on the device, by one of several providers. */
#ifndef CLFCN_OPS_GEMM_H
#define CLFCN_OPS_GEMM_H

#include "../device/program.h"
#include <clfcn/net.h>

/* A row-major matrix inside a buffer; offset and ld in floats. */
struct clfcn_mat {
    cl_mem mem;
    size_t offset;
    int ld;
};

/* c[m][n] = op(a)[m][k] * op(b)[k][n] + beta * c, where op transposes if trans_* is set
 * (then a is stored [k][m], b [n][k]); beta is 0 (c is written, whatever it held) or 1.
 * m, n, k >= 1.
 *
 * With a batch it is as many products of this shape, and matrix i of each of a, b and c
 * begins i strides (floats) after the first; those of c do not overlap. */
struct clfcn_gemm_call {
    bool trans_a, trans_b;
    int m, n, k;
    struct clfcn_mat a, b, c;
    float beta;
    struct {
        int count; /* 0 or 1: a single product */
        size_t stride_a, stride_b, stride_c;
    } batch;
};

struct clfcn_gemm;

struct clfcn_gemm_impl {
    const char *name;      /* "clblast", "native" */
    const char *algorithm; /* of a convolution through it: "im2col+native" */
    /* Scratch bytes a call needs; offsets and buffers are not looked at. */
    int (*scratch)(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
                   size_t *bytes, struct clfcn_err *err);
    int (*run)(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
               cl_mem scratch, struct clfcn_err *err);
    void (*finish)(struct clfcn_gemm *g);
};

struct clfcn_gemm {
    const struct clfcn_gemm_impl *impl;
    struct clfcn_dev *dev;
};

/* kind AUTO takes the device class's default. The kernels are wanted from programs, which
 * the caller builds before the first run; destroy the programs first, then this. */
int clfcn_gemm_create(struct clfcn_dev *dev, struct clfcn_programs *programs,
                      enum clfcn_gemm_kind kind, struct clfcn_gemm **out,
                      struct clfcn_err *err);
/* As CLBlast's header says it, "1.5.3". */
const char *clfcn_gemm_clblast_version(void);
void clfcn_gemm_destroy(struct clfcn_gemm **gemm);

/* Products that call asks for, >= 1; and the one of them at index, alone. */
int clfcn_gemm_count(const struct clfcn_gemm_call *call);
struct clfcn_gemm_call clfcn_gemm_at(const struct clfcn_gemm_call *call, int index);

int clfcn_gemm_scratch(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
                       size_t *bytes, struct clfcn_err *err);
int clfcn_gemm_run(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
                   cl_mem scratch, struct clfcn_err *err);

#endif
