#include "op_impl.h"

struct maxpool {
    struct clfcn_op op;
    int vector_width;
    struct clfcn_kernel forward, backward;
};

enum { P_VW, P_MASK };

#define PARAMS                                                              \
    {                                                                       \
        [P_VW] = { "VW", 4, { 4, 8, 16 } }, [P_MASK] = { "MASK", 0, { 0 } } \
    }

static const struct clfcn_kernel_desc forward_desc = { .stem = "pool",
                                                       .entry = "pool_forward",
                                                       .cut = CLFCN_CUT_X | CLFCN_CUT_Y |
                                                              CLFCN_CUT_Z,
                                                       .params = PARAMS };
static const struct clfcn_kernel_desc backward_desc = { .stem = "pool",
                                                        .entry = "pool_backward",
                                                        .cut = CLFCN_CUT_X | CLFCN_CUT_Y |
                                                               CLFCN_CUT_Z,
                                                        .params = PARAMS };

static int infer(struct clfcn_op *op, const struct clfcn_op_env *env,
                 struct clfcn_err *err)
{
    const struct clfcn_tensor *x = op->x;
    if (x->h < 2 || x->w < 2) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "%dx%d is too small to pool", x->w,
                             x->h);
    }
    *op->y = (struct clfcn_tensor){ x->c, x->n, x->h / 2, x->w / 2, NULL };
    return clfcn_op_check_row(x, err);
}

static int prepare(struct clfcn_op *op, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    struct maxpool *mp = (struct maxpool *)op;
    mp->vector_width = clfcn_defaults_for(&env->dev->info).vector_width;
    const int values[CLFCN_MAX_PARAMS] = {
        [P_VW] = mp->vector_width, [P_MASK] = op->mask_dx
    };
    int rc = clfcn_kernel_want(env->programs, &mp->forward, &forward_desc, values, err);
    if (rc == CLFCN_OK && env->training) {
        rc = clfcn_kernel_want(env->programs, &mp->backward, &backward_desc, values, err);
    }
    return rc;
}

/* One item per VW windows of a row, in rows of every plane. Runtimes on CPUs compile a
 * kernel anew for each size of work-group, and left to themselves choose another one for
 * each layer: five times the wait for a first step. */
static int launch(const struct maxpool *mp, struct clfcn_dev *dev,
                  const struct clfcn_kernel *kernel, int windows, int rows,
                  const struct clfcn_arg *args, int count, struct clfcn_err *err)
{
    const struct clfcn_tensor *x = mp->op.x;
    const size_t global[] = { (size_t)((windows + mp->vector_width - 1) /
                                       mp->vector_width),
                              (size_t)rows, (size_t)x->c * (size_t)x->n };
    static const size_t local[] = { 1, 16, 1 };
    const struct clfcn_device_info *info = &dev->info;
    const bool fits =
        info->max_work_group >= local[1] && info->max_work_item[1] >= local[1];
    return clfcn_launch(dev, kernel, 3, global, info->is_cpu && fits ? local : NULL, args,
                        count, err);
}

static int forward(struct clfcn_op *op, const struct clfcn_op_run *run,
                   struct clfcn_err *err)
{
    const struct maxpool *mp = (const struct maxpool *)op;
    const struct clfcn_arg args[] = { CLFCN_ARG(op->x->mem), CLFCN_ARG(op->y->mem),
                                      CLFCN_ARG(op->x->h), CLFCN_ARG(op->x->w) };
    return launch(mp, run->dev, &mp->forward, op->y->w, op->y->h, args,
                  CLFCN_ARRAY_LEN(args), err);
}

static int backward(struct clfcn_op *op, const struct clfcn_op_run *run,
                    struct clfcn_err *err)
{
    const struct maxpool *mp = (const struct maxpool *)op;
    const struct clfcn_arg args[] = { CLFCN_ARG(op->x->mem), CLFCN_ARG(op->dy->mem),
                                      CLFCN_ARG(op->dx->mem), CLFCN_ARG(op->x->h),
                                      CLFCN_ARG(op->x->w) };
    return launch(mp, run->dev, &mp->backward, (op->x->w + 1) / 2, (op->x->h + 1) / 2,
                  args, CLFCN_ARRAY_LEN(args), err);
}

static const struct clfcn_op_impl maxpool_impl = {
    .kind = "maxpool",
    .backward_reads_x = true,
    .masks_dx = true,
    .infer = infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
};

int clfcn_maxpool_create(struct clfcn_op **out, struct clfcn_err *err)
{
    return clfcn_op_alloc(sizeof(struct maxpool), &maxpool_impl, out, err);
}
