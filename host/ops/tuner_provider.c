#include "tuner_impl.h"

int clfcn_provider_use(struct clfcn_tuner *t, struct clfcn_provider *p)
{
    if (!p->tried) {
        p->tried = true;
        p->rc = clfcn_programs_build(p->programs ? p->programs : t->providers[0].programs,
                                     &p->err);
    }
    return p->rc;
}

/* Make a provider. With same_bits not one that shares too little with the first, which
 * therefore is built at once. */
static int add_provider(struct clfcn_tuner *t, const struct clfcn_gemm_impl *impl,
                        const struct clfcn_gemm_variant *variant,
                        const struct clfcn_provider *own)
{
    struct clfcn_provider *p = &t->providers[t->provider_count++];
    struct clfcn_programs *programs = t->providers[0].programs;
    const bool borrows = t->config.same_bits && p != t->providers;
    p->impl = impl;
    p->own = own ? own : p;
    if (!borrows) {
        p->rc = clfcn_programs_create(t->config.dev, &p->programs, &p->err);
        programs = p->programs;
    }
    const int before = p->rc < 0 ? 0 : clfcn_programs_kernel_count(programs);
    if (p->rc == CLFCN_OK) {
        p->rc = clfcn_gemm_create_by(impl, variant, t->config.dev, programs, &p->gemm,
                                     &p->err);
    }
    p->tried = p->rc < 0;
    if (borrows && p->gemm && clfcn_programs_kernel_count(programs) > before) {
        clfcn_programs_forget(programs);
        clfcn_gemm_destroy(&p->gemm);
        --t->provider_count;
        return CLFCN_OK;
    }
    return t->config.same_bits ? clfcn_provider_use(t, p) : p->rc;
}

/* A provider, and its variants if it can be made. */
static void add_providers(struct clfcn_tuner *t, enum clfcn_gemm_kind kind)
{
    const struct clfcn_device_info *info = &t->config.dev->info;
    const struct clfcn_gemm_impl *impl = clfcn_gemm_impl_of(info, kind);
    const struct clfcn_provider *own = &t->providers[t->provider_count];
    const struct clfcn_gemm_variant *v = NULL;
    if (add_provider(t, impl, NULL, NULL) < 0) {
        return;
    }
    while (t->provider_count < CLFCN_MAX_GEMMS &&
           (v = clfcn_gemm_next_variant(impl, info, v))) {
        add_provider(t, impl, v, own);
    }
}

void clfcn_providers_open(struct clfcn_tuner *t)
{
    const bool all = t->config.gemm == CLFCN_GEMM_AUTO;
    const enum clfcn_gemm_kind usual =
        all ? clfcn_defaults_for(&t->config.dev->info).gemm : t->config.gemm;
    add_providers(t, usual);
    if (all && !t->config.same_bits) {
        add_providers(t, usual == CLFCN_GEMM_NATIVE ? CLFCN_GEMM_CLBLAST
                                                    : CLFCN_GEMM_NATIVE);
    }
}

void clfcn_providers_close(struct clfcn_tuner *t)
{
    for (int i = 0; i < t->provider_count; ++i) {
        clfcn_programs_destroy(&t->providers[i].programs);
        clfcn_gemm_destroy(&t->providers[i].gemm);
    }
}
