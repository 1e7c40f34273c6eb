/* test_batchnorm.c - batch normalisation, alone and with an addition behind it. */
#include "../../host/ops/ref.h"
#include "rig_op.h"
#include <math.h>
#include <stdlib.h>

enum { GAMMA, BETA, RUNNING_MEAN, RUNNING_VAR };

struct norm_case {
    int c, n, h, w;
    double mean, deviation; /* of x */
    double drift; /* by which the mean rises from the start of a row to its end */
    struct tolerance forward, backward;
};

static bool masks_dx(void)
{
    struct clfcn_op *op = NULL;
    struct clfcn_err err;
    rig_ok(clfcn_batchnorm_create(&op, &err), &err);
    const bool masks = op->impl->masks_dx;
    clfcn_op_destroy(&op);
    return masks;
}

static void fill(struct rig_op *t, const struct norm_case *c)
{
    const size_t row = clfcn_tensor_row(&t->tx);
    vec_normal(t->rig, &t->x, c->mean, c->deviation);
    for (size_t i = 0; i < t->x.count; ++i) {
        t->x.host[i] = (float)(t->x.host[i] + c->drift * (double)(i % row) / (double)row);
    }
    vec_normal(t->rig, &t->x2, 0.0, 1.0);
    if (t->use.mask_dx) {
        clfcn_ref_relu(t->x.count, t->x.host, t->x.host);
    }
    vec_normal(t->rig, &t->value[GAMMA], 1.0, 0.5);
    vec_normal(t->rig, &t->value[BETA], 0.0, 1.0);
    vec_normal(t->rig, &t->value[RUNNING_MEAN], c->mean, c->deviation);
    vec_constant(&t->value[RUNNING_VAR], 1.5 * c->deviation * c->deviation);
}

/* before: the parameters as they were, since forward updates the running statistics. */
static void check_forward(struct rig_op *t, const struct norm_case *c, double *before[4])
{
    const size_t row = clfcn_tensor_row(&t->tx);
    double *want = doubles(t->y.count);
    if (t->use.inference) {
        clfcn_ref_batchnorm_eval(c->c, row, t->x.host, before[GAMMA], before[BETA],
                                 before[RUNNING_MEAN], before[RUNNING_VAR], want);
    } else {
        clfcn_ref_batchnorm(c->c, row, t->x.host, before[GAMMA], before[BETA],
                            before[RUNNING_MEAN], before[RUNNING_VAR], want);
    }
    for (size_t i = 0; t->use.with_x2 && i < t->y.count; ++i) {
        want[i] += t->x2.host[i];
    }
    assert_close("y", t->y.host, want, t->y.count, c->forward);
    for (int i = 0; i < 4; ++i) {
        const bool updated = !t->use.inference && (i == RUNNING_MEAN || i == RUNNING_VAR);
        assert_close(t->value[i].name, t->value[i].host, before[i], t->value[i].count,
                     updated ? c->forward : TOLERANCE_EXACT);
    }
    free(want);
}

static void forward(struct rig_op *t, const struct norm_case *c)
{
    double *before[4];
    for (int i = 0; i < 4; ++i) {
        before[i] = vec_copy(&t->value[i]);
    }
    rig_op_forward(t);
    check_forward(t, c, before);
    for (int i = 0; i < 4; ++i) {
        free(before[i]);
    }
}

static void backward(struct rig_op *t, const struct norm_case *c)
{
    vec_normal(t->rig, &t->dy, 0.3, 1.0);
    double *dx = doubles(t->x.count), *dy = vec_copy(&t->dy);
    double *dgamma = doubles((size_t)c->c), *dbeta = doubles((size_t)c->c);
    rig_op_backward(t);
    clfcn_ref_batchnorm_backward(c->c, clfcn_tensor_row(&t->tx), t->x.host,
                                 t->value[GAMMA].host, t->dy.host, dx, dgamma, dbeta);
    rig_op_check_dx(t, dx, NULL, c->backward);
    assert_close("weight gradient", t->grad[GAMMA].host, dgamma, t->grad[GAMMA].count,
                 c->backward);
    assert_close("bias gradient", t->grad[BETA].host, dbeta, t->grad[BETA].count,
                 c->backward);
    /* dy is also the gradient of what was added, so it must come out as it went in. */
    vec_download(t->rig, &t->dy);
    assert_close("dy", t->dy.host, dy, t->dy.count, TOLERANCE_EXACT);
    free(dx);
    free(dy);
    free(dgamma);
    free(dbeta);
}

static void check(struct rig *rig, const struct norm_case *c, const struct rig_use *use)
{
    struct rig_op t;
    struct clfcn_op *op = NULL;
    struct clfcn_err err;
    rig_ok(clfcn_batchnorm_create(&op, &err), &err);
    rig_op_open(&t, rig, op, c->c, c->n, c->h, c->w, use);
    fill(&t, c);
    forward(&t, c);
    if (!use->inference) {
        backward(&t, c);
    }
    rig_op_close(&t);
}

#define USUAL      \
    {              \
        2e-5, 2e-4 \
    }

static void test_shapes(void **state)
{
    static const struct norm_case cases[] = {
        { 3, 3, 5, 7, 0.5, 2.0, 0.0, USUAL, USUAL },
        { 1, 1, 1, 3, 0.0, 1.0, 0.0, USUAL, USUAL },
        { 5, 1, 4, 5, -1.0, 0.5, 0.0, USUAL, USUAL },
        { 65, 2, 3, 3, 0.0, 1.0, 0.0, USUAL, USUAL },
        { 2, 3, 33, 35, 0.1, 1.0, 0.0, USUAL, USUAL },
        { 1, 1, 97, 101, 0.0, 3.0, 0.0, USUAL, USUAL },
        { 3, 4, 80, 81, 0.2, 1.0, 0.0, USUAL, USUAL },
        { 2, 2, 90, 91, 0.0, 1.0, 9.0, USUAL, { 1e-4, 1e-3 } },
    };
    const struct rig *rig = *state;
    const int count = rig->small ? 3 : CLFCN_ARRAY_LEN(cases);
    for (int i = 0; i < count; ++i) {
        check(*state, &cases[i], &(struct rig_use){ 0 });
    }
}

/* Two values a row: normalised they are +1 and -1, and all but 1e-5 of the gradient
 * cancels. */
static void test_row_of_two(void **state)
{
    static const struct norm_case c = {
        4, 2, 1, 1, 0.0, 1.0, 0.0, { 2e-5, 2e-4 }, { 2e-2, 1e-1 }
    };
    check(*state, &c, &(struct rig_use){ 0 });
}

/* A variance computed as E[x^2] - E[x]^2 in single precision has no digit left here, and
 * a plain sum of 1000 such values loses four bits of the mean. What remains is the
 * rounding of the mean, 3e-5, which the gradient of gamma multiplies by the sum of dy. */
static void test_large_mean(void **state)
{
    static const struct norm_case cases[] = {
        { 3, 2, 31, 17, 1000.0, 1.0, 0.0, { 4e-5, 4e-4 }, { 5e-3, 5e-2 } },
        { 2, 2, 90, 91, 1000.0, 1.0, 0.0, { 4e-5, 4e-4 }, { 5e-3, 5e-2 } },
    };
    const struct rig *rig = *state;
    const int count = rig->small ? 1 : CLFCN_ARRAY_LEN(cases);
    for (int i = 0; i < count; ++i) {
        check(*state, &cases[i], &(struct rig_use){ 0 });
    }
}

static void test_uses(void **state)
{
    static const struct norm_case c = { 3, 3, 5, 9, 0.5, 2.0, 0.0, USUAL, USUAL };
    static const struct rig_use uses[] = {
        { .inference = true }, { .inference = true, .with_x2 = true },
        { .with_x2 = true },   { .with_x2 = true, .mask_dx = true },
        { .mask_dx = true },   { .no_dx = true },
    };
    const bool may_mask = masks_dx();
    for (int i = 0; i < CLFCN_ARRAY_LEN(uses); ++i) {
        if (!uses[i].mask_dx || may_mask) {
            check(*state, &c, &uses[i]);
        }
    }
}

/* A channel that is constant has variance 0: eps alone keeps it finite. */
static void test_constant_channel(void **state)
{
    static const struct norm_case c = { 2, 1, 4, 6, 0.0, 1.0, 0.0, USUAL, USUAL };
    struct rig *rig = *state;
    struct rig_op t;
    struct clfcn_op *op = NULL;
    struct clfcn_err err;
    rig_ok(clfcn_batchnorm_create(&op, &err), &err);
    rig_op_open(&t, rig, op, c.c, c.n, c.h, c.w, &(struct rig_use){ 0 });
    fill(&t, &c);
    vec_constant(&t.x, 0.25);
    forward(&t, &c);
    rig_op_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_shapes), RIG_TEST(test_row_of_two),       RIG_TEST(test_large_mean),
        RIG_TEST(test_uses),   RIG_TEST(test_constant_channel),
    };
    return RIG_RUN(tests);
}
