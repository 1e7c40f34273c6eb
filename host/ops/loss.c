#include "loss_impl.h"

static const struct clfcn_kernel_desc pixel_descs[] = {
    [CLFCN_LOSS_BCE] = { .stem = "loss",
                         .entry = "loss_bce",
                         .cut = CLFCN_CUT_X,
                         .params = CLFCN_LOSS_PARAMS },
    [CLFCN_LOSS_CE] = { .stem = "loss",
                        .entry = "loss_ce",
                        .cut = CLFCN_CUT_X,
                        .params = CLFCN_LOSS_PARAMS },
    [CLFCN_LOSS_FOCAL] = { .stem = "loss",
                           .entry = "loss_focal",
                           .cut = CLFCN_CUT_X,
                           .params = CLFCN_LOSS_PARAMS },
};
static const struct clfcn_kernel_desc finish_desc = { .stem = "loss",
                                                      .entry = "loss_finish",
                                                      .params = CLFCN_LOSS_PARAMS };

/* Few partial sums for one item to add up, and enough groups to fill a large device. */
int clfcn_loss_chunk(size_t row)
{
    const size_t even = (row + 1023) / 1024;
    return even < 256 ? 256 : (int)even;
}

int clfcn_loss_groups(size_t row)
{
    const size_t chunk = (size_t)clfcn_loss_chunk(row);
    return (int)((row + chunk - 1) / chunk);
}

double clfcn_loss_weight_sum(const float *weights, int classes)
{
    double sum = weights ? 0.0 : classes;
    for (int c = 0; weights && c < classes; ++c) {
        sum += weights[c];
    }
    return sum;
}

int clfcn_loss_prepare(struct clfcn_loss_op *op, const struct clfcn_loss_how *how,
                       const struct clfcn_tensor *logits, const struct clfcn_op_env *env,
                       struct clfcn_err *err)
{
    const int group = clfcn_defaults_for(&env->dev->info).group;
    const int values[CLFCN_MAX_PARAMS] = { [CLFCN_LOSS_C] = logits->c,
                                           [CLFCN_LOSS_WGS] = group,
                                           [CLFCN_LOSS_IGNORE] = CLFCN_IGNORE };
    op->kind = how->kind;
    op->gamma = (float)how->gamma;
    op->classes = logits->c;
    op->row = clfcn_tensor_row(logits);
    op->group = group;
    op->scratch_bytes = (size_t)clfcn_loss_groups(op->row) * sizeof(float);
    for (int c = 0; c < op->classes; ++c) {
        op->weights[c] = how->weights ? how->weights[c] : 1.0f;
    }
    int rc = clfcn_kernel_want(env->programs, &op->finish, &finish_desc, values, err);
    if (rc < 0) {
        return rc;
    }
    return op->kind == CLFCN_LOSS_DICE
               ? clfcn_loss_dice_prepare(op, values, env, err)
               : clfcn_kernel_want(env->programs, &op->pixels, &pixel_descs[op->kind],
                                   values, err);
}

size_t clfcn_loss_weight_bytes(const struct clfcn_loss_op *op)
{
    return (size_t)op->classes * sizeof(float);
}

int clfcn_loss_allocate(struct clfcn_loss_op *op, struct clfcn_dev *dev,
                        struct clfcn_err *err)
{
    const bool mean = op->kind == CLFCN_LOSS_DICE;
    const double sum = mean ? clfcn_loss_weight_sum(op->weights, op->classes) : 1.0;
    float shares[CLFCN_MAX_CLASSES];
    for (int c = 0; c < op->classes; ++c) {
        shares[c] = (float)(op->weights[c] / sum);
    }
    return clfcn_buffer_create_from(dev, shares, clfcn_loss_weight_bytes(op),
                                    "class weights", &op->device_weights, err);
}

void clfcn_loss_release(struct clfcn_loss_op *op, struct clfcn_dev *dev)
{
    clfcn_buffer_release(dev, &op->device_weights);
}

double clfcn_loss_terms(const struct clfcn_loss_op *op, const uint8_t *labels,
                        int64_t labelled)
{
    int64_t counts[CLFCN_IGNORE + 1] = { 0 };
    double sum = 0.0;
    if (op->kind != CLFCN_LOSS_CE) {
        return (double)labelled * (op->kind == CLFCN_LOSS_BCE ? op->classes : 1);
    }
    for (size_t i = 0; i < op->row; ++i) {
        ++counts[labels[i]];
    }
    for (int c = 0; c < op->classes; ++c) {
        sum += (double)counts[c] * op->weights[c];
    }
    return sum;
}

int clfcn_loss_finish(struct clfcn_loss_op *op, const struct clfcn_op_run *run, int count,
                      cl_mem loss, int index, float scale, struct clfcn_err *err)
{
    const struct clfcn_arg args[] = { CLFCN_ARG(run->scratch), CLFCN_ARG(loss),
                                      CLFCN_ARG(count), CLFCN_ARG(index),
                                      CLFCN_ARG(scale) };
    const size_t one[] = { 1 };
    return clfcn_launch(run->dev, &op->finish, 1, one, one, args, CLFCN_ARRAY_LEN(args),
                        err);
}

int clfcn_loss_run(struct clfcn_loss_op *op, const struct clfcn_op_run *run,
                   const struct clfcn_tensor *logits, cl_mem labels, double terms,
                   const struct clfcn_tensor *dlogits, cl_mem loss, int loss_index,
                   struct clfcn_err *err)
{
    if (op->kind == CLFCN_LOSS_DICE) {
        return clfcn_loss_dice_run(op, run, logits, labels, dlogits, loss, loss_index,
                                   err);
    }
    const int row = (int)op->row, groups = clfcn_loss_groups(op->row),
              chunk = clfcn_loss_chunk(op->row);
    const float scale = terms > 0.0 ? (float)(1.0 / terms) : 0.0f;
    const struct clfcn_arg args[] = {
        CLFCN_ARG(logits->mem),  CLFCN_ARG(labels),       CLFCN_ARG(op->device_weights),
        CLFCN_ARG(dlogits->mem), CLFCN_ARG(run->scratch), CLFCN_ARG(row),
        CLFCN_ARG(chunk),        CLFCN_ARG(scale),        CLFCN_ARG(op->gamma),
    };
    const int arg_count = CLFCN_ARRAY_LEN(args) - (op->kind != CLFCN_LOSS_FOCAL);
    const size_t global[] = { (size_t)groups * (size_t)op->group };
    const size_t local[] = { (size_t)op->group };
    const int rc =
        clfcn_launch(run->dev, &op->pixels, 1, global, local, args, arg_count, err);
    return rc < 0 ? rc : clfcn_loss_finish(op, run, groups, loss, loss_index, scale, err);
}
