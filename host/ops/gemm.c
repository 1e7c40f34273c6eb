#include "gemm_impl.h"

#include "defaults.h"
#include <stdio.h>
#include <string.h>

/* Packed panels suit devices with wide vectors, which are CPUs; local memory suits the
 * others, and also a CPU runtime that compiles for single lanes. */
const struct clfcn_gemm_impl *clfcn_gemm_impl_of(const struct clfcn_device_info *info,
                                                 enum clfcn_gemm_kind kind)
{
    if (kind == CLFCN_GEMM_AUTO) {
        kind = clfcn_defaults_for(info).gemm;
    }
    if (kind == CLFCN_GEMM_CLBLAST) {
        return &clfcn_gemm_clblast;
    }
    return clfcn_wants_vectors(info) ? &clfcn_gemm_panels : &clfcn_gemm_tiled;
}

int clfcn_gemm_check_kind(const struct clfcn_device_info *info, enum clfcn_gemm_kind kind,
                          struct clfcn_err *err)
{
    if (kind != CLFCN_GEMM_CLBLAST || clfcn_suits_clblast(info)) {
        return CLFCN_OK;
    }
    return clfcn_err_set(err, CLFCN_EINVAL, 0,
                         "CLBlast needs larger work-groups than the %zu items of '%s': "
                         "take --gemm native",
                         info->max_work_group, info->name);
}

const struct clfcn_gemm_variant *
clfcn_gemm_next_variant(const struct clfcn_gemm_impl *impl,
                        const struct clfcn_device_info *info,
                        const struct clfcn_gemm_variant *v)
{
    v = v ? v + 1 : impl->variants;
    while (v->name && !impl->fits(v, info)) {
        ++v;
    }
    return v->name ? v : NULL;
}

void clfcn_gemm_name_of(const struct clfcn_gemm_impl *impl,
                        const struct clfcn_gemm_variant *variant,
                        char name[CLFCN_GEMM_NAME])
{
    snprintf(name, CLFCN_GEMM_NAME, "%s%s%s", impl->name, variant ? ":" : "",
             variant ? variant->name : "");
}

int clfcn_gemm_create_by(const struct clfcn_gemm_impl *impl,
                         const struct clfcn_gemm_variant *variant, struct clfcn_dev *dev,
                         struct clfcn_programs *programs, struct clfcn_gemm **out,
                         struct clfcn_err *err)
{
    const int rc = impl->create(dev, programs, variant, out, err);
    if (rc == CLFCN_OK) {
        (*out)->impl = impl;
        (*out)->dev = dev;
        clfcn_gemm_name_of(impl, variant, (*out)->name);
    }
    return rc;
}

int clfcn_gemm_create(struct clfcn_dev *dev, struct clfcn_programs *programs,
                      enum clfcn_gemm_kind kind, struct clfcn_gemm **out,
                      struct clfcn_err *err)
{
    return clfcn_gemm_create_by(clfcn_gemm_impl_of(&dev->info, kind), NULL, dev, programs,
                                out, err);
}

void clfcn_gemm_destroy(struct clfcn_gemm **gemm)
{
    if (*gemm) {
        (*gemm)->impl->finish(*gemm);
        *gemm = NULL;
    }
}

int clfcn_gemm_count(const struct clfcn_gemm_call *call)
{
    return call->batch.count > 1 ? call->batch.count : 1;
}

struct clfcn_gemm_call clfcn_gemm_at(const struct clfcn_gemm_call *call, int index)
{
    struct clfcn_gemm_call one = *call;
    one.a.offset += (size_t)index * call->batch.stride_a;
    one.b.offset += (size_t)index * call->batch.stride_b;
    one.c.offset += (size_t)index * call->batch.stride_c;
    one.batch.count = 1;
    return one;
}

int clfcn_gemm_make_plan(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
                         struct clfcn_gemm_plan *out, struct clfcn_err *err)
{
    *out = (struct clfcn_gemm_plan){ 0 };
    return g->impl->plan(g, call, out, err);
}

int clfcn_gemm_run(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
                   cl_mem scratch, struct clfcn_err *err)
{
    const int rc = g->impl->run(g, call, scratch, err);
    if (rc < 0) {
        clfcn_err_note(err, "%s GEMM of %dx%dx%d", g->name, call->m, call->n, call->k);
    }
    return rc;
}

/* The one of this provider and variant, made if it is not there yet. */
static int get(struct clfcn_gemms *gemms, const struct clfcn_gemm_impl *impl,
               const struct clfcn_gemm_variant *variant, const struct clfcn_gemm **out,
               struct clfcn_err *err)
{
    char name[CLFCN_GEMM_NAME];
    clfcn_gemm_name_of(impl, variant, name);
    for (int i = 0; i < gemms->count; ++i) {
        if (strcmp(gemms->list[i]->name, name) == 0) {
            *out = gemms->list[i];
            return CLFCN_OK;
        }
    }
    *out = NULL;
    if (gemms->count == CLFCN_MAX_GEMMS) {
        return CLFCN_OK;
    }
    struct clfcn_gemm **made = &gemms->list[gemms->count];
    const int rc =
        clfcn_gemm_create_by(impl, variant, gemms->dev, gemms->programs, made, err);
    if (rc == CLFCN_OK) {
        *out = *made;
        ++gemms->count;
    }
    return rc;
}

int clfcn_gemms_default(struct clfcn_gemms *gemms, const struct clfcn_gemm **out,
                        struct clfcn_err *err)
{
    return get(gemms, clfcn_gemm_impl_of(&gemms->dev->info, gemms->kind), NULL, out, err);
}

int clfcn_gemms_find(struct clfcn_gemms *gemms, const char *name,
                     const struct clfcn_gemm **out, struct clfcn_err *err)
{
    static const enum clfcn_gemm_kind kinds[] = { CLFCN_GEMM_NATIVE, CLFCN_GEMM_CLBLAST };
    const struct clfcn_device_info *info = &gemms->dev->info;
    *out = NULL;
    for (int i = 0; i < CLFCN_ARRAY_LEN(kinds); ++i) {
        const struct clfcn_gemm_impl *impl = clfcn_gemm_impl_of(info, kinds[i]);
        const struct clfcn_gemm_variant *v = NULL;
        bool wanted = gemms->kind == CLFCN_GEMM_AUTO
                          ? clfcn_gemm_check_kind(info, kinds[i], NULL) == CLFCN_OK
                          : gemms->kind == kinds[i];
        for (; wanted; wanted = (v = clfcn_gemm_next_variant(impl, info, v)) != NULL) {
            char candidate[CLFCN_GEMM_NAME];
            clfcn_gemm_name_of(impl, v, candidate);
            if (strcmp(candidate, name) == 0) {
                return get(gemms, impl, v, out, err);
            }
        }
    }
    return CLFCN_OK;
}

void clfcn_gemms_destroy(struct clfcn_gemms *gemms)
{
    for (int i = 0; i < gemms->count; ++i) {
        clfcn_gemm_destroy(&gemms->list[i]);
    }
    gemms->count = 0;
}
