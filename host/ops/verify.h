/* verify.h - a convolution pass as it was planned, run once on random data and held
 * against its definition in float64. */
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

#endif
