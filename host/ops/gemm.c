#include "gemm_impl.h"

#include "defaults.h"

int clfcn_gemm_create(struct clfcn_dev *dev, struct clfcn_programs *programs,
                      enum clfcn_gemm_kind kind, struct clfcn_gemm **out,
                      struct clfcn_err *err)
{
    if (kind == CLFCN_GEMM_AUTO) {
        kind = clfcn_defaults_for(&dev->info).gemm;
    }
    if (kind == CLFCN_GEMM_CLBLAST) {
        return clfcn_gemm_clblast_create(dev, out, err);
    }
    return clfcn_gemm_native_create(dev, programs, out, err);
}

void clfcn_gemm_destroy(struct clfcn_gemm **gemm)
{
    if (*gemm) {
        (*gemm)->impl->finish(*gemm);
        *gemm = NULL;
    }
}

int clfcn_gemm_count(const struct clfcn_gemm_call *call)
{
    return call->batch.count > 1 ? call->batch.count : 1;
}

struct clfcn_gemm_call clfcn_gemm_at(const struct clfcn_gemm_call *call, int index)
{
    struct clfcn_gemm_call one = *call;
    one.a.offset += (size_t)index * call->batch.stride_a;
    one.b.offset += (size_t)index * call->batch.stride_b;
    one.c.offset += (size_t)index * call->batch.stride_c;
    one.batch.count = 1;
    return one;
}

int clfcn_gemm_scratch(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
                       size_t *bytes, struct clfcn_err *err)
{
    return g->impl->scratch(g, call, bytes, err);
}

int clfcn_gemm_run(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
                   cl_mem scratch, struct clfcn_err *err)
{
    const int rc = g->impl->run(g, call, scratch, err);
    if (rc < 0) {
        clfcn_err_note(err, "%s GEMM of %dx%dx%d", g->impl->name, call->m, call->n,
                       call->k);
    }
    return rc;
}
