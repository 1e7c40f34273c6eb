#include "conv.h"
#include "gemm_impl.h"
#include "op_impl.h"

/* Convolution as a matrix product whose columns are never stored (cl/implicit.cl): on
 * CPUs with vectors, a product by packed panels takes them from the image while it packs.
 *
 *   y  = W X               [out][P] = [out][in*k*k] [in*k*k][P]
 *   dx = rotate(W) dYcols  the same convolution, of dy with the weights turned round
 *   dW = dY X^T            parts of the pixels summed apart, where dW is too small for
 *                          every core to have columns of it */
struct implicit {
    struct clfcn_conv cv;
    int vw;
    int from, to; /* channels that are read, and that are made */
    size_t groups;
    cl_int block;    /* columns of the product at a time: pixels, or weights in dW */
    cl_int span;     /* channels at a time */
    cl_int slice;    /* pixels at a time; dW */
    cl_int parts;    /* of the pixels; dW */
    cl_ulong panels; /* floats: the packed weights come before the columns' panels */
    struct clfcn_kernel rotate, pack, conv, filter, sum;
};

enum {
    PART = 640,          /* values that are summed over at a time at most, */
    BLOCK = 256,         /* and columns: together they fit the second cache */
    SUMS_MAX = 8 << 20,  /* bytes of dW that each part may have a copy of */
    LARGEST_KERNEL = 31, /* beyond, a block of one channel's columns is no cache's */
};

enum { P_K, P_VW };

#define DESC(kernel)                                                                  \
    {                                                                                 \
        .stem = "implicit", .entry = kernel,                                          \
        .params = { [P_K] = { "K", 3, { 0 } }, [P_VW] = { "VW", 16, { 4, 8, 16 } } }, \
    }
static const struct clfcn_kernel_desc conv_desc = DESC("implicit_conv"),
                                      filter_desc = DESC("implicit_filter"),
                                      sum_desc = DESC("implicit_sum");

static int taps(const struct implicit *im)
{
    return im->cv.shape.kernel * im->cv.shape.kernel;
}

static int pixels(const struct implicit *im)
{
    return im->cv.shape.n * im->cv.shape.h * im->cv.shape.w;
}

static bool fits(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                 const struct clfcn_op_env *env)
{
    const struct clfcn_device_info *info = &env->dev->info;
    return !shape->transposed && shape->kernel <= LARGEST_KERNEL &&
           clfcn_wants_vectors(info) && env->gemm_kind != CLFCN_GEMM_CLBLAST;
}

static cl_ulong weight_bytes(const struct implicit *im)
{
    return sizeof(float) * (cl_ulong)im->from * (cl_ulong)im->to * (cl_ulong)taps(im);
}

/* Columns in blocks of nearly equal size, some for every core. */
static void plan_conv(struct implicit *im, int cores)
{
    struct clfcn_conv *cv = &im->cv;
    const int row = pixels(im), depth = im->from * taps(im);
    const int blocks = clfcn_round_up(clfcn_parts_of(row, BLOCK), cores);
    const int most = taps(im) < PART ? PART / taps(im) : 1;
    im->block = clfcn_round_up(clfcn_parts_of(row, blocks), im->vw);
    im->span = clfcn_parts_of(im->from, clfcn_parts_of(im->from, most));
    im->groups = (size_t)clfcn_smaller(cores, clfcn_parts_of(row, im->block));
    const cl_ulong vw = (cl_ulong)im->vw;
    im->panels = (clfcn_panel_pack_floats(im->to, depth) + vw - 1) / vw * vw;
    cv->scratch_bytes =
        sizeof(float) *
        (im->panels + im->groups * (cl_ulong)im->block * (cl_ulong)(im->span * taps(im)));
    if (cv->pass == CLFCN_PASS_INPUT && cv->shape.kernel > 1) {
        cv->columns_bytes = weight_bytes(im);
    }
}

/* The same of dW's columns; where they are too few, the pixels are shared out instead. */
static void plan_filter(struct implicit *im, int cores, size_t workspace_limit)
{
    struct clfcn_conv *cv = &im->cv;
    const int row = pixels(im), columns = im->from * taps(im);
    const int least = clfcn_parts_of(columns, BLOCK);
    const cl_ulong sums = weight_bytes(im);
    im->slice = clfcn_round_up(
        clfcn_parts_of(row, clfcn_round_up(clfcn_parts_of(row, PART), cores)), im->vw);
    const int slices = clfcn_parts_of(row, im->slice);
    const bool share =
        least < cores && sums <= SUMS_MAX && sums * (cl_ulong)cores <= workspace_limit;
    im->parts = share ? clfcn_smaller(slices, cores) : 1;
    im->block = clfcn_round_up(
        clfcn_parts_of(columns, share ? least : clfcn_round_up(least, cores)), im->vw);
    im->groups =
        (size_t)clfcn_smaller(cores, clfcn_parts_of(columns, im->block) * im->parts);
    cv->scratch_bytes = sizeof(float) * im->groups * (cl_ulong)im->slice *
                        (cl_ulong)(im->block + CLFCN_PANEL_ROWS);
    if (im->parts > 1) {
        cv->columns_bytes = sums * (cl_ulong)im->parts;
    }
}

static int plan(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                struct clfcn_err *err)
{
    struct implicit *im = (struct implicit *)cv;
    const bool input = cv->pass == CLFCN_PASS_INPUT;
    const int cores = (int)env->dev->info.compute_units;
    im->vw = clfcn_defaults_for(&env->dev->info).vector_width;
    im->from = input ? cv->shape.out : cv->shape.in;
    im->to = input ? cv->shape.in : cv->shape.out;
    if (cv->pass == CLFCN_PASS_WEIGHT) {
        plan_filter(im, cores, env->workspace_limit);
    } else {
        plan_conv(im, cores);
    }
    return CLFCN_OK;
}

static int want(struct implicit *im, struct clfcn_kernel *kernel,
                const struct clfcn_kernel_desc *desc, const struct clfcn_op_env *env,
                struct clfcn_err *err)
{
    const int values[CLFCN_MAX_PARAMS] = { [P_K] = im->cv.shape.kernel, [P_VW] = im->vw };
    return clfcn_kernel_want(env->programs, kernel, desc, values, err);
}

static int prepare(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    struct implicit *im = (struct implicit *)cv;
    int rc;
    if (cv->pass == CLFCN_PASS_WEIGHT) {
        rc = want(im, &im->filter, &filter_desc, env, err);
        return rc < 0 || im->parts == 1 ? rc : want(im, &im->sum, &sum_desc, env, err);
    }
    rc = clfcn_panel_pack_want(env->programs, &im->pack, im->vw, err);
    if (rc == CLFCN_OK && cv->pass == CLFCN_PASS_INPUT && cv->shape.kernel > 1) {
        rc = clfcn_rotate_prepare(&im->rotate, cv->shape.kernel, env, err);
    }
    return rc < 0 ? rc : want(im, &im->conv, &conv_desc, env, err);
}

/* The weights as left operand, in the panels of the scratch memory. A 1x1 kernel has no
 * taps to turn round: reading it by columns is enough. */
static int pack_weights(const struct implicit *im, const struct clfcn_op_run *run,
                        cl_mem weight, struct clfcn_err *err)
{
    const struct clfcn_conv_shape *s = &im->cv.shape;
    const bool input = im->cv.pass == CLFCN_PASS_INPUT, rotated = input && s->kernel > 1;
    const int depth = im->from * taps(im);
    const struct clfcn_gemm_call left = {
        .trans_a = input && !rotated,
        .m = im->to,
        .k = depth,
        .a = { rotated ? run->columns : weight, 0, input && !rotated ? s->in : depth },
    };
    const int rc = rotated ? clfcn_rotate_run(&im->rotate, run->dev, weight, s->out,
                                              s->in, run->columns, err)
                           : CLFCN_OK;
    return rc < 0 ? rc : clfcn_panel_pack(run->dev, &im->pack, &left, run->scratch, err);
}

static int run_conv(const struct implicit *im, const struct clfcn_op_run *run,
                    const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    const struct clfcn_conv_shape *s = &im->cv.shape;
    const bool input = im->cv.pass == CLFCN_PASS_INPUT;
    const cl_mem src = input ? call->y : call->x, dst = input ? call->x : call->y;
    const cl_mem bias = call->bias ? call->bias : call->weight; /* some buffer */
    const cl_int with_bias = call->bias != NULL, relu = call->relu, add = call->add;
    const size_t local[] = { 1 };
    const struct clfcn_arg args[] = {
        CLFCN_ARG(src),          CLFCN_ARG(bias),       CLFCN_ARG(dst),
        CLFCN_ARG(run->scratch), CLFCN_ARG(im->panels), CLFCN_ARG(im->from),
        CLFCN_ARG(im->to),       CLFCN_ARG(s->n),       CLFCN_ARG(s->h),
        CLFCN_ARG(s->w),         CLFCN_ARG(im->block),  CLFCN_ARG(im->span),
        CLFCN_ARG(with_bias),    CLFCN_ARG(relu),       CLFCN_ARG(add),
    };
    const int rc = pack_weights(im, run, call->weight, err);
    return rc < 0 ? rc
                  : clfcn_launch(run->dev, &im->conv, 1, &im->groups, local, args,
                                 CLFCN_ARRAY_LEN(args), err);
}

static int run_filter(const struct implicit *im, const struct clfcn_op_run *run,
                      const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    const struct clfcn_conv_shape *s = &im->cv.shape;
    const cl_mem sums = im->parts > 1 ? run->columns : call->weight;
    const cl_int count = (cl_int)(weight_bytes(im) / sizeof(float));
    const size_t local[] = { 1 }, items[] = { (size_t)clfcn_parts_of(count, im->vw) };
    const struct clfcn_arg filter[] = {
        CLFCN_ARG(call->x),      CLFCN_ARG(call->y),   CLFCN_ARG(sums),
        CLFCN_ARG(run->scratch), CLFCN_ARG(im->from),  CLFCN_ARG(im->to),
        CLFCN_ARG(s->n),         CLFCN_ARG(s->h),      CLFCN_ARG(s->w),
        CLFCN_ARG(im->block),    CLFCN_ARG(im->slice), CLFCN_ARG(im->parts),
    };
    const struct clfcn_arg sum[] = { CLFCN_ARG(sums), CLFCN_ARG(call->weight),
                                     CLFCN_ARG(im->parts), CLFCN_ARG(count) };
    const int rc = clfcn_launch(run->dev, &im->filter, 1, &im->groups, local, filter,
                                CLFCN_ARRAY_LEN(filter), err);
    return rc < 0 || im->parts == 1 ? rc
                                    : clfcn_launch(run->dev, &im->sum, 1, items, NULL,
                                                   sum, CLFCN_ARRAY_LEN(sum), err);
}

static int run(struct clfcn_conv *cv, const struct clfcn_op_run *run,
               const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    const struct implicit *im = (const struct implicit *)cv;
    return cv->pass == CLFCN_PASS_WEIGHT ? run_filter(im, run, call, err)
                                         : run_conv(im, run, call, err);
}

const struct clfcn_conv_impl clfcn_conv_implicit = {
    .name = "implicit",
    .finishes = true,
    .thrifty = true,
    .on_request = true, /* not worth the compiler's time for every first step */
    .size = sizeof(struct implicit),
    .fits = fits,
    .plan = plan,
    .prepare = prepare,
    .run = run,
};
