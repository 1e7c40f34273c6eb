#include "conv.h"

#include "gemm.h"
#include <stdlib.h>

const struct clfcn_conv_impl *const clfcn_conv_impls[] = {
    &clfcn_conv_winograd4,         /* CPUs: plain 3x3 */
    &clfcn_conv_winograd2,         /* CPUs: 3x3, transposed ones too */
    &clfcn_conv_convgemm,          /* one image or 1x1, forward */
    &clfcn_conv_im2col,            /* plain */
    &clfcn_conv_im2col_transposed, /* transposed */
    NULL,
};

const char *clfcn_pass_name(enum clfcn_pass pass)
{
    static const char *const names[] = { "forward", "input gradient", "weight gradient" };
    return names[pass];
}

static int create(const struct clfcn_conv_impl *impl,
                  const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                  const struct clfcn_op_env *env, struct clfcn_conv **out,
                  struct clfcn_err *err)
{
    struct clfcn_conv *cv = calloc(1, impl->size);
    *out = cv;
    if (!cv) {
        return clfcn_err_nomem(err);
    }
    cv->impl = impl;
    cv->shape = *shape;
    cv->pass = pass;
    const int rc = impl->plan(cv, env, err);
    if (rc < 0) {
        clfcn_conv_destroy(out);
    }
    return rc;
}

int clfcn_conv_create(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                      const struct clfcn_op_env *env, struct clfcn_conv **out,
                      struct clfcn_err *err)
{
    const struct clfcn_conv_impl *forced = env->conv[pass];
    *out = NULL;
    if (forced && forced->fits(shape, pass, env)) {
        return create(forced, shape, pass, env, out, err);
    }
    for (int i = 0; clfcn_conv_impls[i]; ++i) {
        const struct clfcn_conv_impl *impl = clfcn_conv_impls[i];
        if (impl->on_request || !impl->fits(shape, pass, env)) {
            continue;
        }
        const int rc = create(impl, shape, pass, env, out, err);
        if (rc < 0 || impl->thrifty ||
            (*out)->columns_bytes + (*out)->scratch_bytes <= env->workspace_limit) {
            return rc;
        }
        clfcn_conv_destroy(out);
    }
    return clfcn_err_set(err, CLFCN_EINVAL, 0, "no algorithm for this convolution");
}

void clfcn_conv_destroy(struct clfcn_conv **cv)
{
    if (*cv && (*cv)->impl->finish) {
        (*cv)->impl->finish(*cv);
    }
    free(*cv);
    *cv = NULL;
}

const char *clfcn_conv_name(const struct clfcn_conv *cv, const struct clfcn_gemm *gemm)
{
    return cv->impl->thrifty ? gemm->impl->algorithm : cv->impl->name;
}
