#include "gemm_impl.h"

#include "../util/log.h"
#include <clblast_c.h>
#include <stdlib.h>

/* One parameter set of a CLBlast kernel. */
struct override {
    const char *kernel;
    size_t count;
    const char *names[16];
    size_t values[16];
};

/* CLBlast's database knows no CPU runtime, and its tuner never tries work-groups of one
 * item, which are fastest there: 5 to 8 times its own choice. MWG and NWG may differ only
 * with GEMMK 0: before 1.6.3 the other kernel then computes wrong results (CLBlast issue
 * 533). */
static const struct override cpu_overrides[] = {
    { "Xgemm",
      16,
      { "GEMMK", "KREG", "KWG", "KWI", "MDIMA", "MDIMC", "MWG", "NDIMB", "NDIMC", "NWG",
        "SA", "SB", "STRM", "STRN", "VWM", "VWN" },
      { 0, 1, 32, 2, 1, 1, 16, 1, 1, 8, 0, 0, 0, 0, 8, 8 } },
    { "GemmRoutine", 1, { "XGEMM_MIN_INDIRECT_SIZE" }, { 1 } },
    { "Copy", 4, { "COPY_DIMX", "COPY_DIMY", "COPY_VW", "COPY_WPT" }, { 8, 8, 4, 1 } },
    { "Pad", 4, { "PAD_DIMX", "PAD_DIMY", "PAD_WPTX", "PAD_WPTY" }, { 8, 8, 4, 1 } },
    { "Transpose",
      4,
      { "TRA_DIM", "TRA_PAD", "TRA_SHUFFLE", "TRA_WPT" },
      { 8, 0, 0, 4 } },
    { "Padtranspose", 3, { "PADTRA_PAD", "PADTRA_TILE", "PADTRA_WPT" }, { 0, 8, 4 } },
};

static int check(int status, struct clfcn_err *err)
{
    if (status == CLBlastSuccess) {
        return CLFCN_OK;
    }
    return clfcn_err_set(err, CLFCN_ECL, status, "%s (CLBlast %d)",
                         clfcn_cl_error_name(status), status);
}

/* CLBlast multiplies column-major matrices fastest. A row-major matrix is the
 * column-major transpose, so the product is asked for as c' = b' a'. */
static CLBlastTranspose flag(bool trans)
{
    return trans ? CLBlastTransposeYes : CLBlastTransposeNo;
}

static int scratch(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
                   size_t *bytes, struct clfcn_err *err)
{
    cl_command_queue queue = g->dev->compute;
    return check(CLBlastSGemmTempBufferSize(
                     CLBlastLayoutColMajor, flag(call->trans_b), flag(call->trans_a),
                     (size_t)call->n, (size_t)call->m, (size_t)call->k, call->b.offset,
                     (size_t)call->b.ld, call->a.offset, (size_t)call->a.ld,
                     call->c.offset, (size_t)call->c.ld, &queue, bytes),
                 err);
}

static int run(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
               cl_mem temp, struct clfcn_err *err)
{
    cl_command_queue queue = g->dev->compute;
    return check(CLBlastSgemmWithTempBuffer(
                     CLBlastLayoutColMajor, flag(call->trans_b), flag(call->trans_a),
                     (size_t)call->n, (size_t)call->m, (size_t)call->k, 1.0f, call->b.mem,
                     call->b.offset, (size_t)call->b.ld, call->a.mem, call->a.offset,
                     (size_t)call->a.ld, call->beta, call->c.mem, call->c.offset,
                     (size_t)call->c.ld, &queue, NULL, temp),
                 err);
}

/* CLBlast keeps compiled programs of the context in a cache of its own. */
static void finish(struct clfcn_gemm *g)
{
    CLBlastClearCache();
    free(g);
}

static const struct clfcn_gemm_impl clblast_impl = {
    .name = "clblast",
    .algorithm = "im2col+clblast",
    .scratch = scratch,
    .run = run,
    .finish = finish,
};

int clfcn_gemm_clblast_create(struct clfcn_dev *dev, struct clfcn_gemm **out,
                              struct clfcn_err *err)
{
    struct clfcn_gemm *g = calloc(1, sizeof(*g));
    if (!g) {
        return clfcn_err_nomem(err);
    }
    g->impl = &clblast_impl;
    g->dev = dev;
    for (int i = 0; dev->info.is_cpu && i < CLFCN_ARRAY_LEN(cpu_overrides); ++i) {
        const struct override *o = &cpu_overrides[i];
        const int status =
            CLBlastOverrideParameters(dev->id, o->kernel, CLBlastPrecisionSingle,
                                      o->count, (const char **)o->names, o->values);
        if (status != CLBlastSuccess) {
            clfcn_debug("CLBlast keeps its own parameters for %s: %s", o->kernel,
                        clfcn_cl_error_name(status));
        }
    }
    *out = g;
    return CLFCN_OK;
}
