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

enum { P_T, P_KB };

static const struct clfcn_kernel_desc pack_desc = {
    .stem = "gemm_pack",
    .entry = "gemm_pack",
    .params = { [P_T] = { "T", 16, { 4, 8, 12, 16 } },
                [P_KB] = { "KB", 128, { 64, 128, 256 } } },
};

static const struct clfcn_kernel_desc panel_desc = {
    .stem = "gemm_panel",
    .entry = "gemm_panel",
    .params = { { "VW", 16, { 4, 8, 16 } } },
};

enum {
    MR = 12,       /* rows of a tile of gemm_panel.cl */
    KC_MAX = 4608, /* values of k a panel may hold: one of each operand fits the second
                      cache */
};

struct native {
    struct clfcn_gemm base;
    bool panels;
    int vw, kb, side;
    struct clfcn_kernel pack_a, pack_b, panel, tiled;
};

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* k cut into equal parts of at most KC_MAX. */
static int k_part(int k)
{
    const int parts = (k + KC_MAX - 1) / KC_MAX;
    return (k + parts - 1) / parts;
}

/* Floats of the packed left operand, which comes first in the scratch buffer. */
static size_t packed_a(const struct clfcn_gemm_call *call)
{
    return round_up((size_t)call->m, MR) * (size_t)k_part(call->k);
}

static int scratch(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
                   size_t *bytes, struct clfcn_err *err)
{
    const struct native *n = (const struct native *)g;
    const size_t b = round_up((size_t)call->n, (size_t)n->vw) * (size_t)k_part(call->k);
    *bytes = n->panels ? (clfcn_buffer_align(g->dev, packed_a(call) * sizeof(float)) +
                          b * sizeof(float))
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

static int pack(const struct native *nat, const struct clfcn_kernel *kernel,
                const struct clfcn_mat *src, struct strides s, cl_mem dst, int n,
                int tile, int k0, int kc, struct clfcn_err *err)
{
    const cl_ulong offset = src->offset + (size_t)k0 * (size_t)s.k;
    const size_t global[] = { ((size_t)kc + (size_t)nat->kb - 1) / (size_t)nat->kb,
                              ((size_t)n + (size_t)tile - 1) / (size_t)tile };
    const size_t local[] = { 1, 1 };
    const struct clfcn_arg args[] = {
        CLFCN_ARG(src->mem), CLFCN_ARG(dst), CLFCN_ARG(offset), CLFCN_ARG(n),
        CLFCN_ARG(kc),       CLFCN_ARG(s.i), CLFCN_ARG(s.k),
    };
    return clfcn_launch(nat->base.dev, kernel, 2, global, local, args,
                        CLFCN_ARRAY_LEN(args), err);
}

/* One part of k: pack both operands, multiply. */
static int run_part(const struct native *nat, const struct clfcn_gemm_call *call,
                    cl_mem a, cl_mem b, int k0, int kc, struct clfcn_err *err)
{
    const cl_ulong offset = call->c.offset;
    const int add = call->beta != 0.0f || k0 > 0;
    const size_t global[] = { ((size_t)call->m + MR - 1) / MR,
                              ((size_t)call->n + (size_t)nat->vw - 1) / (size_t)nat->vw };
    const size_t local[] = { 1, 1 };
    const struct clfcn_arg args[] = {
        CLFCN_ARG(a),       CLFCN_ARG(b),          CLFCN_ARG(call->c.mem),
        CLFCN_ARG(offset),  CLFCN_ARG(call->c.ld), CLFCN_ARG(call->m),
        CLFCN_ARG(call->n), CLFCN_ARG(kc),         CLFCN_ARG(add),
    };
    int rc =
        pack(nat, &nat->pack_a, &call->a, strides_a(call), a, call->m, MR, k0, kc, err);
    if (rc == CLFCN_OK) {
        rc = pack(nat, &nat->pack_b, &call->b, strides_b(call), b, call->n, nat->vw, k0,
                  kc, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_launch(nat->base.dev, &nat->panel, 2, global, local, args,
                          CLFCN_ARRAY_LEN(args), err);
    }
    return rc;
}

static int run_panels(const struct native *nat, const struct clfcn_gemm_call *call,
                      cl_mem scratch_mem, struct clfcn_err *err)
{
    struct clfcn_dev *dev = nat->base.dev;
    const size_t split = clfcn_buffer_align(dev, packed_a(call) * sizeof(float));
    const int part = k_part(call->k);
    cl_mem a = NULL, b = NULL;
    size_t bytes;
    int rc = scratch(&nat->base, call, &bytes, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_buffer_view(dev, scratch_mem, 0, split, &a, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_buffer_view(dev, scratch_mem, split, bytes - split, &b, err);
    }
    for (int k0 = 0; rc == CLFCN_OK && k0 < call->k; k0 += part) {
        const int kc = call->k - k0 < part ? call->k - k0 : part;
        rc = run_part(nat, call, a, b, k0, kc, err);
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
    const int add = call->beta != 0.0f;
    const size_t tile = 4 * (size_t)nat->side;
    const size_t global[] = { round_up((size_t)call->n, tile) / 4,
                              round_up((size_t)call->m, tile) / 4 };
    const size_t local[] = { (size_t)nat->side, (size_t)nat->side };
    const struct clfcn_arg args[] = {
        CLFCN_ARG(call->a.mem), CLFCN_ARG(call->b.mem), CLFCN_ARG(call->c.mem),
        CLFCN_ARG(oa),          CLFCN_ARG(sa.i),        CLFCN_ARG(sa.k),
        CLFCN_ARG(ob),          CLFCN_ARG(sb.k),        CLFCN_ARG(sb.i),
        CLFCN_ARG(oc),          CLFCN_ARG(call->c.ld),  CLFCN_ARG(call->m),
        CLFCN_ARG(call->n),     CLFCN_ARG(call->k),     CLFCN_ARG(add),
    };
    return clfcn_launch(nat->base.dev, &nat->tiled, 2, global, local, args,
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
    const int a_values[CLFCN_MAX_PARAMS] = { [P_T] = MR, [P_KB] = nat->kb };
    const int b_values[CLFCN_MAX_PARAMS] = { [P_T] = nat->vw, [P_KB] = nat->kb };
    const int panel_values[CLFCN_MAX_PARAMS] = { nat->vw };
    int rc = clfcn_kernel_want(programs, &nat->pack_a, &pack_desc, a_values, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_kernel_want(programs, &nat->pack_b, &pack_desc, b_values, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_kernel_want(programs, &nat->panel, &panel_desc, panel_values, err);
    }
    return rc;
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
    nat->kb = pack_desc.params[P_KB].dflt;
    const int rc =
        nat->panels ? want_panels(nat, programs, err) : want_tiled(nat, programs, err);
    if (rc < 0) {
        free(nat);
        return rc;
    }
    *out = &nat->base;
    return CLFCN_OK;
}
