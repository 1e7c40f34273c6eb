#include "conv.h"
#include "op_impl.h"

#include <math.h>
#include <string.h>

/* Convolution by matrix products whose columns are gathered into local memory as they are
 * needed (cl/conv_tiled.cl), for GPUs. The sum is cut into parts where the tiles of the
 * result are too few to occupy the device: these are added up by a second kernel, always
 * in the same order. */
struct tiled {
    struct clfcn_conv cv;
    int values[CLFCN_MAX_PARAMS];
    cl_int parts;
    struct clfcn_kernel product, sum;
};

enum { P_K, P_STRIDE, P_UP, P_SIDE, P_TM, P_TN, P_KT };

/* As the kernels share work-items out, and as the device allows. */
static bool legal(const int *v, const struct clfcn_device_info *info)
{
    const size_t side = (size_t)v[P_SIDE], items = side * side;
    const size_t bm = side * (size_t)v[P_TM], bn = side * (size_t)v[P_TN];
    const size_t kt = (size_t)v[P_KT];
    const size_t local = kt * (bm + 4 + bn + 4) * sizeof(cl_float);
    return v[P_TM] % 4 == 0 && v[P_TN] % 4 == 0 && v[P_SIDE] % v[P_TN] == 0 &&
           bm * kt % items == 0 && bn * kt % items == 0 && items % kt == 0 &&
           items <= info->max_work_group && side <= info->max_work_item[0] &&
           side <= info->max_work_item[1] && local <= info->local_bytes;
}

#define DESC(kernel, cut_)                                                             \
    {                                                                                  \
        .stem = "conv_tiled", .entry = kernel, .cut = cut_, .legal = legal,            \
        .params = {                                                                    \
            [P_K] = { "K", 3, { 0 } },           [P_STRIDE] = { "STRIDE", 1, { 0 } },  \
            [P_UP] = { "UP", 0, { 0 } },         [P_SIDE] = { "SIDE", 16, { 8, 16 } }, \
            [P_TM] = { "TM", 8, { 4, 8 } },      [P_TN] = { "TN", 8, { 4, 8 } },       \
            [P_KT] = { "KT", 16, { 8, 16, 32 } }                                       \
        },                                                                             \
    }
static const struct clfcn_kernel_desc pixels_desc =
                                          DESC("conv_tiled_pixels",
                                               CLFCN_CUT_X | CLFCN_CUT_Y | CLFCN_CUT_Z),
                                      weights_desc =
                                          DESC("conv_tiled_weights",
                                               CLFCN_CUT_X | CLFCN_CUT_Y | CLFCN_CUT_Z),
                                      sum_desc = DESC("conv_tiled_sum", CLFCN_CUT_X);

/* Shapes of tiles, and the share of the best rate to expect of each where there is work
 * enough: the larger a tile, the fewer values are read for a product. */
static const struct tiling {
    int side, tm, tn;
    double rate;
} tilings[] = {
    { 16, 8, 8, 1.0 },
    { 16, 4, 8, 0.9 },
    { 8, 4, 4, 0.5 },
};
/* By index. */
static const struct clfcn_conv_variant variants[] = {
    { "128x128", 0 }, { "64x128", 1 }, { "32x32", 2 }, { 0 }
};

enum {
    KT = 16,
    GROUPS = 2,     /* work-groups that a compute unit should have at least */
    PART_MIN = 128, /* values summed in a part: fewer are not worth adding up */
    UP_CLASSES = 4, /* of output pixels, see cl/conv_tiled.cl */
};

/* The result as a matrix, and the length of the sums it is made of; with up the shortest
 * ones. */
struct product {
    bool up;
    int rows, columns, depth;
};

static struct product product_of(const struct clfcn_conv *cv)
{
    const struct clfcn_conv_shape *s = &cv->shape;
    const int pixels = s->n * s->h * s->w, taps = s->kernel * s->kernel;
    const bool input = cv->pass == CLFCN_PASS_INPUT;
    if (cv->pass == CLFCN_PASS_WEIGHT) {
        return (struct product){ .rows = s->transposed ? s->in : s->out,
                                 .columns = (s->transposed ? s->out : s->in) * taps,
                                 .depth = pixels };
    }
    const bool up = s->transposed && !input;
    return (struct product){ .up = up,
                             .rows = input ? s->in : s->out,
                             .columns = pixels,
                             .depth = (input ? s->out : s->in) * (up ? 1 : taps) };
}

/* Floats of one row of the result in memory. */
static int row_of(const struct product *p)
{
    return p->columns * (p->up ? UP_CLASSES : 1);
}

static void set_values(const struct clfcn_conv *cv, const struct tiling *t, int *values)
{
    const bool up = cv->shape.transposed && cv->pass == CLFCN_PASS_FORWARD;
    values[P_K] = cv->shape.kernel;
    values[P_STRIDE] = cv->shape.transposed && !up ? 2 : 1;
    values[P_UP] = up;
    values[P_SIDE] = t->side;
    values[P_TM] = t->tm;
    values[P_TN] = t->tn;
    values[P_KT] = KT;
}

/* Parts enough to occupy the device, if the sums are long enough and the workspace holds
 * them. */
static int choose_parts(const struct product *p, double groups, double wanted,
                        const struct clfcn_op_env *env)
{
    const double bytes = (double)p->rows * row_of(p) * sizeof(cl_float);
    const double room =
        fmin((double)env->workspace_limit, (double)env->dev->info.max_alloc_bytes);
    const int deepest = p->depth / PART_MIN;
    const double most = fmin(deepest, floor(room / bytes));
    const double parts = fmin(wanted / groups, most);
    return parts < 2.0 ? 1 : (int)parts;
}

/* The tiling whose rate, less what is lost to margins and to idle compute units, is the
 * best; of all, or this one only. False if the device can do none. */
static bool choose(const struct clfcn_conv *cv, const struct clfcn_conv_variant *only,
                   const struct clfcn_op_env *env, int *values, int *parts)
{
    const struct clfcn_device_info *info = &env->dev->info;
    const struct product p = product_of(cv);
    const double wanted = (double)GROUPS * info->compute_units;
    double best = 0.0;
    for (int i = 0; i < CLFCN_ARRAY_LEN(tilings); ++i) {
        const struct tiling *t = &tilings[i];
        if (only && only->value != i) {
            continue;
        }
        const int bm = t->side * t->tm, bn = t->side * t->tn;
        const double tiles =
            (double)clfcn_parts_of(p.rows, bm) * clfcn_parts_of(p.columns, bn);
        const double groups = tiles * (p.up ? UP_CLASSES : 1);
        const int cut = choose_parts(&p, groups, wanted, env);
        const double used = (double)p.rows * p.columns / (tiles * bm * bn);
        const double rate = t->rate * used * fmin(1.0, groups * cut / wanted);
        int tried[CLFCN_MAX_PARAMS] = { 0 };
        set_values(cv, t, tried);
        if (rate > best && legal(tried, info)) {
            best = rate;
            *parts = cut;
            memcpy(values, tried, sizeof(tried));
        }
    }
    return best > 0.0;
}

/* CPUs with vectors are better served by the algorithms made for them. */
static bool fits(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                 const struct clfcn_op_env *env)
{
    const struct clfcn_conv probe = { .shape = *shape, .pass = pass };
    int values[CLFCN_MAX_PARAMS], parts;
    return !clfcn_wants_vectors(&env->dev->info) &&
           env->gemm_kind != CLFCN_GEMM_CLBLAST &&
           choose(&probe, NULL, env, values, &parts);
}

static int plan(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                struct clfcn_err *err)
{
    struct tiled *td = (struct tiled *)cv;
    const struct product p = product_of(cv);
    if (!choose(cv, cv->variant, env, td->values, &td->parts) &&
        !choose(cv, NULL, env, td->values, &td->parts)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "'%s' allows no work-group of 8x8 with its local memory",
                             env->dev->info.name);
    }
    if (td->parts > 1) {
        cv->scratch_bytes =
            (size_t)td->parts * (size_t)p.rows * (size_t)row_of(&p) * sizeof(cl_float);
    }
    return CLFCN_OK;
}

static int prepare(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    struct tiled *td = (struct tiled *)cv;
    const int rc = clfcn_kernel_want(
        env->programs, &td->product,
        cv->pass == CLFCN_PASS_WEIGHT ? &weights_desc : &pixels_desc, td->values, err);
    if (rc < 0 || td->parts == 1) {
        return rc;
    }
    return clfcn_kernel_want(env->programs, &td->sum, &sum_desc, td->values, err);
}

static int launch(const struct tiled *td, const struct clfcn_op_run *run,
                  const struct clfcn_arg *args, int count, struct clfcn_err *err)
{
    const struct product p = product_of(&td->cv);
    const int *v = td->values;
    const size_t side = (size_t)v[P_SIDE];
    const size_t global[] = {
        (size_t)clfcn_parts_of(p.columns, v[P_SIDE] * v[P_TN]) * side,
        (size_t)clfcn_parts_of(p.rows, v[P_SIDE] * v[P_TM]) * side,
        (size_t)(td->parts * (p.up ? UP_CLASSES : 1)),
    };
    const size_t local[] = { side, side, 1 };
    return clfcn_launch(run->dev, &td->product, 3, global, local, args, count, err);
}

/* The strides between weights of neighbouring channels, read and made. */
static void weight_strides(const struct clfcn_conv *cv, cl_int *from, cl_int *to)
{
    const struct clfcn_conv_shape *s = &cv->shape;
    const cl_int inner = s->kernel * s->kernel;
    const cl_int outer = inner * (s->transposed ? s->out : s->in);
    const bool swapped = s->transposed == (cv->pass == CLFCN_PASS_INPUT);
    *from = swapped ? inner : outer;
    *to = swapped ? outer : inner;
}

static int run_pixels(const struct tiled *td, const struct clfcn_op_run *run,
                      const struct clfcn_conv_call *call, cl_mem dst,
                      struct clfcn_err *err)
{
    const struct clfcn_conv_shape *s = &td->cv.shape;
    const bool input = td->cv.pass == CLFCN_PASS_INPUT, last = td->parts == 1;
    const cl_mem src = input ? call->y : call->x;
    const cl_mem bias = call->bias ? call->bias : call->weight; /* some buffer */
    const cl_int from = input ? s->out : s->in, to = input ? s->in : s->out;
    const cl_int flip = input && !s->transposed, with_bias = last && call->bias;
    const cl_int relu = last && call->relu, add = last && call->add;
    cl_int stride_from, stride_to;
    weight_strides(&td->cv, &stride_from, &stride_to);
    const struct clfcn_arg args[] = {
        CLFCN_ARG(src),         CLFCN_ARG(call->weight), CLFCN_ARG(bias),
        CLFCN_ARG(dst),         CLFCN_ARG(from),         CLFCN_ARG(to),
        CLFCN_ARG(s->n),        CLFCN_ARG(s->h),         CLFCN_ARG(s->w),
        CLFCN_ARG(stride_from), CLFCN_ARG(stride_to),    CLFCN_ARG(flip),
        CLFCN_ARG(td->parts),   CLFCN_ARG(with_bias),    CLFCN_ARG(relu),
        CLFCN_ARG(add),
    };
    return launch(td, run, args, CLFCN_ARRAY_LEN(args), err);
}

/* The plain convolution's weights belong to dy in rows and x in columns; those of the
 * transposed one, which is the transpose of one of stride 2, the other way round. */
static int run_weights(const struct tiled *td, const struct clfcn_op_run *run,
                       const struct clfcn_conv_call *call, cl_mem dst,
                       struct clfcn_err *err)
{
    const struct clfcn_conv_shape *s = &td->cv.shape;
    const cl_mem rows = s->transposed ? call->x : call->y;
    const cl_mem src = s->transposed ? call->y : call->x;
    const cl_int from = s->transposed ? s->out : s->in;
    const cl_int to = s->transposed ? s->in : s->out;
    const struct clfcn_arg args[] = {
        CLFCN_ARG(rows), CLFCN_ARG(src),  CLFCN_ARG(dst),
        CLFCN_ARG(from), CLFCN_ARG(to),   CLFCN_ARG(s->n),
        CLFCN_ARG(s->h), CLFCN_ARG(s->w), CLFCN_ARG(td->parts),
    };
    return launch(td, run, args, CLFCN_ARRAY_LEN(args), err);
}

static int sum_parts(const struct tiled *td, const struct clfcn_op_run *run,
                     const struct clfcn_conv_call *call, cl_mem dst,
                     struct clfcn_err *err)
{
    const struct product p = product_of(&td->cv);
    const cl_int row = row_of(&p), with_bias = call->bias != NULL;
    const cl_int relu = call->relu, add = call->add;
    const cl_mem bias = call->bias ? call->bias : run->scratch; /* some buffer */
    const size_t global[] = { (size_t)row, (size_t)p.rows };
    const size_t local[] = { run->dev->info.max_work_group < 64 ? 1 : 64, 1 };
    const struct clfcn_arg args[] = {
        CLFCN_ARG(run->scratch), CLFCN_ARG(bias),      CLFCN_ARG(dst),  CLFCN_ARG(row),
        CLFCN_ARG(td->parts),    CLFCN_ARG(with_bias), CLFCN_ARG(relu), CLFCN_ARG(add),
    };
    return clfcn_launch(run->dev, &td->sum, 2, global, local, args, CLFCN_ARRAY_LEN(args),
                        err);
}

static int run(struct clfcn_conv *cv, const struct clfcn_op_run *run,
               const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    const struct tiled *td = (const struct tiled *)cv;
    const cl_mem made[] = { [CLFCN_PASS_FORWARD] = call->y,
                            [CLFCN_PASS_INPUT] = call->x,
                            [CLFCN_PASS_WEIGHT] = call->weight };
    const cl_mem dst = td->parts > 1 ? run->scratch : made[cv->pass];
    const int rc = cv->pass == CLFCN_PASS_WEIGHT ? run_weights(td, run, call, dst, err)
                                                 : run_pixels(td, run, call, dst, err);
    return rc < 0 || td->parts == 1 ? rc : sum_parts(td, run, call, made[cv->pass], err);
}

const struct clfcn_conv_impl clfcn_conv_tiled = {
    .name = "tiled",
    .variants = variants,
    .finishes = true,
    .thrifty = true,
    .on_request = true,
    .size = sizeof(struct tiled),
    .fits = fits,
    .plan = plan,
    .prepare = prepare,
    .run = run,
};
