/* verify.h - layers as they were planned, run once on random data and held against their
 * definitions in float64. */
#ifndef CLFCN_OPS_VERIFY_H
#define CLFCN_OPS_VERIFY_H

#include "sample.h"

/* cv must be prepared, its programs built. run: memory of at least cv's columns_bytes and
 * scratch_bytes, whose content is lost; the layer's own tensors are allocated beside it.
 *
 * error receives the relative error in the 2-norm over samples (sample.h), at most
 * CLFCN_SAMPLES_BOUND if the pass is correct; NaN if a result is not finite. A forward
 * pass is run with bias and ReLU where the algorithm takes them along.
 *
 * CLFCN_EDEVMEM or CLFCN_ENOMEM if there is no memory for the tensors; CLFCN_ECL. */
int clfcn_verify_conv(struct clfcn_conv *cv, const struct clfcn_op_run *run,
                      double *error, struct clfcn_err *err);

/* Whether the next one knows the definition: poolings, batch norms (in training) and
 * sums.
 */
bool clfcn_verify_knows(const struct clfcn_op *op);
/* Likewise for a whole op of these kinds that is prepared for training: the error of y,
 * or of dx if backward is set, in up to four channels. The op is idle, and as it was
 * afterwards. (verify_op.c) */
int clfcn_verify_op(struct clfcn_op *op, const struct clfcn_op_run *run, bool backward,
                    double *error, struct clfcn_err *err);

#endif
