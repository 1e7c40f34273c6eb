/* clip.h - gradients made shorter where their norm over all parameters is above a limit,
 * as torch.nn.utils.clip_grad_norm_() does. */
#ifndef CLFCN_OPS_CLIP_H
#define CLFCN_OPS_CLIP_H

#include "op.h"

struct clfcn_clip {
    struct clfcn_kernel squares, factor, scale;
    int group, vector_width;
};

int clfcn_clip_prepare(struct clfcn_clip *clip, const struct clfcn_op_env *env,
                       struct clfcn_err *err);
/* Scratch bytes for count gradients. */
size_t clfcn_clip_scratch(size_t count);
/* Clip count gradients, a multiple of 16, to a 2-norm of limit: g *= min(1, limit / (norm
 * + 1e-6)). The norm that they had goes to result[index] (float), the factor behind it.
 */
int clfcn_clip_run(const struct clfcn_clip *clip, const struct clfcn_op_run *run,
                   cl_mem g, size_t count, double limit, cl_mem result, int index,
                   struct clfcn_err *err);

#endif
