#include "conv.h"
#include "../device/buffer.h"
#include "op_impl.h"

/* Winograd's F(2x2, 3x3) and F(4x4, 3x3) on CPUs (cl/winograd.cl says how): weights to
 * points; then tiles to points, products and tiles again in one kernel whose work-groups
 * each stay in one core's cache. The weight gradient gathers sums for each point, which a
 * last kernel turns into taps.
 *
 * Where all tiles make one block, transformed weights and sums would be written, and read
 * again only once: if they are large, they had better be made where they are read, and
 * stay in the cache too ("at once"). */
struct winograd {
    struct clfcn_conv cv;
    int form, vw;
    int from, to; /* channels that are summed over, and that are made */
    int block;    /* tiles at a time */
    int chunk;    /* channels made at a time, a multiple of vw */
    int parts;    /* of the tiles, summed apart; weight gradient */
    cl_int at_once;
    int groups;
    cl_int stride_from, stride_to; /* floats between weights of neighbouring channels */
    cl_ulong stride_v, stride_m, group_floats;
    struct clfcn_kernel weights, conv, correlate, filter;
    struct clfcn_dev *dev;
    cl_mem queue; /* of cl/jobs.clh, empty between launches */
};

/* FORM of cl/winograd.clh, with what it fixes. */
struct form {
    int step, points;
};

static struct form form_of(int form)
{
    switch (form) {
    case 2:
        return (struct form){ 2, 16 };
    case 4:
        return (struct form){ 4, 36 };
    case 12:
        return (struct form){ 2, 25 };
    default:
        return (struct form){ 4, 25 };
    }
}

enum { P_FORM, P_VW };
enum {
    KB = 16,        /* of cl/winograd.cl, */
    OWN_SPAN = 256, /* likewise */
    TAPS = 9,
    BLOCK = 24, /* tiles at a time: enough for the weights to be read seldom */
    CHUNK = 64,
    SUMS_MAX = 8 << 20, /* bytes of sums that each group may have a copy of */
    FAR = 12 << 20,  /* bytes of weights or sums that the last cache has no room for: */
    FAR_BLOCK = 96,  /* so many tiles are worth fetching them for, */
    ONE_BLOCK = 128, /* and so few had better be one block */
    AT_ONCE = -1,
};

#define DESC(kernel)                                            \
    {                                                           \
        .stem = "winograd", .entry = kernel,                    \
        .params = { [P_FORM] = { "FORM", 4, { 2, 4, 12, 21 } }, \
                    [P_VW] = { "VW", 16, { 4, 8, 16 } } },      \
    }
static const struct clfcn_kernel_desc weights_desc = DESC("winograd_weights"),
                                      conv_desc = DESC("winograd_conv"),
                                      correlate_desc = DESC("winograd_correlate"),
                                      filter_desc = DESC("winograd_filter");

static bool fits(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                 const struct clfcn_op_env *env)
{
    const struct clfcn_device_info *info = &env->dev->info;
    return shape->kernel == 3 && clfcn_wants_vectors(info) &&
           env->gemm_kind != CLFCN_GEMM_CLBLAST;
}

static bool fits4(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                  const struct clfcn_op_env *env)
{
    return !shape->transposed && fits(shape, pass, env);
}

/* The images that are cut into tiles, and which channels are summed over. */
static void set_shape(struct winograd *wg, int *tiles)
{
    const struct clfcn_conv_shape *s = &wg->cv.shape;
    const bool input = wg->cv.pass == CLFCN_PASS_INPUT;
    const int scale = s->transposed && input ? 2 : 1;
    if (s->transposed) {
        wg->form = input ? 21 : 12;
    } else {
        wg->form = wg->cv.impl == &clfcn_conv_winograd4 ? 4 : 2;
    }
    const int step = form_of(wg->form).step;
    *tiles =
        s->n * clfcn_parts_of(scale * s->h, step) * clfcn_parts_of(scale * s->w, step);
    wg->from = input ? s->out : s->in;
    wg->to = input ? s->in : s->out;
    const cl_int inner = TAPS, outer = TAPS * (s->transposed ? s->out : s->in);
    wg->stride_from = s->transposed == input ? inner : outer;
    wg->stride_to = s->transposed == input ? outer : inner;
}

/* Floats of the transformed weights of from channels to so many, or of their sums. */
static cl_ulong points_floats(const struct winograd *wg, int from, int to)
{
    const cl_ulong point = (cl_ulong)clfcn_round_up(from, 4) * (cl_ulong)to;
    return (cl_ulong)form_of(wg->form).points * (point + (cl_ulong)wg->vw);
}

/* Tiles in blocks of nearly equal size; work-groups enough for every core, each with its
 * part of the scratch memory. Rows and points lie a vector further apart than they are
 * long, as cl/winograd.cl has it. */
static int plan(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                struct clfcn_err *err)
{
    struct winograd *wg = (struct winograd *)cv;
    const int cores = (int)env->dev->info.compute_units;
    const bool weight = cv->pass == CLFCN_PASS_WEIGHT;
    int tiles;
    set_shape(wg, &tiles);
    const cl_ulong points = (cl_ulong)form_of(wg->form).points;
    wg->vw = clfcn_defaults_for(&env->dev->info).vector_width;
    const int lanes = clfcn_round_up(wg->to, wg->vw);
    const int each = clfcn_round_up(clfcn_parts_of(lanes, cores), wg->vw);
    const cl_ulong sums = points_floats(wg, wg->from, lanes);
    const bool far = sums * sizeof(float) > FAR;
    const int wanted = cv->variant ? cv->variant->value : 0;
    const int most = wanted > 0 ? wanted : far ? FAR_BLOCK : BLOCK;
    wg->at_once = tiles <= ONE_BLOCK && (cv->variant ? wanted == AT_ONCE : far);
    wg->block = clfcn_round_up(
        clfcn_parts_of(tiles, wg->at_once ? 1 : clfcn_parts_of(tiles, most)), 4);
    const int blocks = clfcn_parts_of(tiles, wg->block);
    wg->chunk = clfcn_smaller(lanes, CHUNK);
    wg->parts = 1;
    if (wg->at_once) {
        wg->chunk = wg->vw; /* its weights or sums should fit the second cache */
    } else if (weight && sums * sizeof(float) <= SUMS_MAX) {
        wg->parts = clfcn_smaller(blocks, cores);
        wg->chunk = lanes;
    } else if (weight) {
        wg->chunk = each;
    }
    const int jobs = (weight ? wg->parts : blocks) * clfcn_parts_of(lanes, wg->chunk);
    wg->groups = clfcn_smaller(jobs, cores);
    wg->stride_v =
        (cl_ulong)wg->block * (cl_ulong)(clfcn_round_up(wg->from, wg->vw) + wg->vw) +
        (cl_ulong)wg->vw;
    wg->stride_m = (cl_ulong)wg->block * (cl_ulong)wg->chunk + (cl_ulong)wg->vw;
    wg->group_floats =
        points * (wg->stride_v + wg->stride_m) +
        (wg->at_once ? points_floats(wg, clfcn_smaller(wg->from, OWN_SPAN), wg->chunk)
                     : 0);
    const size_t bytes = wg->at_once ? 0 : sizeof(float) * sums * (size_t)wg->parts;
    *(env->training ? &cv->columns_bytes : &cv->kept_bytes) = bytes;
    cv->scratch_bytes = sizeof(float) * (cl_ulong)wg->groups * wg->group_floats;
    return CLFCN_OK;
}

static int want(struct winograd *wg, struct clfcn_kernel *kernel,
                const struct clfcn_kernel_desc *desc, const struct clfcn_op_env *env,
                struct clfcn_err *err)
{
    const int values[CLFCN_MAX_PARAMS] = { [P_FORM] = wg->form, [P_VW] = wg->vw };
    return clfcn_kernel_want(env->programs, kernel, desc, values, err);
}

static int prepare(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    struct winograd *wg = (struct winograd *)cv;
    const bool weight = cv->pass == CLFCN_PASS_WEIGHT;
    static const cl_int empty[2];
    wg->dev = env->dev;
    int rc = clfcn_buffer_create_from(wg->dev, empty, sizeof(empty), "a queue of jobs",
                                      &wg->queue, err);
    if (rc == CLFCN_OK) {
        rc = want(wg, weight ? &wg->correlate : &wg->conv,
                  weight ? &correlate_desc : &conv_desc, env, err);
    }
    if (rc < 0 || wg->at_once) {
        return rc;
    }
    return want(wg, weight ? &wg->filter : &wg->weights,
                weight ? &filter_desc : &weights_desc, env, err);
}

static int launch(const struct winograd *wg, const struct clfcn_op_run *run,
                  const struct clfcn_kernel *kernel, bool by_channels,
                  const struct clfcn_arg *args, int count, struct clfcn_err *err)
{
    const size_t channels[] = { (size_t)clfcn_parts_of(wg->from, KB),
                                (size_t)clfcn_parts_of(wg->to, wg->vw) };
    const size_t groups[] = { (size_t)wg->groups, 1 };
    const size_t local[] = { 1, 1 };
    return clfcn_launch(run->dev, kernel, by_channels ? 2 : 1,
                        by_channels ? channels : groups, local, args, count, err);
}

/* The input gradient is a convolution with the weights turned round, and their channels
 * exchanged; of the transposed one, with their channels exchanged. */
static cl_int flips(const struct winograd *wg)
{
    return wg->cv.pass == CLFCN_PASS_INPUT && !wg->cv.shape.transposed;
}

static int run_weights(const struct winograd *wg, const struct clfcn_op_run *run,
                       cl_mem weight, cl_mem u, struct clfcn_err *err)
{
    const cl_int flip = flips(wg);
    const struct clfcn_arg args[] = {
        CLFCN_ARG(weight),
        CLFCN_ARG(u),
        CLFCN_ARG(wg->from),
        CLFCN_ARG(wg->to),
        CLFCN_ARG(wg->stride_from),
        CLFCN_ARG(wg->stride_to),
        CLFCN_ARG(flip),
    };
    return launch(wg, run, &wg->weights, true, args, CLFCN_ARRAY_LEN(args), err);
}

static int derive(struct clfcn_conv *cv, const struct clfcn_op_run *run, cl_mem weight,
                  cl_mem kept, struct clfcn_err *err)
{
    return run_weights((const struct winograd *)cv, run, weight, kept, err);
}

static int run_conv(const struct winograd *wg, const struct clfcn_op_run *run,
                    const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    const struct clfcn_conv_shape *s = &wg->cv.shape;
    const bool input = wg->cv.pass == CLFCN_PASS_INPUT;
    const cl_int flip = flips(wg), scale = input && s->transposed ? 2 : 1;
    const cl_int h = scale * s->h, w = scale * s->w;
    const cl_mem src = input ? call->y : call->x, dst = input ? call->x : call->y;
    const cl_mem any = call->weight; /* where there must be some buffer */
    const cl_mem bias = call->bias ? call->bias : any;
    const struct clfcn_conv_norm none = { .state = any, .gamma = any, .beta = any };
    const struct clfcn_conv_norm *norm = call->norm ? call->norm : &none;
    const cl_mem other = norm->skip ? norm->skip : dst;
    const cl_mem u = call->kept ? call->kept : wg->at_once ? call->weight : run->columns;
    const cl_int with_bias = call->bias != NULL, relu = call->relu;
    const cl_int add = call->add || norm->skip, with_norm = call->norm != NULL;
    const cl_int pool = call->pool;
    const struct clfcn_arg conv[] = {
        CLFCN_ARG(src),
        CLFCN_ARG(call->weight),
        CLFCN_ARG(u),
        CLFCN_ARG(bias),
        CLFCN_ARG(dst),
        CLFCN_ARG(other),
        CLFCN_ARG(norm->state),
        CLFCN_ARG(norm->gamma),
        CLFCN_ARG(norm->beta),
        CLFCN_ARG(run->scratch),
        CLFCN_ARG(wg->group_floats),
        CLFCN_ARG(wg->stride_v),
        CLFCN_ARG(wg->stride_m),
        CLFCN_ARG(wg->from),
        CLFCN_ARG(wg->to),
        CLFCN_ARG(s->n),
        CLFCN_ARG(h),
        CLFCN_ARG(w),
        CLFCN_ARG(wg->block),
        CLFCN_ARG(wg->chunk),
        CLFCN_ARG(wg->stride_from),
        CLFCN_ARG(wg->stride_to),
        CLFCN_ARG(flip),
        CLFCN_ARG(wg->at_once),
        CLFCN_ARG(with_bias),
        CLFCN_ARG(relu),
        CLFCN_ARG(add),
        CLFCN_ARG(with_norm),
        CLFCN_ARG(pool),
        CLFCN_ARG(wg->queue),
    };
    const int rc =
        wg->at_once || call->kept ? CLFCN_OK : run_weights(wg, run, call->weight, u, err);
    return rc < 0 ? rc
                  : launch(wg, run, &wg->conv, false, conv, CLFCN_ARRAY_LEN(conv), err);
}

static int run_weight(const struct winograd *wg, const struct clfcn_op_run *run,
                      const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    const struct clfcn_conv_shape *s = &wg->cv.shape;
    const cl_mem sums = wg->at_once ? call->weight : run->columns;
    const struct clfcn_arg correlate[] = {
        CLFCN_ARG(call->x),
        CLFCN_ARG(call->y),
        CLFCN_ARG(sums),
        CLFCN_ARG(call->weight),
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
        CLFCN_ARG(wg->stride_from),
        CLFCN_ARG(wg->stride_to),
        CLFCN_ARG(wg->at_once),
        CLFCN_ARG(wg->queue),
    };
    const struct clfcn_arg filter[] = {
        CLFCN_ARG(sums),          CLFCN_ARG(call->weight), CLFCN_ARG(wg->from),
        CLFCN_ARG(wg->to),        CLFCN_ARG(wg->parts),    CLFCN_ARG(wg->stride_from),
        CLFCN_ARG(wg->stride_to),
    };
    const int rc = launch(wg, run, &wg->correlate, false, correlate,
                          CLFCN_ARRAY_LEN(correlate), err);
    return rc < 0 || wg->at_once
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

static void finish(struct clfcn_conv *cv)
{
    struct winograd *wg = (struct winograd *)cv;
    clfcn_buffer_release(wg->dev, &wg->queue);
}

static double flop(const struct clfcn_conv *cv)
{
    struct winograd wg = *(const struct winograd *)cv;
    int tiles;
    set_shape(&wg, &tiles);
    return 2.0 * form_of(wg.form).points * tiles * wg.from * wg.to;
}

/* Caches differ: tiles at a time. */
static const struct clfcn_conv_variant variants[] = { { "tiles=12", 12 },
                                                      { "tiles=48", 48 },
                                                      { "tiles=96", 96 },
                                                      { "at-once", AT_ONCE },
                                                      { 0 } };

#define IMPL(title, fits_it)                                                    \
    {                                                                           \
        .name = title, .variants = variants, .finishes = true, .absorbs = true, \
        .size = sizeof(struct winograd), .fits = fits_it, .plan = plan,         \
        .prepare = prepare, .run = run, .derive = derive, .finish = finish,     \
        .flop = flop,                                                           \
    }
const struct clfcn_conv_impl clfcn_conv_winograd4 = IMPL("winograd4", fits4);
const struct clfcn_conv_impl clfcn_conv_winograd2 = IMPL("winograd2", fits);
