/* loss.h - the two losses and their gradients on the device. */
#ifndef CLFCN_OPS_LOSS_H
#define CLFCN_OPS_LOSS_H

#include "op.h"
#include <clfcn/net.h>

/* Zero-initialise; the kernels belong to the program set. */
struct clfcn_loss_op {
    enum clfcn_loss kind;
    struct clfcn_kernel pixels, finish;
    int classes, group;
    size_t row;           /* pixels of the batch */
    size_t scratch_bytes; /* wanted in run->scratch */
};

int clfcn_loss_prepare(struct clfcn_loss_op *op, enum clfcn_loss kind,
                       const struct clfcn_tensor *logits, const struct clfcn_op_env *env,
                       struct clfcn_err *err);
/* Mean loss of the batch into loss[loss_index] (float), its gradient into dlogits.
 * labels uchar [N][H][W]; labelled: how many of them are not CLFCN_IGNORE (0: loss 0). */
int clfcn_loss_run(struct clfcn_loss_op *op, const struct clfcn_op_run *run,
                   const struct clfcn_tensor *logits, cl_mem labels, int64_t labelled,
                   const struct clfcn_tensor *dlogits, cl_mem loss, int loss_index,
                   struct clfcn_err *err);

#endif
