/* test_add.c - the sum of two tensors. */
#include "../../host/ops/ref.h"
#include "rig_op.h"
#include <stdlib.h>

struct add_case {
    int c, n, h, w;
};

static bool masks_dx(void)
{
    struct clfcn_op *op = NULL;
    struct clfcn_err err;
    rig_ok(clfcn_add_create(&op, &err), &err);
    const bool masks = op->impl->masks_dx;
    clfcn_op_destroy(&op);
    return masks;
}

static void check_forward(struct rig_op *t)
{
    rig_op_forward(t);
    double *want = doubles(t->y.count);
    for (size_t i = 0; i < t->y.count; ++i) {
        want[i] = t->x.host[i] + t->x2.host[i];
    }
    assert_close("y", t->y.host, want, t->y.count, TOLERANCE_POINT);
    free(want);
}

static void check_backward(struct rig_op *t)
{
    vec_normal(t->rig, &t->dy, 0.0, 1.0);
    double *want = vec_copy(&t->dy), *dy = vec_copy(&t->dy);
    rig_op_backward(t);
    rig_op_check_dx(t, want, NULL, TOLERANCE_POINT);

    /* dy is also the gradient of x2, so it must come out as it went in. */
    vec_download(t->rig, &t->dy);
    assert_close("dy", t->dy.host, dy, t->dy.count, TOLERANCE_EXACT);
    free(want);
    free(dy);
}

static void check(struct rig *rig, const struct add_case *c, struct rig_use use)
{
    struct rig_op t;
    struct clfcn_op *op = NULL;
    struct clfcn_err err;
    use.with_x2 = true;
    rig_ok(clfcn_add_create(&op, &err), &err);
    rig_op_open(&t, rig, op, c->c, c->n, c->h, c->w, &use);
    rig_op_fill(&t);
    check_forward(&t);
    if (!use.inference) {
        check_backward(&t);
    }
    rig_op_close(&t);
}

static void test_shapes(void **state)
{
    static const struct add_case cases[] = {
        { 1, 1, 1, 1 },   { 3, 3, 5, 7 },    { 2, 1, 1, 8 },
        { 7, 1, 31, 33 }, { 64, 2, 10, 10 },
    };
    const struct rig *rig = *state;
    const int count = rig->small ? 2 : CLFCN_ARRAY_LEN(cases);
    for (int i = 0; i < count; ++i) {
        check(*state, &cases[i], (struct rig_use){ 0 });
    }
}

static void test_uses(void **state)
{
    static const struct add_case c = { 3, 3, 5, 7 };
    check(*state, &c, (struct rig_use){ .inference = true });
    if (masks_dx()) {
        check(*state, &c, (struct rig_use){ .mask_dx = true });
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_shapes),
        RIG_TEST(test_uses),
    };
    return RIG_RUN(tests);
}
