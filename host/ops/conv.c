#include "conv.h"

#include "../util/hash.h"
#include "choice.h"
#include "gemm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct clfcn_conv_impl *const clfcn_conv_impls[] = {
    &clfcn_conv_winograd4,         /* CPUs: plain 3x3 */
    &clfcn_conv_winograd2,         /* CPUs: 3x3, transposed ones too */
    &clfcn_conv_implicit,          /* CPUs: plain */
    &clfcn_conv_convgemm,          /* one image or 1x1, forward */
    &clfcn_conv_im2col,            /* plain */
    &clfcn_conv_im2col_transposed, /* transposed */
    &clfcn_conv_winograd4_batched, /* GPUs: plain 3x3 */
    &clfcn_conv_winograd2_batched, /* likewise */
    &clfcn_conv_tiled,             /* GPUs, on request */
    NULL,
};

const char *clfcn_pass_name(enum clfcn_pass pass)
{
    static const char *const names[] = { "forward", "input gradient", "weight gradient" };
    return names[pass];
}

void clfcn_conv_impl_name(const struct clfcn_conv_impl *impl,
                          const struct clfcn_conv_variant *variant, const char *gemm,
                          char name[CLFCN_CONV_NAME])
{
    snprintf(name, CLFCN_CONV_NAME, "%s%s%s%s%s", impl->name, variant ? ":" : "",
             variant ? variant->name : "", impl->uses_gemm ? "+" : "",
             impl->uses_gemm ? gemm : "");
}

const struct clfcn_conv_variant *
clfcn_conv_next_variant(const struct clfcn_conv_impl *impl,
                        const struct clfcn_conv_variant *v)
{
    const struct clfcn_conv_variant *next = v ? v + 1 : impl->variants;
    return next && next->name ? next : NULL;
}

int clfcn_conv_create_by(const struct clfcn_conv_impl *impl,
                         const struct clfcn_conv_variant *variant,
                         const struct clfcn_gemm *gemm,
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
    cv->variant = variant;
    cv->gemm = gemm;
    cv->shape = *shape;
    cv->pass = pass;
    clfcn_conv_impl_name(impl, variant, gemm ? gemm->name : "", cv->name);
    const int rc = impl->plan(cv, env, err);
    if (rc < 0) {
        clfcn_conv_destroy(out);
    }
    return rc;
}

int clfcn_conv_want_scratch(struct clfcn_conv *cv, const struct clfcn_gemm_call *call,
                            struct clfcn_err *err)
{
    struct clfcn_gemm_plan plan;
    const int rc = clfcn_gemm_make_plan(cv->gemm, call, &plan, err);
    if (plan.scratch_bytes > cv->scratch_bytes) {
        cv->scratch_bytes = plan.scratch_bytes;
    }
    cv->products = clfcn_hash(cv->products, plan.parameters, sizeof(plan.parameters));
    return rc;
}

bool clfcn_conv_affordable(const struct clfcn_conv *cv, const struct clfcn_op_env *env)
{
    return cv->impl->thrifty ||
           cv->columns_bytes + cv->scratch_bytes + cv->kept_bytes <= env->workspace_limit;
}

double clfcn_conv_flop(const struct clfcn_conv_shape *s)
{
    return 2.0 * s->in * s->out * s->kernel * s->kernel * s->n * s->h * (double)s->w;
}

double clfcn_conv_own_flop(const struct clfcn_conv *cv)
{
    return cv->impl->flop ? cv->impl->flop(cv) : clfcn_conv_flop(&cv->shape);
}

/* The variant of impl whose name, with the provider's, is algorithm: *found says whether
 * there is one, as NULL may be it. */
static const struct clfcn_conv_variant *find_variant(const struct clfcn_conv_impl *impl,
                                                     const char *gemm,
                                                     const char *algorithm, bool *found)
{
    const struct clfcn_conv_variant *v = NULL;
    do {
        char name[CLFCN_CONV_NAME];
        clfcn_conv_impl_name(impl, v, gemm, name);
        *found = strcmp(name, algorithm) == 0;
    } while (!*found && (v = clfcn_conv_next_variant(impl, v)));
    return v;
}

/* Plan what was measured to be the fastest, if it is known here, fits, and is within the
 * workspace. *out stays NULL if not. */
static int create_chosen(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                         const struct clfcn_op_env *env, struct clfcn_conv **out,
                         struct clfcn_err *err)
{
    const struct clfcn_choice *choice =
        clfcn_choices_find(env->choices, shape, pass, env->gemm_kind);
    const char *plus = choice ? strchr(choice->algorithm, '+') : NULL;
    const char *gemm_name = plus ? plus + 1 : "";
    for (int i = 0; choice && clfcn_conv_impls[i]; ++i) {
        const struct clfcn_conv_impl *impl = clfcn_conv_impls[i];
        const struct clfcn_gemm *gemm = NULL;
        bool found = false;
        const struct clfcn_conv_variant *variant =
            find_variant(impl, gemm_name, choice->algorithm, &found);
        if (!found || !impl->fits(shape, pass, env)) {
            continue;
        }
        int rc = impl->uses_gemm ? clfcn_gemms_find(env->gemms, gemm_name, &gemm, err)
                                 : CLFCN_OK;
        if (rc < 0 || (impl->uses_gemm && !gemm)) {
            return rc;
        }
        rc = clfcn_conv_create_by(impl, variant, gemm, shape, pass, env, out, err);
        if (rc == CLFCN_OK && !clfcn_conv_affordable(*out, env)) {
            clfcn_conv_destroy(out);
        }
        return rc;
    }
    return CLFCN_OK;
}

/* With the default provider, if it uses one. */
static int create_usual(const struct clfcn_conv_impl *impl,
                        const struct clfcn_conv_variant *variant,
                        const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                        const struct clfcn_op_env *env, struct clfcn_conv **out,
                        struct clfcn_err *err)
{
    const struct clfcn_gemm *gemm = NULL;
    const int rc =
        impl->uses_gemm ? clfcn_gemms_default(env->gemms, &gemm, err) : CLFCN_OK;
    return rc < 0 ? rc
                  : clfcn_conv_create_by(impl, variant, gemm, shape, pass, env, out, err);
}

int clfcn_conv_create_default(const struct clfcn_conv_impl *const *impls,
                              const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                              const struct clfcn_op_env *env, struct clfcn_conv **out,
                              struct clfcn_err *err)
{
    *out = NULL;
    for (int i = 0; impls[i]; ++i) {
        if (impls[i]->on_request || !impls[i]->fits(shape, pass, env)) {
            continue;
        }
        const int rc = create_usual(impls[i], NULL, shape, pass, env, out, err);
        if (rc < 0 || clfcn_conv_affordable(*out, env)) {
            return rc;
        }
        clfcn_conv_destroy(out);
    }
    return clfcn_err_set(err, CLFCN_EINVAL, 0, "no algorithm for this convolution");
}

int clfcn_conv_create(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                      const struct clfcn_op_env *env, struct clfcn_conv **out,
                      struct clfcn_err *err)
{
    const struct clfcn_conv_impl *forced = env->conv[pass];
    *out = NULL;
    if (forced && forced->fits(shape, pass, env)) {
        return create_usual(forced, env->conv_variant, shape, pass, env, out, err);
    }
    const int rc = create_chosen(shape, pass, env, out, err);
    return rc < 0 || *out
               ? rc
               : clfcn_conv_create_default(clfcn_conv_impls, shape, pass, env, out, err);
}

void clfcn_conv_destroy(struct clfcn_conv **cv)
{
    if (*cv && (*cv)->impl->finish) {
        (*cv)->impl->finish(*cv);
    }
    free(*cv);
    *cv = NULL;
}
