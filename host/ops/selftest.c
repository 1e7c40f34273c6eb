#include "selftest.h"

#include "../util/flag.h"
#include "gemm.h"
#include "verify.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 4 }; /* of each test, so that races show */

const struct clfcn_tensor clfcn_selftest_tensors[CLFCN_SELFTEST_TENSORS] = {
    { 5, 3, 6, 10, NULL },
    { 1, 1, 2, 2, NULL },
    { 7, 2, 5, 9, NULL },
    { 2, 1, 130, 66, NULL }
};

/* Sides and channels that are no multiple of anything, single pixels, columns in several
 * slices (bytes of columns at a time, 0: as usual). */
static const struct {
    struct clfcn_conv_shape shape;
    size_t columns;
} shapes[] = {
    { { 5, 7, 3, 2, 9, 11, false }, 0 },     { { 5, 7, 3, 2, 9, 11, false }, 4 << 10 },
    { { 7, 5, 3, 2, 6, 10, false }, 0 },     { { 1, 1, 3, 1, 1, 1, false }, 0 },
    { { 33, 18, 3, 1, 6, 5, false }, 0 },    { { 3, 16, 3, 3, 16, 1, false }, 0 },
    { { 8, 3, 1, 1, 6, 5, false }, 0 },      { { 17, 31, 1, 3, 1, 7, false }, 0 },
    { { 3, 16, 5, 1, 8, 8, false }, 0 },     { { 6, 5, 3, 2, 4, 7, true }, 0 },
    { { 6, 5, 3, 2, 4, 7, true }, 4 << 10 }, { { 1, 3, 3, 1, 1, 1, true }, 0 },
    { { 19, 33, 3, 1, 5, 3, true }, 0 },
};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

/* One algorithm in one variant with one provider for one pass, on one shape or on all
 * that are awkward. */
struct candidate {
    const struct clfcn_selftest *t;
    const struct clfcn_conv_impl *impl;
    const struct clfcn_conv_variant *variant;
    const struct clfcn_gemm_impl *gemm_impl; /* NULL: it uses none */
    const struct clfcn_gemm_variant *gemm_variant;
    const struct clfcn_conv_shape *shape; /* NULL: all that are awkward */
    enum clfcn_pass pass;
    bool inference; /* planned for it, with what it absorbs then */
    char name[CLFCN_CONV_NAME];
    struct clfcn_programs *programs;
    struct clfcn_gemm *gemm;
    struct clfcn_conv *list[SHAPES];
    int count;
};

int clfcn_selftest_note(const struct clfcn_selftest *t, struct clfcn_finding *found,
                        const char *subject, const char *pass, const char *at, int rc,
                        const struct clfcn_err *why, struct clfcn_certificate *out,
                        struct clfcn_err *err)
{
    if (clfcn_flag_is_set(t->stop)) {
        return clfcn_err_set(err, CLFCN_EINTR, 0, "interrupted");
    }
    if (rc == CLFCN_EDEVMEM || rc == CLFCN_ENOMEM) {
        return CLFCN_OK;
    }
    if (rc < 0) {
        *found = (struct clfcn_finding){ .tests = 1, .bound = found->bound };
        found->error = NAN;
        snprintf(found->why, sizeof(found->why), "%.150s", why->msg);
    }
    snprintf(found->subject, sizeof(found->subject), "%s", subject);
    snprintf(found->pass, sizeof(found->pass), "%s", pass);
    snprintf(found->at, sizeof(found->at), "%s", at);
    return clfcn_certificate_add(out, found, err);
}

static void describe(const struct clfcn_conv_shape *s, const struct clfcn_verify_how *how,
                     char at[64])
{
    static const char *const kinds[] = { "", ", large", ", all alike" };
    static const char *const afters[] = { "", ", pooled", ", normed" };
    snprintf(at, 64, "%d to %d, %dx%d, %d of %dx%d%s%s", s->in, s->out, s->kernel,
             s->kernel, s->n, s->w, s->h, kinds[how->data], afters[how->after]);
}

static struct clfcn_op_env env_of(const struct candidate *c, size_t columns)
{
    const struct clfcn_selftest *t = c->t;
    return (struct clfcn_op_env){ .dev = t->dev,
                                  .programs = c->programs,
                                  .gemm_kind = t->gemm,
                                  .columns_limit = columns ? columns : t->columns_limit,
                                  .workspace_limit = t->workspace_limit,
                                  .training = !c->inference };
}

/* Plan for a shape, if the algorithm fits it. */
static int plan(struct candidate *c, const struct clfcn_conv_shape *shape, size_t columns,
                struct clfcn_err *err)
{
    const struct clfcn_op_env env = env_of(c, columns);
    struct clfcn_conv **cv = &c->list[c->count];
    if (!c->impl->fits(shape, c->pass, &env)) {
        return CLFCN_OK;
    }
    int rc =
        clfcn_conv_create_by(c->impl, c->variant, c->gemm, shape, c->pass, &env, cv, err);
    c->count += rc == CLFCN_OK;
    return rc < 0 ? rc : c->impl->prepare(*cv, &env, err);
}

/* Make all that is needed, kernels included. */
static int open_candidate(struct candidate *c, struct clfcn_err *err)
{
    int rc = clfcn_programs_create(c->t->dev, &c->programs, err);
    if (rc == CLFCN_OK && c->gemm_impl) {
        rc = clfcn_gemm_create_by(c->gemm_impl, c->gemm_variant, c->t->dev, c->programs,
                                  &c->gemm, err);
    }
    if (rc == CLFCN_OK && c->shape) {
        rc = plan(c, c->shape, 0, err);
    }
    for (int i = 0; rc == CLFCN_OK && !c->shape && i < SHAPES; ++i) {
        rc = plan(c, &shapes[i].shape, shapes[i].columns, err);
    }
    return rc < 0 ? rc : clfcn_programs_build(c->programs, err);
}

static void close_candidate(struct candidate *c)
{
    clFinish(c->t->dev->compute);
    clfcn_programs_destroy(&c->programs); /* releases kernels inside the next two */
    clfcn_gemm_destroy(&c->gemm);
    for (int i = 0; i < c->count; ++i) {
        clfcn_conv_destroy(&c->list[i]);
    }
    c->count = 0;
}

/* Run on one shape, in workspace of exactly the size asked for. */
static int verify(struct candidate *c, struct clfcn_conv *cv,
                  const struct clfcn_verify_how *how, struct clfcn_finding *found,
                  struct clfcn_err *err)
{
    struct clfcn_trial_array columns = { 0 }, scratch = { 0 };
    struct clfcn_dev *dev = c->t->dev;
    int rc = clfcn_trial_array_open(dev, &columns, "columns",
                                    cv->columns_bytes / sizeof(float), NULL, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_trial_array_open(dev, &scratch, "scratch",
                                    cv->scratch_bytes / sizeof(float), NULL, err);
    }
    const struct clfcn_op_run run = {
        .dev = dev, .training = true, .columns = columns.mem, .scratch = scratch.mem
    };
    if (rc == CLFCN_OK) {
        rc = clfcn_verify_conv(cv, &run, how, found, err);
    }
    if (rc == CLFCN_OK && columns.mem) {
        rc = clfcn_trial_array_read(dev, &columns, err);
    }
    if (rc == CLFCN_OK && scratch.mem) {
        rc = clfcn_trial_array_read(dev, &scratch, err);
    }
    if (rc == CLFCN_OK && found->correct && (columns.overrun || scratch.overrun)) {
        found->correct = false;
        snprintf(found->why, sizeof(found->why), "writes past the end of its workspace");
    }
    clfcn_trial_array_close(dev, &columns);
    clfcn_trial_array_close(dev, &scratch);
    return rc;
}

static bool can_absorb(const struct clfcn_conv_shape *s, enum clfcn_verify_after after)
{
    return after != CLFCN_AFTER_POOL ||
           (!s->transposed && s->h % 2 == 0 && s->w % 2 == 0);
}

/* With each kind of numbers; or, in inference, with each thing that can be absorbed. */
static int test_shape(struct candidate *c, struct clfcn_conv *cv,
                      struct clfcn_certificate *out, struct clfcn_err *err)
{
    const int kinds = c->shape || c->inference ? 1 : CLFCN_TRIAL_IMAGES;
    const int afters = c->inference ? CLFCN_AFTERS : 1;
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < kinds * afters; ++i) {
        const struct clfcn_verify_how how = { .data = (enum clfcn_trial_kind)(i % kinds),
                                              .runs = RUNS,
                                              .after =
                                                  (enum clfcn_verify_after)(i / kinds) };
        struct clfcn_finding found = { .bound = CLFCN_SAMPLES_BOUND };
        struct clfcn_err why;
        char at[64];
        if (!can_absorb(&cv->shape, how.after)) {
            continue;
        }
        describe(&cv->shape, &how, at);
        rc = verify(c, cv, &how, &found, &why);
        rc = clfcn_selftest_note(c->t, &found, c->name, clfcn_pass_name(c->pass), at, rc,
                                 &why, out, err);
    }
    return rc;
}

static int test_candidate(struct candidate *c, struct clfcn_certificate *out,
                          struct clfcn_err *err)
{
    const char *pass = clfcn_pass_name(c->pass);
    struct clfcn_finding found = { .bound = CLFCN_SAMPLES_BOUND };
    struct clfcn_err why;
    int rc = open_candidate(c, &why);
    if (rc < 0) {
        rc = clfcn_selftest_note(c->t, &found, c->name, pass, "building", rc, &why, out,
                                 err);
    }
    for (int i = 0; rc == CLFCN_OK && i < c->count; ++i) {
        rc = test_shape(c, c->list[i], out, err);
    }
    close_candidate(c);
    return rc;
}

/* Every provider in every variant, if the algorithm uses one. */
static int test_providers(struct candidate *c, struct clfcn_certificate *out,
                          struct clfcn_err *err)
{
    static const enum clfcn_gemm_kind kinds[] = { CLFCN_GEMM_NATIVE, CLFCN_GEMM_CLBLAST };
    const struct clfcn_device_info *info = &c->t->dev->info;
    int rc = CLFCN_OK;
    for (int k = 0; k < CLFCN_ARRAY_LEN(kinds); ++k) {
        const struct clfcn_gemm_impl *gemm = clfcn_gemm_impl_of(info, kinds[k]);
        const struct clfcn_gemm_variant *v = NULL;
        bool more = c->t->gemm == CLFCN_GEMM_AUTO
                        ? clfcn_gemm_check_kind(info, kinds[k], NULL) == CLFCN_OK
                        : c->t->gemm == kinds[k];
        for (; rc == CLFCN_OK && more;
             more = (v = clfcn_gemm_next_variant(gemm, info, v)) != NULL) {
            struct candidate one = *c;
            char name[CLFCN_GEMM_NAME];
            clfcn_gemm_name_of(gemm, v, name);
            clfcn_conv_impl_name(c->impl, c->variant, name, one.name);
            one.gemm_impl = gemm;
            one.gemm_variant = v;
            rc = test_candidate(&one, out, err);
        }
    }
    return rc;
}

/* Every variant of an algorithm. */
static int test_impl(struct candidate *c, struct clfcn_certificate *out,
                     struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    if (c->t->progress) {
        c->t->progress(c->t->user, c->impl->name);
    }
    do {
        clfcn_conv_impl_name(c->impl, c->variant, "", c->name);
        rc = c->impl->uses_gemm ? test_providers(c, out, err)
                                : test_candidate(c, out, err);
        c->inference = c->impl->absorbs && c->pass == CLFCN_PASS_FORWARD && !c->shape;
        if (rc == CLFCN_OK && c->inference) {
            rc = test_candidate(c, out, err);
        }
        c->inference = false;
    } while (rc == CLFCN_OK &&
             (c->variant = clfcn_conv_next_variant(c->impl, c->variant)));
    return rc;
}

int clfcn_selftest_run(const struct clfcn_selftest *t, struct clfcn_certificate *out,
                       struct clfcn_err *err)
{
    int rc = clfcn_gemm_check_kind(&t->dev->info, t->gemm, err);
    for (int i = 0; rc == CLFCN_OK && t->impls[i]; ++i) {
        for (int p = 0; rc == CLFCN_OK && p < CLFCN_PASS_COUNT; ++p) {
            struct candidate c = { .t = t,
                                   .impl = t->impls[i],
                                   .pass = (enum clfcn_pass)p };
            rc = test_impl(&c, out, err);
        }
    }
    if (rc == CLFCN_OK && t->progress) {
        t->progress(t->user, "layers, losses, optimisers");
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_selftest_layers(t, out, err);
    }
    return rc < 0 ? rc : clfcn_selftest_kernels(t, out, err);
}

int clfcn_selftest_shape(const struct clfcn_selftest *t,
                         const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                         struct clfcn_certificate *out, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && t->impls[i]; ++i) {
        struct candidate c = {
            .t = t, .impl = t->impls[i], .shape = shape, .pass = pass
        };
        rc = test_impl(&c, out, err);
    }
    return rc;
}
