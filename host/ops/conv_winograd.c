#include "conv.h"
#include "op_impl.h"

/* Winograd's F(2x2, 3x3) and F(4x4, 3x3) on CPUs (cl/winograd.cl says how): weights to
 * points; then tiles to points, products and tiles again in one kernel whose work-groups
 * each stay in one core's cache. The weight gradient gathers sums for each point, which a
 * last kernel turns into taps. */
struct winograd {
    struct clfcn_conv cv;
    int m, points, vw;
    int from, to; /* channels that are summed over, and that are made */
    int block;    /* tiles at a time */
    int chunk;    /* channels made at a time, a multiple of vw */
    int parts;    /* of the tiles, summed apart; weight gradient */
    int groups;
    cl_ulong stride_v, stride_m, group_floats;
    struct clfcn_kernel weights, conv, correlate, filter;
};

enum { P_M, P_VW };
enum {
    KB = 16,    /* of cl/winograd.cl */
    BLOCK = 48, /* tiles at a time: enough for the weights to be read seldom */
    CHUNK = 64,
    SUMS_MAX = 8 << 20, /* bytes of sums that each group may have a copy of */
};

#define DESC(kernel)                                                                     \
    {                                                                                    \
        .stem = "winograd", .entry = kernel,                                             \
        .params = { [P_M] = { "M", 4, { 2, 4 } }, [P_VW] = { "VW", 16, { 4, 8, 16 } } }, \
    }
static const struct clfcn_kernel_desc weights_desc = DESC("winograd_weights"),
                                      conv_desc = DESC("winograd_conv"),
                                      correlate_desc = DESC("winograd_correlate"),
                                      filter_desc = DESC("winograd_filter");

static int parts_of(int n, int size)
{
    return (n + size - 1) / size;
}

static int round_up(int n, int to)
{
    return parts_of(n, to) * to;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Fewer channels than lanes would be mostly padding. */
static bool fits(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                 const struct clfcn_op_env *env)
{
    const struct clfcn_device_info *info = &env->dev->info;
    return shape->kernel == 3 && info->is_cpu && info->vector_width >= 4 &&
           env->gemm_kind != CLFCN_GEMM_CLBLAST;
}

/* Tiles in blocks of nearly equal size; work-groups enough for every core, each with its
 * part of the scratch memory. */
static int plan(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                struct clfcn_err *err)
{
    struct winograd *wg = (struct winograd *)cv;
    const struct clfcn_conv_shape *s = &cv->shape;
    const int cores = (int)env->dev->info.compute_units;
    const bool weight = cv->pass == CLFCN_PASS_WEIGHT;
    wg->m = cv->impl == &clfcn_conv_winograd4 ? 4 : 2;
    wg->points = (wg->m + 2) * (wg->m + 2);
    wg->vw = clfcn_defaults_for(&env->dev->info).vector_width;
    wg->from = cv->pass == CLFCN_PASS_INPUT ? s->out : s->in;
    wg->to = cv->pass == CLFCN_PASS_INPUT ? s->in : s->out;

    const int tiles = s->n * parts_of(s->h, wg->m) * parts_of(s->w, wg->m);
    const int lanes = round_up(wg->to, wg->vw);
    wg->block = round_up(parts_of(tiles, parts_of(tiles, BLOCK)), 4);
    const int blocks = parts_of(tiles, wg->block);
    const size_t sums =
        (size_t)wg->points * (size_t)lanes * (size_t)round_up(wg->from, 4);
    wg->chunk = smaller(lanes, CHUNK);
    wg->parts = 1;
    if (weight && sums * sizeof(float) <= SUMS_MAX) {
        wg->parts = smaller(blocks, cores);
        wg->chunk = lanes;
    } else if (weight) {
        wg->chunk = round_up(parts_of(lanes, cores), wg->vw);
    }
    const int jobs = (weight ? wg->parts : blocks) * parts_of(lanes, wg->chunk);
    wg->groups = smaller(jobs, cores);
    /* A vector more, so that the points do not all fall into the same set of a cache. */
    wg->stride_v =
        (cl_ulong)wg->block * (cl_ulong)round_up(wg->from, wg->vw) + (cl_ulong)wg->vw;
    wg->stride_m = (cl_ulong)wg->block * (cl_ulong)wg->chunk + (cl_ulong)wg->vw;
    wg->group_floats = (cl_ulong)wg->points * (wg->stride_v + wg->stride_m);
    cv->columns_bytes = sizeof(float) * sums * (size_t)wg->parts;
    cv->scratch_bytes = sizeof(float) * (size_t)wg->groups * wg->group_floats;
    return CLFCN_OK;
}

static int prepare(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    struct winograd *wg = (struct winograd *)cv;
    const int values[CLFCN_MAX_PARAMS] = { [P_M] = wg->m, [P_VW] = wg->vw };
    const bool weight = cv->pass == CLFCN_PASS_WEIGHT;
    const int rc =
        clfcn_kernel_want(env->programs, weight ? &wg->correlate : &wg->weights,
                          weight ? &correlate_desc : &weights_desc, values, err);
    return rc < 0 ? rc
                  : clfcn_kernel_want(env->programs, weight ? &wg->filter : &wg->conv,
                                      weight ? &filter_desc : &conv_desc, values, err);
}

static int launch(const struct winograd *wg, const struct clfcn_op_run *run,
                  const struct clfcn_kernel *kernel, bool by_channels,
                  const struct clfcn_arg *args, int count, struct clfcn_err *err)
{
    const size_t channels[] = { (size_t)parts_of(wg->from, KB),
                                (size_t)parts_of(wg->to, wg->vw) };
    const size_t groups[] = { (size_t)wg->groups, 1 };
    const size_t local[] = { 1, 1 };
    return clfcn_launch(run->dev, kernel, by_channels ? 2 : 1,
                        by_channels ? channels : groups, local, args, count, err);
}

/* The input gradient is the convolution of dy with the weights turned round, and their
 * channels exchanged. */
static int run_conv(const struct winograd *wg, const struct clfcn_op_run *run,
                    const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    const struct clfcn_conv_shape *s = &wg->cv.shape;
    const cl_int flip = wg->cv.pass == CLFCN_PASS_INPUT;
    const cl_int stride_in = 9, stride_out = 9 * s->in;
    const struct clfcn_arg weights[] = {
        CLFCN_ARG(call->weight),
        CLFCN_ARG(run->columns),
        CLFCN_ARG(wg->from),
        CLFCN_ARG(wg->to),
        CLFCN_ARG(*(flip ? &stride_out : &stride_in)),
        CLFCN_ARG(*(flip ? &stride_in : &stride_out)),
        CLFCN_ARG(flip),
    };
    const cl_mem src = flip ? call->y : call->x, dst = flip ? call->x : call->y;
    const cl_mem bias = call->bias ? call->bias : call->weight; /* some buffer */
    const cl_int with_bias = call->bias != NULL, relu = call->relu, add = call->add;
    const struct clfcn_arg conv[] = {
        CLFCN_ARG(src),          CLFCN_ARG(run->columns), CLFCN_ARG(bias),
        CLFCN_ARG(dst),          CLFCN_ARG(run->scratch), CLFCN_ARG(wg->group_floats),
        CLFCN_ARG(wg->stride_v), CLFCN_ARG(wg->stride_m), CLFCN_ARG(wg->from),
        CLFCN_ARG(wg->to),       CLFCN_ARG(s->n),         CLFCN_ARG(s->h),
        CLFCN_ARG(s->w),         CLFCN_ARG(wg->block),    CLFCN_ARG(wg->chunk),
        CLFCN_ARG(with_bias),    CLFCN_ARG(relu),         CLFCN_ARG(add),
    };
    const int rc =
        launch(wg, run, &wg->weights, true, weights, CLFCN_ARRAY_LEN(weights), err);
    return rc < 0 ? rc
                  : launch(wg, run, &wg->conv, false, conv, CLFCN_ARRAY_LEN(conv), err);
}

static int run_weight(const struct winograd *wg, const struct clfcn_op_run *run,
                      const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    const struct clfcn_conv_shape *s = &wg->cv.shape;
    const struct clfcn_arg correlate[] = {
        CLFCN_ARG(call->x),
        CLFCN_ARG(call->y),
        CLFCN_ARG(run->columns),
        CLFCN_ARG(run->scratch),
        CLFCN_ARG(wg->group_floats),
        CLFCN_ARG(wg->stride_v),
        CLFCN_ARG(wg->stride_m),
        CLFCN_ARG(wg->from),
        CLFCN_ARG(wg->to),
        CLFCN_ARG(s->n),
        CLFCN_ARG(s->h),
        CLFCN_ARG(s->w),
        CLFCN_ARG(wg->block),
        CLFCN_ARG(wg->chunk),
        CLFCN_ARG(wg->parts),
    };
    const struct clfcn_arg filter[] = {
        CLFCN_ARG(run->columns), CLFCN_ARG(call->weight), CLFCN_ARG(wg->from),
        CLFCN_ARG(wg->to),       CLFCN_ARG(wg->parts),
    };
    const int rc = launch(wg, run, &wg->correlate, false, correlate,
                          CLFCN_ARRAY_LEN(correlate), err);
    return rc < 0
               ? rc
               : launch(wg, run, &wg->filter, true, filter, CLFCN_ARRAY_LEN(filter), err);
}

static int run(struct clfcn_conv *cv, const struct clfcn_op_run *run,
               const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    const struct winograd *wg = (const struct winograd *)cv;
    return cv->pass == CLFCN_PASS_WEIGHT ? run_weight(wg, run, call, err)
                                         : run_conv(wg, run, call, err);
}

#define IMPL(title)                                                                     \
    {                                                                                   \
        .name = title, .finishes = true, .size = sizeof(struct winograd), .fits = fits, \
        .plan = plan, .prepare = prepare, .run = run,                                   \
    }
const struct clfcn_conv_impl clfcn_conv_winograd4 = IMPL("winograd4");
const struct clfcn_conv_impl clfcn_conv_winograd2 = IMPL("winograd2");
