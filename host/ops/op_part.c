#include "op_impl.h"

struct part {
    struct clfcn_op op;
    int images; /* of y */
    int vector_width;
    struct clfcn_kernel copy;
};

enum { P_VW };

static const struct clfcn_kernel_desc copy_desc = {
    .stem = "part",
    .entry = "copy_part",
    .cut = CLFCN_CUT_X | CLFCN_CUT_Y,
    .params = { [P_VW] = { "VW", 4, { 4, 8, 16 } } },
};

static int infer(struct clfcn_op *op, const struct clfcn_op_env *env,
                 struct clfcn_err *err)
{
    const int images = ((const struct part *)op)->images;
    const int whole = images > op->x->n ? images : op->x->n;
    if (images < 1 || whole % clfcn_smaller(images, op->x->n) != 0) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "%d images cannot be cut into parts of %d", whole,
                             clfcn_smaller(images, op->x->n));
    }
    *op->y = *op->x;
    op->y->n = images;
    op->y->mem = NULL;
    return clfcn_op_check_row(op->y, err);
}

static int prepare(struct clfcn_op *op, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    struct part *part = (struct part *)op;
    part->vector_width = clfcn_defaults_for(&env->dev->info).vector_width;
    const int values[CLFCN_MAX_PARAMS] = { [P_VW] = part->vector_width };
    return clfcn_kernel_want(env->programs, &part->copy, &copy_desc, values, err);
}

/* Copy the part under way between one tensor and another, of which one is the whole: in
 * each channel its images lie in a row. */
static int copy(const struct clfcn_op *op, const struct clfcn_op_run *run,
                const struct clfcn_tensor *from, const struct clfcn_tensor *to,
                struct clfcn_err *err)
{
    const struct part *part = (const struct part *)op;
    const cl_uint from_row = (cl_uint)clfcn_tensor_row(from),
                  to_row = (cl_uint)clfcn_tensor_row(to),
                  count = from_row < to_row ? from_row : to_row;
    const cl_uint at = (cl_uint)run->part * count, from_at = from_row > count ? at : 0,
                  to_at = to_row > count ? at : 0;
    const struct clfcn_arg args[] = {
        CLFCN_ARG(from->mem), CLFCN_ARG(to->mem), CLFCN_ARG(count), CLFCN_ARG(from_row),
        CLFCN_ARG(from_at),   CLFCN_ARG(to_row),  CLFCN_ARG(to_at),
    };
    return clfcn_launch_rows(run->dev, &part->copy, part->vector_width, count, from->c,
                             args, CLFCN_ARRAY_LEN(args), err);
}

static int forward(struct clfcn_op *op, const struct clfcn_op_run *run,
                   struct clfcn_err *err)
{
    return copy(op, run, op->x, op->y, err);
}

static int backward(struct clfcn_op *op, const struct clfcn_op_run *run,
                    struct clfcn_err *err)
{
    return copy(op, run, op->dy, op->dx, err);
}

#define IMPL(title)                                                            \
    {                                                                          \
        .kind = title, .infer = infer, .prepare = prepare, .forward = forward, \
        .backward = backward,                                                  \
    }
static const struct clfcn_op_impl split_impl = IMPL("split"), join_impl = IMPL("join");

static int create(const struct clfcn_op_impl *impl, int images, struct clfcn_op **out,
                  struct clfcn_err *err)
{
    const int rc = clfcn_op_alloc(sizeof(struct part), impl, out, err);
    if (rc == CLFCN_OK) {
        ((struct part *)*out)->images = images;
    }
    return rc;
}

int clfcn_split_create(int images, struct clfcn_op **out, struct clfcn_err *err)
{
    return create(&split_impl, images, out, err);
}

int clfcn_join_create(int images, struct clfcn_op **out, struct clfcn_err *err)
{
    return create(&join_impl, images, out, err);
}
