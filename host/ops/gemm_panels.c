#include "gemm_impl.h"

#include "../device/buffer.h"

#include <stdlib.h>

/* The native product for CPUs: by packed panels (cl/gemm_panel.cl). */
struct panels {
    struct clfcn_gemm base;
    int vw;
    int part, most; /* values of k and columns that are packed at a time at most */
    struct clfcn_kernel pack, panel;
};

static const struct clfcn_kernel_desc panel_desc = {
    .stem = "gemm_panel",
    .entry = "gemm_panel",
    .params = { { "VW", 16, { 4, 8, 16 } } },
};

/* Together they fit the second cache. */
enum { PART = 640, BLOCK = 256 };

/* Caches differ. */
enum { V_PART, V_BLOCK };
static const struct clfcn_gemm_variant variants[] = { { "part=320", V_PART, 320 },
                                                      { "part=1280", V_PART, 1280 },
                                                      { "block=128", V_BLOCK, 128 },
                                                      { "block=512", V_BLOCK, 512 },
                                                      { 0 } };

static bool fits(const struct clfcn_gemm_variant *variant,
                 const struct clfcn_device_info *info)
{
    return true;
}

static size_t parts_of(size_t n, size_t size)
{
    return (n + size - 1) / size;
}

static size_t round_up(size_t n, size_t to)
{
    return parts_of(n, to) * to;
}

/* How a product is shared out: columns in blocks of nearly equal size, some for every
 * core. */
struct sharing {
    cl_int block, part;
    size_t groups;
    size_t packed_a; /* floats of the packed left operand, first in the scratch memory */
    size_t packed_b; /* behind it, for each group */
};

static struct sharing share(const struct panels *pn, const struct clfcn_gemm_call *call)
{
    const size_t n = (size_t)call->n, vw = (size_t)pn->vw;
    const size_t cores = pn->base.dev->info.compute_units;
    const size_t blocks = round_up(parts_of(n, (size_t)pn->most), cores);
    const size_t block = round_up(parts_of(n, blocks), vw);
    const size_t used = parts_of(n, block);
    const size_t k = (size_t)call->k, part = parts_of(k, parts_of(k, (size_t)pn->part));
    return (struct sharing){
        .block = (cl_int)block,
        .part = (cl_int)part,
        .groups = used < cores ? used : cores,
        .packed_a = clfcn_panel_pack_floats(call->m, call->k),
        .packed_b = block * part,
    };
}

static int plan(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
                struct clfcn_gemm_plan *out, struct clfcn_err *err)
{
    const struct sharing s = share((const struct panels *)g, call);
    out->scratch_bytes = clfcn_buffer_align(g->dev, s.packed_a * sizeof(float)) +
                         s.groups * s.packed_b * sizeof(float);
    out->parameters[0] = s.block;
    out->parameters[1] = s.part;
    return CLFCN_OK;
}

static int multiply(const struct panels *pn, const struct clfcn_gemm_call *call,
                    const struct sharing *s, cl_mem a, cl_mem b, struct clfcn_err *err)
{
    const cl_int stride_k = call->trans_b ? 1 : call->b.ld;
    const cl_int stride_j = call->trans_b ? call->b.ld : 1;
    const cl_ulong offset_b = call->b.offset, offset_c = call->c.offset;
    const cl_int add = call->beta != 0.0f;
    const size_t local[] = { 1 };
    const struct clfcn_arg args[] = {
        CLFCN_ARG(a),        CLFCN_ARG(call->b.mem), CLFCN_ARG(call->c.mem),
        CLFCN_ARG(b),        CLFCN_ARG(offset_b),    CLFCN_ARG(offset_c),
        CLFCN_ARG(stride_k), CLFCN_ARG(stride_j),    CLFCN_ARG(call->c.ld),
        CLFCN_ARG(call->m),  CLFCN_ARG(call->n),     CLFCN_ARG(call->k),
        CLFCN_ARG(s->block), CLFCN_ARG(s->part),     CLFCN_ARG(add),
    };
    return clfcn_launch(pn->base.dev, &pn->panel, 1, &s->groups, local, args,
                        CLFCN_ARRAY_LEN(args), err);
}

static int run(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
               cl_mem scratch, struct clfcn_err *err)
{
    const struct panels *pn = (const struct panels *)g;
    struct clfcn_dev *dev = g->dev;
    const struct sharing s = share(pn, call);
    const size_t split = clfcn_buffer_align(dev, s.packed_a * sizeof(float));
    cl_mem a = NULL, b = NULL;
    int rc = clfcn_buffer_view(dev, scratch, 0, split, &a, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_buffer_view(dev, scratch, split, s.groups * s.packed_b * sizeof(float),
                               &b, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < clfcn_gemm_count(call); ++i) {
        const struct clfcn_gemm_call one = clfcn_gemm_at(call, i);
        rc = clfcn_panel_pack(dev, &pn->pack, &one, a, err);
        if (rc == CLFCN_OK) {
            rc = multiply(pn, &one, &s, a, b, err);
        }
    }
    clfcn_buffer_release(dev, &b);
    clfcn_buffer_release(dev, &a);
    return rc;
}

static void finish(struct clfcn_gemm *g)
{
    free(g);
}

static int create(struct clfcn_dev *dev, struct clfcn_programs *programs,
                  const struct clfcn_gemm_variant *variant, struct clfcn_gemm **out,
                  struct clfcn_err *err)
{
    struct panels *pn = calloc(1, sizeof(*pn));
    if (!pn) {
        return clfcn_err_nomem(err);
    }
    pn->vw = dev->info.vector_width >= 16 ? 16 : dev->info.vector_width >= 8 ? 8 : 4;
    pn->part = variant && variant->parameter == V_PART ? variant->value : PART;
    pn->most = variant && variant->parameter == V_BLOCK ? variant->value : BLOCK;
    const int values[CLFCN_MAX_PARAMS] = { pn->vw };
    int rc = clfcn_panel_pack_want(programs, &pn->pack, pn->vw, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_kernel_want(programs, &pn->panel, &panel_desc, values, err);
    }
    if (rc < 0) {
        free(pn);
        return rc;
    }
    *out = &pn->base;
    return CLFCN_OK;
}

const struct clfcn_gemm_impl clfcn_gemm_panels = {
    .name = "native",
    .variants = variants,
    .fits = fits,
    .create = create,
    .plan = plan,
    .run = run,
    .finish = finish,
};
