#include "gemm_impl.h"

#include "op_impl.h"
#include <stdlib.h>

/* The native product for GPUs: through local memory (cl/gemm_tiled.cl). */
struct tiled {
    struct clfcn_gemm base;
    struct clfcn_kernel wide, narrow; /* narrow: for products of few columns */
};

enum { P_SIDE, P_KT, P_COLS };
/* Outputs of an item along n. */
enum { WIDE = 4, NARROW = 1 };

static bool legal(const int *v, const struct clfcn_device_info *info)
{
    const size_t tiles = (4 + (size_t)v[P_COLS]) * (size_t)v[P_SIDE] + 2;
    return (size_t)v[P_SIDE] * (size_t)v[P_SIDE] <= info->max_work_group &&
           tiles * (size_t)v[P_KT] * sizeof(float) <= info->local_bytes;
}

static const struct clfcn_kernel_desc desc = {
    .stem = "gemm_tiled",
    .entry = "gemm_tiled",
    .cut = CLFCN_CUT_X | CLFCN_CUT_Y | CLFCN_CUT_Z,
    .params = { [P_SIDE] = { "SIDE", 16, { 8, 16 } },
                [P_KT] = { "KT", 16, { 8, 16, 32 } },
                [P_COLS] = { "COLS", WIDE, { NARROW, WIDE } } },
    .legal = legal,
};

static const struct clfcn_gemm_variant variants[] = {
    { "side=8", P_SIDE, 8 }, { "kt=8", P_KT, 8 }, { "kt=32", P_KT, 32 }, { 0 }
};

/* The values of a variant, or its own choice. */
static void choose(const struct clfcn_gemm_variant *variant,
                   const struct clfcn_device_info *info, int values[CLFCN_MAX_PARAMS])
{
    values[P_SIDE] = values[P_KT] = 16;
    values[P_COLS] = WIDE;
    if (!legal(values, info)) {
        values[P_SIDE] = 8;
    }
    if (variant) {
        values[variant->parameter] = variant->value;
    }
}

static bool fits(const struct clfcn_gemm_variant *variant,
                 const struct clfcn_device_info *info)
{
    int values[CLFCN_MAX_PARAMS] = { 0 };
    choose(variant, info, values);
    return legal(values, info);
}

static int plan(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
                struct clfcn_gemm_plan *out, struct clfcn_err *err)
{
    const struct tiled *tg = (const struct tiled *)g;
    out->parameters[0] = tg->wide.values[P_SIDE];
    out->parameters[1] = tg->wide.values[P_KT];
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

static int run(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
               cl_mem scratch, struct clfcn_err *err)
{
    const struct tiled *tg = (const struct tiled *)g;
    const int side = tg->wide.values[P_SIDE];
    const struct clfcn_kernel *kernel = call->n <= 2 * side ? &tg->narrow : &tg->wide;
    const struct strides sa = strides_a(call), sb = strides_b(call);
    const cl_ulong oa = call->a.offset, ob = call->b.offset, oc = call->c.offset;
    const cl_ulong next_a = call->batch.stride_a, next_b = call->batch.stride_b,
                   next_c = call->batch.stride_c;
    const int add = call->beta != 0.0f;
    const int columns = kernel->values[P_COLS];
    const size_t global[] = { (size_t)clfcn_round_up(call->n, columns * side) /
                                  (size_t)columns,
                              (size_t)clfcn_round_up(call->m, 4 * side) / 4,
                              (size_t)clfcn_gemm_count(call) };
    const size_t local[] = { (size_t)side, (size_t)side, 1 };
    const struct clfcn_arg args[] = {
        CLFCN_ARG(call->a.mem), CLFCN_ARG(call->b.mem), CLFCN_ARG(call->c.mem),
        CLFCN_ARG(oa),          CLFCN_ARG(sa.i),        CLFCN_ARG(sa.k),
        CLFCN_ARG(ob),          CLFCN_ARG(sb.k),        CLFCN_ARG(sb.i),
        CLFCN_ARG(oc),          CLFCN_ARG(call->c.ld),  CLFCN_ARG(call->m),
        CLFCN_ARG(call->n),     CLFCN_ARG(call->k),     CLFCN_ARG(add),
        CLFCN_ARG(next_a),      CLFCN_ARG(next_b),      CLFCN_ARG(next_c),
    };
    return clfcn_launch(g->dev, kernel, 3, global, local, args, CLFCN_ARRAY_LEN(args),
                        err);
}

static void finish(struct clfcn_gemm *g)
{
    free(g);
}

static int create(struct clfcn_dev *dev, struct clfcn_programs *programs,
                  const struct clfcn_gemm_variant *variant, struct clfcn_gemm **out,
                  struct clfcn_err *err)
{
    struct tiled *tg = calloc(1, sizeof(*tg));
    int values[CLFCN_MAX_PARAMS] = { 0 };
    if (!tg) {
        return clfcn_err_nomem(err);
    }
    choose(variant, &dev->info, values);
    int rc = clfcn_kernel_want(programs, &tg->wide, &desc, values, err);
    if (rc == CLFCN_OK) {
        values[P_COLS] = NARROW;
        rc = clfcn_kernel_want(programs, &tg->narrow, &desc, values, err);
    }
    if (rc < 0) {
        free(tg);
        return rc;
    }
    *out = &tg->base;
    return CLFCN_OK;
}

const struct clfcn_gemm_impl clfcn_gemm_tiled = {
    .name = "native",
    .variants = variants,
    .fits = fits,
    .create = create,
    .plan = plan,
    .run = run,
    .finish = finish,
};
