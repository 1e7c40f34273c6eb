/* loss_dice.c - the Dice loss: a sum over the whole batch, and only then gradients. */
#include "loss_impl.h"
#include "sync.h"

#define DESC(name, cut_)                                                        \
    {                                                                           \
        .stem = "dice", .entry = name, .cut = cut_, .params = CLFCN_LOSS_PARAMS \
    }
static const struct clfcn_kernel_desc softmax_desc = DESC("dice_softmax", CLFCN_CUT_X),
                                      sums_desc =
                                          DESC("dice_sums", CLFCN_CUT_X | CLFCN_CUT_Y),
                                      slopes_desc = DESC("dice_slopes", 0),
                                      gradient_desc = DESC("dice_gradient", CLFCN_CUT_X);

int clfcn_loss_dice_prepare(struct clfcn_loss_op *op, const int *values,
                            const struct clfcn_op_env *env, struct clfcn_err *err)
{
    const struct {
        struct clfcn_kernel *kernel;
        const struct clfcn_kernel_desc *desc;
    } wanted[] = { { &op->softmax, &softmax_desc },
                   { &op->sums, &sums_desc },
                   { &op->slopes, &slopes_desc },
                   { &op->gradient, &gradient_desc } };
    const size_t per_class = 3 + 2 * (size_t)clfcn_loss_groups(op->row);
    int rc = CLFCN_OK;
    op->scratch_bytes = (size_t)op->classes * per_class * sizeof(float);
    for (int i = 0; rc == CLFCN_OK && i < CLFCN_ARRAY_LEN(wanted); ++i) {
        rc = clfcn_kernel_want(env->programs, wanted[i].kernel, wanted[i].desc, values,
                               err);
    }
    return rc;
}

/* The sums over chunks in scratch become one a class, over all ranks. */
static int sum_ranks(const struct clfcn_loss_op *op, const struct clfcn_op_run *run,
                     int groups, struct clfcn_err *err)
{
    const size_t first = 3 * (size_t)op->classes;
    float sums[2 * CLFCN_MAX_CLASSES];
    const int rc = clfcn_sync_sums(run, first, op->classes, groups, sums, err);
    return rc < 0
               ? rc
               : clfcn_buffer_write(run->dev, run->scratch, first * sizeof(float),
                                    2 * (size_t)op->classes * sizeof(*sums), sums, err);
}

/* How far each class is off, from p - t in dlogits. */
static int sum_classes(struct clfcn_loss_op *op, const struct clfcn_op_run *run,
                       cl_mem labels, const struct clfcn_tensor *dlogits,
                       struct clfcn_err *err)
{
    const int row = (int)op->row, groups = clfcn_loss_groups(op->row),
              chunk = clfcn_loss_chunk(op->row), left = run->comm ? 1 : groups;
    const struct clfcn_arg args[] = {
        CLFCN_ARG(dlogits->mem), CLFCN_ARG(labels), CLFCN_ARG(run->scratch),
        CLFCN_ARG(row),          CLFCN_ARG(chunk),  CLFCN_ARG(groups),
    };
    const struct clfcn_arg slope_args[] = { CLFCN_ARG(run->scratch),
                                            CLFCN_ARG(op->device_weights),
                                            CLFCN_ARG(left) };
    const size_t global[] = { (size_t)groups * (size_t)op->group, (size_t)op->classes };
    const size_t local[] = { (size_t)op->group, 1 };
    int rc = clfcn_launch(run->dev, &op->sums, 2, global, local, args,
                          CLFCN_ARRAY_LEN(args), err);
    if (rc == CLFCN_OK && run->comm) {
        rc = sum_ranks(op, run, groups, err);
    }
    return rc < 0 ? rc
                  : clfcn_launch_each(run->dev, &op->slopes, (size_t)op->classes,
                                      slope_args, CLFCN_ARRAY_LEN(slope_args), err);
}

int clfcn_loss_dice_run(struct clfcn_loss_op *op, const struct clfcn_op_run *run,
                        const struct clfcn_tensor *logits, cl_mem labels,
                        const struct clfcn_tensor *dlogits, cl_mem loss, int loss_index,
                        struct clfcn_err *err)
{
    const int row = (int)op->row;
    /* Every rank knows the whole loss, and reports a share of it. */
    const float share = 1.0f / (float)clfcn_comm_size(run->comm);
    const struct clfcn_arg softmax_args[] = { CLFCN_ARG(logits->mem), CLFCN_ARG(labels),
                                              CLFCN_ARG(dlogits->mem), CLFCN_ARG(row) };
    const struct clfcn_arg gradient_args[] = { CLFCN_ARG(labels), CLFCN_ARG(run->scratch),
                                               CLFCN_ARG(dlogits->mem), CLFCN_ARG(row) };
    int rc = clfcn_launch_each(run->dev, &op->softmax, op->row, softmax_args,
                               CLFCN_ARRAY_LEN(softmax_args), err);
    if (rc == CLFCN_OK) {
        rc = sum_classes(op, run, labels, dlogits, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_loss_finish(op, run, op->classes, loss, loss_index, share, err);
    }
    return rc < 0 ? rc
                  : clfcn_launch_each(run->dev, &op->gradient, op->row, gradient_args,
                                      CLFCN_ARRAY_LEN(gradient_args), err);
}
