/* loss.h - the losses and their gradients on the device. */
#ifndef CLFCN_OPS_LOSS_H
#define CLFCN_OPS_LOSS_H

#include "op.h"
#include <clfcn/net.h>

/* Which loss. */
struct clfcn_loss_how {
    enum clfcn_loss kind;
    const float *weights; /* [classes], at least one above 0; NULL: all are 1 */
    double gamma;         /* of focal */
};

/* What is added to both sides of a class's Dice coefficient, in pixels: one that is
 * nowhere is right. */
#define CLFCN_DICE_SMOOTH 1.0

/* Zero-initialise; the kernels belong to the program set. */
struct clfcn_loss_op {
    enum clfcn_loss kind;
    float gamma;
    struct clfcn_kernel pixels, finish;
    struct clfcn_kernel softmax, sums, slopes, gradient; /* of dice, in place of pixels */
    int classes, group;
    size_t row;                       /* pixels of the batch */
    size_t scratch_bytes;             /* wanted in run->scratch */
    float weights[CLFCN_MAX_CLASSES]; /* 1 unless given */
    cl_mem device_weights;            /* [classes]; for dice their sum is 1 there */
};

int clfcn_loss_prepare(struct clfcn_loss_op *op, const struct clfcn_loss_how *how,
                       const struct clfcn_tensor *logits, const struct clfcn_op_env *env,
                       struct clfcn_err *err);
/* Bring the weights to the device, clfcn_loss_weight_bytes(), and release them. */
int clfcn_loss_allocate(struct clfcn_loss_op *op, struct clfcn_dev *dev,
                        struct clfcn_err *err);
size_t clfcn_loss_weight_bytes(const struct clfcn_loss_op *op);
void clfcn_loss_release(struct clfcn_loss_op *op, struct clfcn_dev *dev);

/* What the sum over a batch's pixels is divided by, labelled of labels [row] being not
 * CLFCN_IGNORE: those, C times for bce, each by its class's weight for ce. */
double clfcn_loss_terms(const struct clfcn_loss_op *op, const uint8_t *labels,
                        int64_t labelled);

/* Loss of the batch into loss[loss_index] (float), its gradient into dlogits. labels
 * uchar [N][H][W]; terms: clfcn_loss_terms() of them (0: loss 0). With run->comm the
 * batch is that of all ranks: terms is their sum, the losses are to be added up, and each
 * rank's gradient is that of the sum. */
int clfcn_loss_run(struct clfcn_loss_op *op, const struct clfcn_op_run *run,
                   const struct clfcn_tensor *logits, cl_mem labels, double terms,
                   const struct clfcn_tensor *dlogits, cl_mem loss, int loss_index,
                   struct clfcn_err *err);

/* The sum of weights [classes], or how many classes there are where it is NULL. */
double clfcn_loss_weight_sum(const float *weights, int classes);

#endif
