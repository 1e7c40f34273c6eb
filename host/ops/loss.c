#include "loss.h"

#include "op_impl.h"

enum { P_C, P_WGS, P_IGNORE };

#define PARAMS                                                                   \
    {                                                                            \
        [P_C] = { "C", 2, { 0 } }, [P_WGS] = { "WGS", 64, { 1, 64, 128, 256 } }, \
        [P_IGNORE] = { "IGNORE", CLFCN_IGNORE, { 0 } },                          \
    }

static const struct clfcn_kernel_desc pixel_descs[] = {
    [CLFCN_LOSS_BCE] = { .stem = "loss",
                         .entry = "loss_bce",
                         .cut = CLFCN_CUT_X,
                         .params = PARAMS },
    [CLFCN_LOSS_CE] = { .stem = "loss",
                        .entry = "loss_ce",
                        .cut = CLFCN_CUT_X,
                        .params = PARAMS },
};
static const struct clfcn_kernel_desc finish_desc = { .stem = "loss",
                                                      .entry = "loss_finish",
                                                      .params = PARAMS };

/* Pixels a work-group takes: few partial sums for one item to add up, and enough groups
 * to fill a large device. */
static int chunk_size(size_t row)
{
    const size_t even = (row + 1023) / 1024;
    return even < 256 ? 256 : (int)even;
}

static int group_count(size_t row)
{
    const size_t chunk = (size_t)chunk_size(row);
    return (int)((row + chunk - 1) / chunk);
}

int clfcn_loss_prepare(struct clfcn_loss_op *op, enum clfcn_loss kind,
                       const struct clfcn_tensor *logits, const struct clfcn_op_env *env,
                       struct clfcn_err *err)
{
    const int group = clfcn_defaults_for(&env->dev->info).group;
    const int values[CLFCN_MAX_PARAMS] = {
        [P_C] = logits->c, [P_WGS] = group, [P_IGNORE] = CLFCN_IGNORE
    };
    op->kind = kind;
    op->classes = logits->c;
    op->row = clfcn_tensor_row(logits);
    op->group = group;
    op->scratch_bytes = (size_t)group_count(op->row) * sizeof(float);
    int rc =
        clfcn_kernel_want(env->programs, &op->pixels, &pixel_descs[kind], values, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_kernel_want(env->programs, &op->finish, &finish_desc, values, err);
    }
    return rc;
}

int clfcn_loss_run(struct clfcn_loss_op *op, const struct clfcn_op_run *run,
                   const struct clfcn_tensor *logits, cl_mem labels, int64_t labelled,
                   const struct clfcn_tensor *dlogits, cl_mem loss, int loss_index,
                   struct clfcn_err *err)
{
    const int row = (int)op->row, groups = group_count(op->row),
              chunk = chunk_size(op->row);
    const double terms =
        (double)labelled * (op->kind == CLFCN_LOSS_BCE ? op->classes : 1);
    const float scale = labelled > 0 ? (float)(1.0 / terms) : 0.0f;
    const struct clfcn_arg args[] = {
        CLFCN_ARG(logits->mem),  CLFCN_ARG(labels), CLFCN_ARG(dlogits->mem),
        CLFCN_ARG(run->scratch), CLFCN_ARG(row),    CLFCN_ARG(chunk),
        CLFCN_ARG(scale),
    };
    const struct clfcn_arg finish_args[] = { CLFCN_ARG(run->scratch), CLFCN_ARG(loss),
                                             CLFCN_ARG(groups), CLFCN_ARG(loss_index),
                                             CLFCN_ARG(scale) };
    const size_t global[] = { (size_t)groups * (size_t)op->group }, one[] = { 1 };
    const size_t local[] = { (size_t)op->group };
    int rc = clfcn_launch(run->dev, &op->pixels, 1, global, local, args,
                          CLFCN_ARRAY_LEN(args), err);
    if (rc == CLFCN_OK) {
        rc = clfcn_launch(run->dev, &op->finish, 1, one, one, finish_args,
                          CLFCN_ARRAY_LEN(finish_args), err);
    }
    return rc;
}
