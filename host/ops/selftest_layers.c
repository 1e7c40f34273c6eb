/* selftest_layers.c - the self-test of the layers that are no convolutions: poolings,
 * norms, sums, and parts of a batch. */
#include "op_impl.h"
#include "selftest.h"
#include "verify.h"
#include <stdio.h>

enum { RUNS = 4 }; /* of each test, so that races show */

static int create_split(struct clfcn_op **out, struct clfcn_err *err)
{
    return clfcn_split_create(1, out, err);
}

/* As many images as all tensors' numbers of them divide. */
static int create_join(struct clfcn_op **out, struct clfcn_err *err)
{
    return clfcn_join_create(6, out, err);
}

static const struct layer {
    int (*create)(struct clfcn_op **out, struct clfcn_err *err);
    const char *pass;
    bool backward, inference, with_x2, mask_dx;
    int kinds; /* the first so many kinds of numbers: what is all alike has no variance */
} layers[] = {
    { clfcn_maxpool_create, "forward", .kinds = CLFCN_TRIAL_IMAGES },
    { clfcn_maxpool_create, "backward", .backward = true, .kinds = CLFCN_TRIAL_IMAGES },
    { clfcn_maxpool_create, "backward", .backward = true, .mask_dx = true, .kinds = 2 },
    { clfcn_batchnorm_create, "forward", .kinds = 2 },
    { clfcn_batchnorm_create, "forward", .with_x2 = true, .kinds = 2 },
    { clfcn_batchnorm_create, "forward", .inference = true, .kinds = 2 },
    { clfcn_batchnorm_create, "backward", .backward = true, .kinds = 2 },
    { clfcn_batchnorm_create, "backward", .backward = true, .mask_dx = true, .kinds = 2 },
    { clfcn_add_create, "forward", .with_x2 = true, .kinds = 2 },
    { clfcn_add_create, "backward", .with_x2 = true, .backward = true, .kinds = 2 },
    { create_split, "forward", .kinds = 2 },
    { create_split, "backward", .backward = true, .kinds = 2 },
    { create_join, "forward", .kinds = 2 },
    { create_join, "backward", .backward = true, .kinds = 2 },
};

/* A layer with everything but memory: its tests bring their own. */
struct stage {
    const struct clfcn_selftest *t;
    struct clfcn_programs *programs;
    struct clfcn_op *op;
    struct clfcn_tensor x, x2, y, dx, dy;
};

static int open_stage(struct stage *s, const struct layer *layer,
                      const struct clfcn_tensor *x, struct clfcn_err *err)
{
    const struct clfcn_op_env env = { .dev = s->t->dev, .training = true };
    struct clfcn_op_env with_programs = env;
    s->x = s->x2 = s->dx = *x;
    int rc = clfcn_programs_create(s->t->dev, &s->programs, err);
    if (rc == CLFCN_OK) {
        rc = layer->create(&s->op, err);
    }
    if (rc < 0) {
        return rc;
    }
    clfcn_op_set_name(s->op, "tested", NULL);
    s->op->x = &s->x;
    s->op->x2 = layer->with_x2 ? &s->x2 : NULL;
    s->op->y = &s->y;
    s->op->dx = &s->dx;
    s->op->dy = &s->dy;
    s->op->mask_dx = layer->mask_dx;
    with_programs.programs = s->programs;
    rc = s->op->impl->infer(s->op, &env, err);
    if (rc == CLFCN_OK) {
        rc = s->op->impl->prepare(s->op, &with_programs, err);
    }
    return rc < 0 ? rc : clfcn_programs_build(s->programs, err);
}

static void close_stage(struct stage *s)
{
    clfcn_programs_destroy(&s->programs);
    clfcn_op_destroy(&s->op);
}

static int run_stage(struct stage *s, const struct layer *layer,
                     const struct clfcn_verify_how *how, struct clfcn_finding *found,
                     struct clfcn_err *err)
{
    struct clfcn_op_run run = { .dev = s->t->dev, .training = !layer->inference };
    int rc = CLFCN_OK;
    if (s->op->scratch_bytes) {
        rc = clfcn_buffer_create(run.dev, s->op->scratch_bytes, "scratch", &run.scratch,
                                 err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_verify_op(s->op, &run, layer->backward, how, found, err);
    }
    clfcn_buffer_release(run.dev, &run.scratch);
    return rc;
}

static int test_layer(const struct clfcn_selftest *t, const struct layer *layer,
                      const struct clfcn_tensor *x, struct clfcn_certificate *out,
                      struct clfcn_err *err)
{
    struct stage s = { .t = t };
    struct clfcn_finding found = { .bound = CLFCN_SAMPLES_BOUND };
    struct clfcn_err why;
    char at[64];
    const int opened = open_stage(&s, layer, x, &why);
    const char *kind = s.op ? s.op->impl->kind : "layer";
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < layer->kinds; ++i) {
        const struct clfcn_verify_how how = { .data = (enum clfcn_trial_kind)i,
                                              .runs = RUNS };
        snprintf(at, sizeof(at), "%d channels, %d of %dx%d%s%s", x->c, x->n, x->w, x->h,
                 layer->inference ? ", inference" : "", i > 0 ? ", large" : "");
        rc = opened < 0 ? opened : run_stage(&s, layer, &how, &found, &why);
        rc = clfcn_selftest_note(t, &found, kind, layer->pass, at, rc, &why, out, err);
    }
    close_stage(&s);
    return rc;
}

int clfcn_selftest_layers(const struct clfcn_selftest *t, struct clfcn_certificate *out,
                          struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int i = 0; i < CLFCN_ARRAY_LEN(layers); ++i) {
        for (int j = 0; rc == CLFCN_OK && j < CLFCN_SELFTEST_TENSORS; ++j) {
            rc = test_layer(t, &layers[i], &clfcn_selftest_tensors[j], out, err);
        }
    }
    return rc;
}
