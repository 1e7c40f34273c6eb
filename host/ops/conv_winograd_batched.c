#include "conv.h"
#include "op_impl.h"

/* Winograd's F(2x2, 3x3) and F(4x4, 3x3) on GPUs (cl/winograd_points.cl says how): tiles
 * and weights to points, a batch of matrix products, one for each point, and back. The
 * tiles are taken in slices; the weight gradient sums over them. */
struct batched {
    struct clfcn_conv cv;
    int form;     /* outputs of a tile along a side: 2 or 4 */
    int points;   /* products for a tile */
    int from, to; /* channels that are summed over, and that are made */
    int tiles, slice;
    struct clfcn_kernel input, weights, gradient, output, filter;
};

/* The points: of the weights (or of their gradient), of the tiles of the channels that
 * are summed over, and of those of the others. As views of the workspace, not by offsets,
 * with which CLBlast's batched product is wrong (gemm_clblast.c). */
struct views {
    cl_mem u, v, m;
};

enum { P_FORM };
enum { TAPS = 9, GROUP = 64 };

#define DESC(kernel)                                                    \
    {                                                                   \
        .stem = "winograd_points", .entry = kernel, .cut = CLFCN_CUT_X, \
        .params = { [P_FORM] = { "FORM", 4, { 2, 4 } } },               \
    }
static const struct clfcn_kernel_desc input_desc = DESC("input_to_points"),
                                      weights_desc = DESC("weights_to_points"),
                                      gradient_desc = DESC("gradient_to_points"),
                                      output_desc = DESC("points_to_output"),
                                      filter_desc = DESC("points_to_weights");

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* From the algorithm, shape and pass. */
static void set_shape(struct batched *wb)
{
    const struct clfcn_conv_shape *s = &wb->cv.shape;
    const bool input = wb->cv.pass == CLFCN_PASS_INPUT;
    wb->form = wb->cv.impl == &clfcn_conv_winograd4_batched ? 4 : 2;
    wb->points = (wb->form + 2) * (wb->form + 2);
    wb->from = input ? s->out : s->in;
    wb->to = input ? s->in : s->out;
    wb->tiles = s->n * clfcn_parts_of(s->h, wb->form) * clfcn_parts_of(s->w, wb->form);
}

/* Bytes of the points of so many channels, for each of count tiles or other channels. */
static size_t points_bytes(const struct batched *wb, int channels, int count)
{
    return sizeof(float) * (size_t)wb->points * (size_t)channels * (size_t)count;
}

/* Bytes that do not depend on the slice: u, and what aligning v may cost. */
static size_t fixed_bytes(const struct batched *wb, const struct clfcn_dev *dev)
{
    return clfcn_buffer_align(dev, points_bytes(wb, wb->from, wb->to)) +
           clfcn_buffer_align(dev, 1);
}

/* Where the version for CPUs does, that one is better. */
static bool fits(const struct clfcn_conv_impl *impl, const struct clfcn_conv_shape *shape,
                 enum clfcn_pass pass, const struct clfcn_op_env *env)
{
    const struct clfcn_device_info *info = &env->dev->info;
    const bool vectors = clfcn_wants_vectors(info);
    struct batched wb = { .cv = { .impl = impl, .shape = *shape, .pass = pass } };
    if (shape->kernel != 3 || shape->transposed || (vectors && env->conv[pass] != impl)) {
        return false;
    }
    set_shape(&wb);
    return fixed_bytes(&wb, env->dev) + points_bytes(&wb, wb.from + wb.to, 1) <=
           info->max_alloc_bytes;
}

static bool fits4(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                  const struct clfcn_op_env *env)
{
    return fits(&clfcn_conv_winograd4_batched, shape, pass, env);
}

static bool fits2(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                  const struct clfcn_op_env *env)
{
    return fits(&clfcn_conv_winograd2_batched, shape, pass, env);
}

/* The product of each point over a slice of count tiles; add: onto the slices before. */
static struct clfcn_gemm_call product(const struct batched *wb, const struct views *at,
                                      int count, bool add)
{
    const size_t from = (size_t)wb->from, to = (size_t)wb->to, tiles = (size_t)count;
    const struct clfcn_mat u = { at->u, 0, wb->from };
    const struct clfcn_mat v = { at->v, 0, count }, m = { at->m, 0, count };
    if (wb->cv.pass == CLFCN_PASS_WEIGHT) {
        return (struct clfcn_gemm_call){
            .trans_b = true,
            .m = wb->to,
            .n = wb->from,
            .k = count,
            .a = m,
            .b = v,
            .c = u,
            .beta = add ? 1.0f : 0.0f,
            .batch = { wb->points, to * tiles, from * tiles, to * from },
        };
    }
    return (struct clfcn_gemm_call){
        .m = wb->to,
        .n = count,
        .k = wb->from,
        .a = u,
        .b = v,
        .c = m,
        .batch = { wb->points, to * from, from * tiles, to * tiles },
    };
}

/* Slices of nearly equal size. The last may be smaller, which some providers pack into
 * more scratch memory: so it is asked for too. */
static int plan(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                struct clfcn_err *err)
{
    struct batched *wb = (struct batched *)cv;
    const struct views none = { 0 };
    set_shape(wb);
    const size_t fixed = fixed_bytes(wb, env->dev);
    const size_t most =
        smaller(env->workspace_limit, (size_t)env->dev->info.max_alloc_bytes);
    const size_t room = smaller(env->columns_limit, most > fixed ? most - fixed : 0);
    const size_t fit = room / points_bytes(wb, wb->from + wb->to, 1);
    const int slices =
        fit < 1 ? wb->tiles
                : clfcn_parts_of(wb->tiles, (int)smaller(fit, (size_t)wb->tiles));
    wb->slice = clfcn_parts_of(wb->tiles, slices);
    cv->columns_bytes = fixed + points_bytes(wb, wb->from + wb->to, wb->slice);
    const int tail = wb->tiles % wb->slice ? wb->tiles % wb->slice : wb->slice;
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < 2; ++i) {
        const struct clfcn_gemm_call call =
            product(wb, &none, i ? tail : wb->slice, false);
        rc = clfcn_conv_want_scratch(cv, &call, err);
    }
    return rc;
}

static int prepare(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    struct batched *wb = (struct batched *)cv;
    const bool weight = cv->pass == CLFCN_PASS_WEIGHT;
    const struct {
        struct clfcn_kernel *kernel;
        const struct clfcn_kernel_desc *desc;
    } wanted[] = {
        { &wb->input, &input_desc },
        { weight ? &wb->gradient : &wb->weights,
          weight ? &gradient_desc : &weights_desc },
        { weight ? &wb->filter : &wb->output, weight ? &filter_desc : &output_desc },
    };
    const int values[CLFCN_MAX_PARAMS] = { [P_FORM] = wb->form };
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < CLFCN_ARRAY_LEN(wanted); ++i) {
        rc = clfcn_kernel_want(env->programs, wanted[i].kernel, wanted[i].desc, values,
                               err);
    }
    return rc;
}

static int launch(const struct clfcn_op_run *run, const struct clfcn_kernel *kernel,
                  int items, int channels, const struct clfcn_arg *args, int count,
                  struct clfcn_err *err)
{
    const size_t global[] = { (size_t)items, (size_t)channels };
    const size_t local[] = { run->dev->info.max_work_group < GROUP ? 1 : GROUP, 1 };
    return clfcn_launch(run->dev, kernel, 2, global, local, args, count, err);
}

/* The input gradient is a convolution of dy with the weights turned round, and their
 * channels exchanged. */
static int run_weights(const struct batched *wb, const struct clfcn_op_run *run,
                       cl_mem weight, cl_mem u, struct clfcn_err *err)
{
    const cl_int flip = wb->cv.pass == CLFCN_PASS_INPUT;
    const cl_int inner = TAPS, outer = TAPS * wb->cv.shape.in;
    const struct clfcn_arg args[] = {
        CLFCN_ARG(weight),
        CLFCN_ARG(u),
        CLFCN_ARG(wb->from),
        { sizeof(cl_int), flip ? &outer : &inner, true },
        { sizeof(cl_int), flip ? &inner : &outer, true },
        CLFCN_ARG(flip),
    };
    return launch(run, &wb->weights, wb->from, wb->to, args, CLFCN_ARRAY_LEN(args), err);
}

static int run_filter(const struct batched *wb, const struct clfcn_op_run *run, cl_mem u,
                      cl_mem weight, struct clfcn_err *err)
{
    const struct clfcn_arg args[] = { CLFCN_ARG(u), CLFCN_ARG(weight),
                                      CLFCN_ARG(wb->from) };
    return launch(run, &wb->filter, wb->from, wb->to, args, CLFCN_ARRAY_LEN(args), err);
}

/* Tiles first .. first+count-1 of a tensor of so many channels to points. */
static int run_tiles(const struct batched *wb, const struct clfcn_op_run *run,
                     const struct clfcn_kernel *kernel, cl_mem tensor, int channels,
                     cl_mem points, int first, int count, struct clfcn_err *err)
{
    const struct clfcn_conv_shape *s = &wb->cv.shape;
    const struct clfcn_arg args[] = {
        CLFCN_ARG(tensor), CLFCN_ARG(points), CLFCN_ARG(s->n),  CLFCN_ARG(s->h),
        CLFCN_ARG(s->w),   CLFCN_ARG(first),  CLFCN_ARG(count),
    };
    return launch(run, kernel, count, channels, args, CLFCN_ARRAY_LEN(args), err);
}

static int run_output(const struct batched *wb, const struct clfcn_op_run *run,
                      const struct clfcn_conv_call *call, cl_mem m, int first, int count,
                      struct clfcn_err *err)
{
    const struct clfcn_conv_shape *s = &wb->cv.shape;
    const cl_mem y = wb->cv.pass == CLFCN_PASS_INPUT ? call->x : call->y;
    const cl_mem bias = call->bias ? call->bias : call->weight; /* some buffer */
    const cl_int with_bias = call->bias != NULL, relu = call->relu, add = call->add;
    const struct clfcn_arg args[] = {
        CLFCN_ARG(m),         CLFCN_ARG(bias), CLFCN_ARG(y),     CLFCN_ARG(s->n),
        CLFCN_ARG(s->h),      CLFCN_ARG(s->w), CLFCN_ARG(first), CLFCN_ARG(count),
        CLFCN_ARG(with_bias), CLFCN_ARG(relu), CLFCN_ARG(add),
    };
    return launch(run, &wb->output, count, wb->to, args, CLFCN_ARRAY_LEN(args), err);
}

static int run_slice(const struct batched *wb, const struct clfcn_op_run *run,
                     const struct clfcn_conv_call *call, const struct views *at,
                     int first, int count, struct clfcn_err *err)
{
    const bool weight = wb->cv.pass == CLFCN_PASS_WEIGHT;
    const cl_mem source = wb->cv.pass == CLFCN_PASS_INPUT ? call->y : call->x;
    const struct clfcn_gemm_call gemm = product(wb, at, count, first > 0);
    int rc = run_tiles(wb, run, &wb->input, source, wb->from, at->v, first, count, err);
    if (rc == CLFCN_OK && weight) {
        rc = run_tiles(wb, run, &wb->gradient, call->y, wb->to, at->m, first, count, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_gemm_run(wb->cv.gemm, &gemm, run->scratch, err);
    }
    return rc < 0 || weight ? rc : run_output(wb, run, call, at->m, first, count, err);
}

static void close_views(struct clfcn_dev *dev, struct views *at)
{
    clfcn_buffer_release(dev, &at->m);
    clfcn_buffer_release(dev, &at->v);
    clfcn_buffer_release(dev, &at->u);
}

static int open_views(const struct batched *wb, const struct clfcn_op_run *run,
                      struct views *at, struct clfcn_err *err)
{
    struct clfcn_dev *dev = run->dev;
    const size_t bytes[] = { points_bytes(wb, wb->from, wb->to),
                             points_bytes(wb, wb->from, wb->slice),
                             points_bytes(wb, wb->to, wb->slice) };
    cl_mem *const views[] = { &at->u, &at->v, &at->m };
    size_t origin = 0;
    int rc = CLFCN_OK;
    *at = (struct views){ 0 };
    for (int i = 0; rc == CLFCN_OK && i < CLFCN_ARRAY_LEN(views); ++i) {
        rc = clfcn_buffer_view(dev, run->columns, origin, bytes[i], views[i], err);
        origin += clfcn_buffer_align(dev, bytes[i]);
    }
    if (rc < 0) {
        close_views(dev, at);
    }
    return rc;
}

static int run(struct clfcn_conv *cv, const struct clfcn_op_run *run,
               const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    const struct batched *wb = (const struct batched *)cv;
    const bool weight = cv->pass == CLFCN_PASS_WEIGHT;
    struct views at;
    int rc = open_views(wb, run, &at, err);
    if (rc < 0) {
        return rc;
    }
    if (!weight) {
        rc = run_weights(wb, run, call->weight, at.u, err);
    }
    for (int first = 0; rc == CLFCN_OK && first < wb->tiles; first += wb->slice) {
        const int left = wb->tiles - first;
        rc = run_slice(wb, run, call, &at, first, left < wb->slice ? left : wb->slice,
                       err);
    }
    if (rc == CLFCN_OK && weight) {
        rc = run_filter(wb, run, at.u, call->weight, err);
    }
    close_views(run->dev, &at);
    return rc;
}

static double flop(const struct clfcn_conv *cv)
{
    const struct batched *wb = (const struct batched *)cv;
    return 2.0 * wb->points * wb->tiles * wb->from * wb->to;
}

#define IMPL(title, fits_it)                                                    \
    {                                                                           \
        .name = title, .finishes = true, .on_request = true, .uses_gemm = true, \
        .size = sizeof(struct batched), .fits = fits_it, .plan = plan,          \
        .prepare = prepare, .run = run, .flop = flop,                           \
    }
const struct clfcn_conv_impl clfcn_conv_winograd4_batched =
    IMPL("winograd4-batched", fits4);
const struct clfcn_conv_impl clfcn_conv_winograd2_batched =
    IMPL("winograd2-batched", fits2);
