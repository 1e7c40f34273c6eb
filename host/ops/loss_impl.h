/* loss_impl.h - what the losses per pixel and the Dice loss share. */
#ifndef CLFCN_OPS_LOSS_IMPL_H
#define CLFCN_OPS_LOSS_IMPL_H

#include "loss.h"
#include "op_impl.h"

enum { CLFCN_LOSS_C, CLFCN_LOSS_WGS, CLFCN_LOSS_IGNORE };

#define CLFCN_LOSS_PARAMS                                        \
    {                                                            \
        [CLFCN_LOSS_C] = { "C", 2, { 0 } },                      \
        [CLFCN_LOSS_WGS] = { "WGS", 64, { 1, 64, 128, 256 } },   \
        [CLFCN_LOSS_IGNORE] = { "IGNORE", CLFCN_IGNORE, { 0 } }, \
    }

/* Pixels a work-group takes, and how many there are then. */
int clfcn_loss_chunk(size_t row);
int clfcn_loss_groups(size_t row);

/* loss[index] = scale times the sum of the first count floats of scratch. */
int clfcn_loss_finish(struct clfcn_loss_op *op, const struct clfcn_op_run *run, int count,
                      cl_mem loss, int index, float scale, struct clfcn_err *err);

/* Of op->kind CLFCN_LOSS_DICE, with what is common to all set. (loss_dice.c) */
int clfcn_loss_dice_prepare(struct clfcn_loss_op *op, const int *values,
                            const struct clfcn_op_env *env, struct clfcn_err *err);
int clfcn_loss_dice_run(struct clfcn_loss_op *op, const struct clfcn_op_run *run,
                        const struct clfcn_tensor *logits, cl_mem labels,
                        const struct clfcn_tensor *dlogits, cl_mem loss, int loss_index,
                        struct clfcn_err *err);

#endif
