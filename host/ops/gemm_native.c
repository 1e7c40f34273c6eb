#include "gemm_impl.h"

#include "../device/buffer.h"

#include <stdlib.h>

enum { T_SIDE, T_KT };

static bool tiled_legal(const int *v, const struct clfcn_device_info *info)
{
    const size_t tile = 4 * (size_t)v[T_SIDE] + 1;
    return (size_t)(v[T_SIDE] * v[T_SIDE]) <= info->max_work_group &&
           2 * tile * (size_t)v[T_KT] * sizeof(float) <= info->local_bytes;
}

static const struct clfcn_kernel_desc tiled_desc = {
    .stem = "gemm_tiled",
    .entry = "gemm_tiled",
    .params = { [T_SIDE] = { "SIDE", 16, { 8, 16 } },
                [T_KT] = { "KT", 16, { 8, 16, 32 } } },
    .legal = tiled_legal,
};

static const struct clfcn_kernel_desc panel_desc = {
    .stem = "gemm_panel",
    .entry = "gemm_panel",
    .params = { { "VW", 16, { 4, 8, 16 } } },
};

enum {
    PART = 640,  /* values of k that are packed at a time at most, */
    BLOCK = 256, /* and columns: together they fit the second cache */
};

struct native {
    struct clfcn_gemm base;
    bool panels;
    int vw, side;
    struct clfcn_kernel pack, panel, tiled;
};

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

static struct sharing share(const struct native *nat, const struct clfcn_gemm_call *call)
{
    const size_t n = (size_t)call->n, vw = (size_t)nat->vw;
    const size_t cores = nat->base.dev->info.compute_units;
    const size_t blocks = round_up(parts_of(n, BLOCK), cores);
    const size_t block = round_up(parts_of(n, blocks), vw);
    const size_t used = parts_of(n, block);
    const size_t k = (size_t)call->k, part = parts_of(k, parts_of(k, PART));
    return (struct sharing){
        .block = (cl_int)block,
        .part = (cl_int)part,
        .groups = used < cores ? used : cores,
        .packed_a = clfcn_panel_pack_floats(call->m, call->k),
        .packed_b = block * part,
    };
}

static int scratch(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
                   size_t *bytes, struct clfcn_err *err)
{
    const struct native *nat = (const struct native *)g;
    const struct sharing s = share(nat, call);
    *bytes = nat->panels ? clfcn_buffer_align(g->dev, s.packed_a * sizeof(float)) +
                               s.groups * s.packed_b * sizeof(float)
                         : 0;
    return CLFCN_OK;
}

/* Strides of element (i, k) of op(a), and of (k, j) of op(b) as (j, k). */
struct strides {
    int i, k;
};

static struct strides strides_a(const struct clfcn_gemm_call *call)
{
    return call->trans_a ? (struct strides){ 1, call->a.ld }
                         : (struct strides){ call->a.ld, 1 };
}

static struct strides strides_b(const struct clfcn_gemm_call *call)
{
    return call->trans_b ? (struct strides){ call->b.ld, 1 }
                         : (struct strides){ 1, call->b.ld };
}

static int multiply(const struct native *nat, const struct clfcn_gemm_call *call,
                    const struct sharing *s, cl_mem a, cl_mem b, struct clfcn_err *err)
{
    const struct strides sb = strides_b(call);
    const cl_ulong offset_b = call->b.offset, offset_c = call->c.offset;
    const cl_int add = call->beta != 0.0f;
    const size_t local[] = { 1 };
    const struct clfcn_arg args[] = {
        CLFCN_ARG(a),        CLFCN_ARG(call->b.mem), CLFCN_ARG(call->c.mem),
        CLFCN_ARG(b),        CLFCN_ARG(offset_b),    CLFCN_ARG(offset_c),
        CLFCN_ARG(sb.k),     CLFCN_ARG(sb.i),        CLFCN_ARG(call->c.ld),
        CLFCN_ARG(call->m),  CLFCN_ARG(call->n),     CLFCN_ARG(call->k),
        CLFCN_ARG(s->block), CLFCN_ARG(s->part),     CLFCN_ARG(add),
    };
    return clfcn_launch(nat->base.dev, &nat->panel, 1, &s->groups, local, args,
                        CLFCN_ARRAY_LEN(args), err);
}

static int run_panels(const struct native *nat, const struct clfcn_gemm_call *call,
                      cl_mem scratch_mem, struct clfcn_err *err)
{
    struct clfcn_dev *dev = nat->base.dev;
    const struct sharing s = share(nat, call);
    const size_t split = clfcn_buffer_align(dev, s.packed_a * sizeof(float));
    cl_mem a = NULL, b = NULL;
    int rc = clfcn_buffer_view(dev, scratch_mem, 0, split, &a, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_buffer_view(dev, scratch_mem, split,
                               s.groups * s.packed_b * sizeof(float), &b, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < clfcn_gemm_count(call); ++i) {
        const struct clfcn_gemm_call one = clfcn_gemm_at(call, i);
        rc = clfcn_panel_pack(dev, &nat->pack, &one, a, err);
        if (rc == CLFCN_OK) {
            rc = multiply(nat, &one, &s, a, b, err);
        }
    }
    clfcn_buffer_release(dev, &b);
    clfcn_buffer_release(dev, &a);
    return rc;
}

static int run_tiled(const struct native *nat, const struct clfcn_gemm_call *call,
                     struct clfcn_err *err)
{
    const struct strides sa = strides_a(call), sb = strides_b(call);
    const cl_ulong oa = call->a.offset, ob = call->b.offset, oc = call->c.offset;
    const cl_ulong next_a = call->batch.stride_a, next_b = call->batch.stride_b,
                   next_c = call->batch.stride_c;
    const int add = call->beta != 0.0f;
    const size_t tile = 4 * (size_t)nat->side;
    const size_t global[] = { round_up((size_t)call->n, tile) / 4,
                              round_up((size_t)call->m, tile) / 4,
                              (size_t)clfcn_gemm_count(call) };
    const size_t local[] = { (size_t)nat->side, (size_t)nat->side, 1 };
    const struct clfcn_arg args[] = {
        CLFCN_ARG(call->a.mem), CLFCN_ARG(call->b.mem), CLFCN_ARG(call->c.mem),
        CLFCN_ARG(oa),          CLFCN_ARG(sa.i),        CLFCN_ARG(sa.k),
        CLFCN_ARG(ob),          CLFCN_ARG(sb.k),        CLFCN_ARG(sb.i),
        CLFCN_ARG(oc),          CLFCN_ARG(call->c.ld),  CLFCN_ARG(call->m),
        CLFCN_ARG(call->n),     CLFCN_ARG(call->k),     CLFCN_ARG(add),
        CLFCN_ARG(next_a),      CLFCN_ARG(next_b),      CLFCN_ARG(next_c),
    };
    return clfcn_launch(nat->base.dev, &nat->tiled, 3, global, local, args,
                        CLFCN_ARRAY_LEN(args), err);
}

static int run(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
               cl_mem scratch_mem, struct clfcn_err *err)
{
    const struct native *nat = (const struct native *)g;
    return nat->panels ? run_panels(nat, call, scratch_mem, err)
                       : run_tiled(nat, call, err);
}

static void finish(struct clfcn_gemm *g)
{
    free(g);
}

static const struct clfcn_gemm_impl native_impl = {
    .name = "native",
    .algorithm = "im2col+native",
    .scratch = scratch,
    .run = run,
    .finish = finish,
};

static int want_panels(struct native *nat, struct clfcn_programs *programs,
                       struct clfcn_err *err)
{
    const int panel_values[CLFCN_MAX_PARAMS] = { nat->vw };
    const int rc = clfcn_panel_pack_want(programs, &nat->pack, nat->vw, err);
    return rc < 0
               ? rc
               : clfcn_kernel_want(programs, &nat->panel, &panel_desc, panel_values, err);
}

static int want_tiled(struct native *nat, struct clfcn_programs *programs,
                      struct clfcn_err *err)
{
    int values[CLFCN_MAX_PARAMS] = { [T_SIDE] = 16, [T_KT] = 16 };
    if (!tiled_legal(values, &nat->base.dev->info)) {
        values[T_SIDE] = 8;
    }
    nat->side = values[T_SIDE];
    return clfcn_kernel_want(programs, &nat->tiled, &tiled_desc, values, err);
}

/* Packed panels suit devices with wide vectors, which are CPUs; local memory suits the
 * others, and also a CPU runtime that compiles for single lanes. */
int clfcn_gemm_native_create(struct clfcn_dev *dev, struct clfcn_programs *programs,
                             struct clfcn_gemm **out, struct clfcn_err *err)
{
    struct native *nat = calloc(1, sizeof(*nat));
    if (!nat) {
        return clfcn_err_nomem(err);
    }
    nat->base.impl = &native_impl;
    nat->base.dev = dev;
    nat->panels = dev->info.is_cpu && dev->info.vector_width >= 4;
    nat->vw = dev->info.vector_width >= 16 ? 16 : dev->info.vector_width >= 8 ? 8 : 4;
    const int rc =
        nat->panels ? want_panels(nat, programs, err) : want_tiled(nat, programs, err);
    if (rc < 0) {
        free(nat);
        return rc;
    }
    *out = &nat->base;
    return CLFCN_OK;
}
