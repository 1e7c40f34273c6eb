/* verify.h - layers as they were planned, run on data of their own and held against their
 * definitions in float64. */
#ifndef CLFCN_OPS_VERIFY_H
#define CLFCN_OPS_VERIFY_H

#include "certificate.h"
#include "sample.h"
#include "trial_data.h"

/* What a convolution also does in an inference network, after its ReLU. */
enum clfcn_verify_after {
    CLFCN_AFTER_NOTHING,
    CLFCN_AFTER_POOL, /* 2x2 max pooling */
    CLFCN_AFTER_NORM, /* batch norm by known statistics, and a sum */
    CLFCN_AFTERS
};

/* How a layer is verified. */
struct clfcn_verify_how {
    enum clfcn_trial_kind data; /* what its images hold; weights are normal */
    int runs;                   /* >= 1; all must give the same bits */
    /* Of a forward pass that absorbs it, and so small that all of its result is checked;
     * sides are even for a pooling. */
    enum clfcn_verify_after after;
};

/* cv must be prepared, its programs built. run: memory of at least cv's columns_bytes and
 * scratch_bytes, whose content is lost; the layer's own tensors are allocated beside it.
 *
 * found receives, of one test, error, bound, ms, and correct or why: the relative error
 * in the 2-norm over samples (sample.h) is at most CLFCN_SAMPLES_BOUND, the same bits
 * came out of every run, and nothing was written behind the result. A forward pass is run
 * with bias and ReLU where the algorithm takes them along.
 *
 * CLFCN_EDEVMEM or CLFCN_ENOMEM if there is no memory for the tensors; CLFCN_ECL. */
int clfcn_verify_conv(struct clfcn_conv *cv, const struct clfcn_op_run *run,
                      const struct clfcn_verify_how *how, struct clfcn_finding *found,
                      struct clfcn_err *err);

/* Likewise for a whole op of the kinds that clfcn_channel_knows() (channel.h) that is prepared for training: y, or dx if
 * backward is set, in all channels of a small one, or in four; of a batch norm's forward
 * pass the running statistics too. A batch norm normalises by
 * its running statistics if run is not for training. The op is idle, and as it was
 * afterwards. (verify_op.c) */
int clfcn_verify_op(struct clfcn_op *op, const struct clfcn_op_run *run, bool backward,
                    const struct clfcn_verify_how *how, struct clfcn_finding *found,
                    struct clfcn_err *err);

/* Runs of one thing on poisoned memory, made one after the other. Zero-initialise. */
struct clfcn_repeats {
    float *first; /* what the first run gave */
    int runs;
    bool differ;
    double ms;
};
/* Run, which enqueues, read what it made, and compare it with the first run's. */
int clfcn_repeat(struct clfcn_repeats *r, struct clfcn_dev *dev,
                 struct clfcn_trial_array *made,
                 int (*run)(void *user, struct clfcn_err *err), void *user,
                 struct clfcn_err *err);
/* The verdict of all of them, error being that of the last. Ends r. */
void clfcn_repeat_judge(struct clfcn_repeats *r, const struct clfcn_trial_array *made,
                        double error, struct clfcn_finding *found);

#endif
