#include "gemm_impl.h"

enum { P_KB, P_VW };

static const struct clfcn_kernel_desc desc = {
    .stem = "gemm_pack",
    .entry = "gemm_pack",
    .params = { [P_KB] = { "KB", 256, { 128, 256, 512 } },
                [P_VW] = { "VW", 16, { 4, 8, 16 } } },
};

static size_t parts_of(int n, int size)
{
    return ((size_t)n + (size_t)size - 1) / (size_t)size;
}

int clfcn_panel_pack_want(struct clfcn_programs *programs, struct clfcn_kernel *kernel,
                          int vector_width, struct clfcn_err *err)
{
    const int values[CLFCN_MAX_PARAMS] = {
        [P_KB] = desc.params[P_KB].dflt, [P_VW] = vector_width
    };
    return clfcn_kernel_want(programs, kernel, &desc, values, err);
}

size_t clfcn_panel_pack_floats(int m, int k)
{
    return parts_of(m, CLFCN_PANEL_ROWS) * CLFCN_PANEL_ROWS * (size_t)k;
}

int clfcn_panel_pack(struct clfcn_dev *dev, const struct clfcn_kernel *kernel,
                     const struct clfcn_gemm_call *call, cl_mem dst,
                     struct clfcn_err *err)
{
    const cl_int stride_i = call->trans_a ? 1 : call->a.ld;
    const cl_int stride_k = call->trans_a ? call->a.ld : 1;
    const cl_ulong offset = call->a.offset;
    const size_t global[] = { parts_of(call->k, kernel->values[P_KB]),
                              parts_of(call->m, CLFCN_PANEL_ROWS) };
    const size_t local[] = { 1, 1 };
    const struct clfcn_arg args[] = {
        CLFCN_ARG(call->a.mem), CLFCN_ARG(dst),     CLFCN_ARG(offset),
        CLFCN_ARG(call->m),     CLFCN_ARG(call->k), CLFCN_ARG(stride_i),
        CLFCN_ARG(stride_k),
    };
    return clfcn_launch(dev, kernel, 2, global, local, args, CLFCN_ARRAY_LEN(args), err);
}
