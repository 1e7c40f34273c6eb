/* gemm_impl.h - the GEMM providers, one file each, and what products by packed panels
 * share. */
#ifndef CLFCN_OPS_GEMM_IMPL_H
#define CLFCN_OPS_GEMM_IMPL_H

#include "gemm.h"

extern const struct clfcn_gemm_impl clfcn_gemm_clblast, clfcn_gemm_panels,
    clfcn_gemm_tiled;

/* Rows of a panel of the left operand: MR of cl/panel.clh. */
enum { CLFCN_PANEL_ROWS = 12 };

/* Ask for the kernel that packs left operands, and run it: op(a) of call, whatever else
 * call holds, to the first clfcn_panel_pack_floats(m, k) floats of dst. */
int clfcn_panel_pack_want(struct clfcn_programs *programs, struct clfcn_kernel *kernel,
                          int vector_width, struct clfcn_err *err);
size_t clfcn_panel_pack_floats(int m, int k);
int clfcn_panel_pack(struct clfcn_dev *dev, const struct clfcn_kernel *kernel,
                     const struct clfcn_gemm_call *call, cl_mem dst,
                     struct clfcn_err *err);

#endif
