#include "conv.h"

#include "../util/hash.h"
#include "certificate.h"
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

/* Whether a candidate is known to be wrong on the device; the first such one is noted in
 * wrong. */
static bool is_wrong(const struct clfcn_op_env *env, const char *name,
                     enum clfcn_pass pass, char wrong[CLFCN_CONV_NAME])
{
    if (!clfcn_certificate_fault(env->certificate, name, clfcn_pass_name(pass))) {
        return false;
    }
    if (!wrong[0]) {
        snprintf(wrong, CLFCN_CONV_NAME, "%s", name);
    }
    return true;
}

/* Plan what was measured to be the fastest, if it is known here, fits, and is within the
 * workspace, and is not wrong. *out stays NULL if not. */
static int create_chosen(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                         const struct clfcn_op_env *env, char wrong[CLFCN_CONV_NAME],
                         struct clfcn_conv **out, struct clfcn_err *err)
{
    const struct clfcn_choice *choice =
        clfcn_choices_find(env->choices, shape, pass, env->gemm_kind);
    const char *plus = choice ? strchr(choice->algorithm, '+') : NULL;
    const char *gemm_name = plus ? plus + 1 : "";
    if (!choice || is_wrong(env, choice->algorithm, pass, wrong)) {
        return CLFCN_OK;
    }
    for (int i = 0; clfcn_conv_impls[i]; ++i) {
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

/* Plan the first of impls that fits, is affordable and not wrong. any: also one that is
 * for requests only, and with another provider than the default. *out stays NULL if there
 * is none. */
static int create_first(const struct clfcn_conv_impl *const *impls, bool any,
                        const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                        const struct clfcn_op_env *env, char wrong[CLFCN_CONV_NAME],
                        struct clfcn_conv **out, struct clfcn_err *err)
{
    const enum clfcn_gemm_kind kinds[] = { env->gemms ? env->gemms->kind : env->gemm_kind,
                                           CLFCN_GEMM_NATIVE, CLFCN_GEMM_CLBLAST };
    for (int i = 0; impls[i]; ++i) {
        const struct clfcn_conv_impl *impl = impls[i];
        const int count = any && impl->uses_gemm ? CLFCN_ARRAY_LEN(kinds) : 1;
        if ((impl->on_request && !any) || !impl->fits(shape, pass, env)) {
            continue;
        }
        for (int k = 0; k < count; ++k) {
            const char *provider = clfcn_gemm_impl_of(&env->dev->info, kinds[k])->name;
            const struct clfcn_gemm *gemm = NULL;
            char name[CLFCN_CONV_NAME];
            clfcn_conv_impl_name(impl, NULL, provider, name);
            if (is_wrong(env, name, pass, wrong)) {
                continue;
            }
            int rc = impl->uses_gemm ? clfcn_gemms_find(env->gemms, provider, &gemm, err)
                                     : CLFCN_OK;
            if (rc == CLFCN_OK && (gemm || !impl->uses_gemm)) {
                rc = clfcn_conv_create_by(impl, NULL, gemm, shape, pass, env, out, err);
            }
            if (rc < 0 || (*out && clfcn_conv_affordable(*out, env))) {
                return rc;
            }
            clfcn_conv_destroy(out);
        }
    }
    return CLFCN_OK;
}

/* wrong: as far as it is known before, and filled in. */
static int create_usual(const struct clfcn_conv_impl *const *impls,
                        const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                        const struct clfcn_op_env *env, char wrong[CLFCN_CONV_NAME],
                        struct clfcn_conv **out, struct clfcn_err *err)
{
    int rc = create_first(impls, false, shape, pass, env, wrong, out, err);
    if (rc == CLFCN_OK && !*out && wrong[0]) {
        rc = create_first(impls, true, shape, pass, env, wrong, out, err);
    }
    if (rc < 0 || *out) {
        return rc;
    }
    if (wrong[0]) {
        return clfcn_err_set(err, CLFCN_ENUMERIC, 0,
                             "%s: no algorithm gives right results on this device ('%s' "
                             "does not, for one): update its driver or choose another "
                             "with --device; 'clfcn selftest' says what is wrong",
                             clfcn_pass_name(pass), wrong);
    }
    return clfcn_err_set(err, CLFCN_EINVAL, 0, "no algorithm for this convolution");
}

int clfcn_conv_create_default(const struct clfcn_conv_impl *const *impls,
                              const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                              const struct clfcn_op_env *env, struct clfcn_conv **out,
                              struct clfcn_err *err)
{
    char wrong[CLFCN_CONV_NAME] = "";
    *out = NULL;
    return create_usual(impls, shape, pass, env, wrong, out, err);
}

/* What env->conv forces, with the default provider. */
static int create_forced(const struct clfcn_conv_impl *impl,
                         const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                         const struct clfcn_op_env *env, struct clfcn_conv **out,
                         struct clfcn_err *err)
{
    const struct clfcn_gemm *gemm = NULL;
    const int rc =
        impl->uses_gemm ? clfcn_gemms_default(env->gemms, &gemm, err) : CLFCN_OK;
    return rc < 0 ? rc
                  : clfcn_conv_create_by(impl, env->conv_variant, gemm, shape, pass, env,
                                         out, err);
}

int clfcn_conv_create(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                      const struct clfcn_op_env *env, struct clfcn_conv **out,
                      struct clfcn_err *err)
{
    const struct clfcn_conv_impl *forced = env->conv[pass];
    char wrong[CLFCN_CONV_NAME] = "";
    *out = NULL;
    if (forced && forced->fits(shape, pass, env)) {
        return create_forced(forced, shape, pass, env, out, err);
    }
    int rc = create_chosen(shape, pass, env, wrong, out, err);
    if (rc == CLFCN_OK && !*out) {
        rc = create_usual(clfcn_conv_impls, shape, pass, env, wrong, out, err);
    }
    if (rc == CLFCN_OK) {
        snprintf((*out)->instead_of, sizeof((*out)->instead_of), "%s", wrong);
    }
    return rc;
}

void clfcn_conv_destroy(struct clfcn_conv **cv)
{
    if (*cv && (*cv)->impl->finish) {
        (*cv)->impl->finish(*cv);
    }
    free(*cv);
    *cv = NULL;
}
