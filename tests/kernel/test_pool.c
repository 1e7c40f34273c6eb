/* test_pool.c - max pooling against its definition: it computes nothing, so bit for bit.
 */
#include "../../host/ops/ref.h"
#include "rig_op.h"
#include <math.h>
#include <stdlib.h>

struct pool_case {
    int c, n, h, w;
};

/* What the input looks like. */
enum content { NORMAL, FEW_VALUES, ALL_ZERO, ALL_NEGATIVE };

static void fill(struct rig *rig, struct vec *x, enum content content)
{
    vec_normal(rig, x, 0.0, 1.0);
    for (size_t i = 0; i < x->count; ++i) {
        switch (content) {
        case NORMAL:
            break;
        case FEW_VALUES:
            x->host[i] = clfcn_rng_below(&rig->rng, 3);
            break;
        case ALL_ZERO:
            x->host[i] = 0.0;
            break;
        case ALL_NEGATIVE:
            x->host[i] = (float)(-1.0 - fabs(x->host[i]));
            break;
        }
    }
}

static void cut_at_zero(struct vec *x)
{
    clfcn_ref_relu(x->count, x->host, x->host);
}

static bool masks_dx(void)
{
    struct clfcn_op *op = NULL;
    struct clfcn_err err;
    rig_ok(clfcn_maxpool_create(&op, &err), &err);
    const bool masks = op->impl->masks_dx;
    clfcn_op_destroy(&op);
    return masks;
}

static void check_backward(struct rig_op *t, const struct pool_case *c)
{
    double *want = doubles(t->x.count);
    vec_normal(t->rig, &t->dy, 0.0, 1.0);
    rig_op_backward(t);
    clfcn_ref_maxpool_backward(c->c * c->n, c->h, c->w, t->x.host, t->dy.host, want);
    rig_op_check_dx(t, want, NULL, TOLERANCE_EXACT);
    free(want);
}

static void check(struct rig *rig, const struct pool_case *c, enum content content,
                  const struct rig_use *use)
{
    struct rig_op t;
    struct clfcn_op *op = NULL;
    struct clfcn_err err;
    rig_ok(clfcn_maxpool_create(&op, &err), &err);
    rig_op_open(&t, rig, op, c->c, c->n, c->h, c->w, use);
    fill(rig, &t.x, content);
    if (use->mask_dx) {
        cut_at_zero(&t.x);
    }
    rig_op_forward(&t);
    double *want = doubles(t.y.count);
    clfcn_ref_maxpool(c->c * c->n, c->h, c->w, t.x.host, want);
    assert_close("y", t.y.host, want, t.y.count, TOLERANCE_EXACT);
    free(want);
    if (!use->inference) {
        check_backward(&t, c);
    }
    rig_op_close(&t);
}

static void test_shapes(void **state)
{
    static const struct pool_case cases[] = {
        { 1, 1, 2, 2 },  { 3, 1, 5, 7 },  { 2, 3, 4, 6 },    { 5, 1, 3, 2 },
        { 1, 3, 2, 33 }, { 7, 2, 17, 9 }, { 33, 1, 32, 34 }, { 2, 1, 6, 64 },
    };
    const struct rig *rig = *state;
    const int count = rig->small ? 3 : CLFCN_ARRAY_LEN(cases);
    for (int i = 0; i < count; ++i) {
        check(*state, &cases[i], NORMAL, &(struct rig_use){ 0 });
    }
}

static void test_ties(void **state)
{
    static const struct pool_case c = { 3, 2, 7, 38 };
    check(*state, &c, FEW_VALUES, &(struct rig_use){ 0 });
    check(*state, &c, ALL_ZERO, &(struct rig_use){ 0 });
    check(*state, &c, ALL_NEGATIVE, &(struct rig_use){ 0 });
}

static void test_uses(void **state)
{
    static const struct pool_case c = { 3, 3, 5, 37 };
    check(*state, &c, NORMAL, &(struct rig_use){ .inference = true });
    if (masks_dx()) {
        check(*state, &c, NORMAL, &(struct rig_use){ .mask_dx = true });
        check(*state, &c, FEW_VALUES, &(struct rig_use){ .mask_dx = true });
        check(*state, &c, ALL_ZERO, &(struct rig_use){ .mask_dx = true });
    }
}

static void test_nan_passes(void **state)
{
    enum { WIDTH = 36 }; /* the first window in a vector, the last by itself */
    static const int places[] = { 0,         1,         WIDTH,         WIDTH + 1,
                                  WIDTH - 2, WIDTH - 1, 2 * WIDTH - 2, 2 * WIDTH - 1 };
    for (int i = 0; i < CLFCN_ARRAY_LEN(places); ++i) {
        struct rig_op t;
        struct clfcn_op *op = NULL;
        struct clfcn_err err;
        rig_ok(clfcn_maxpool_create(&op, &err), &err);
        rig_op_open(&t, *state, op, 1, 1, 2, WIDTH,
                    &(struct rig_use){ .inference = true });
        vec_constant(&t.x, 1.0);
        t.x.host[places[i]] = NAN;
        rig_op_forward(&t);
        assert_true(isnan(t.y.host[places[i] % WIDTH / 2]));
        rig_op_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_shapes),
        RIG_TEST(test_ties),
        RIG_TEST(test_uses),
        RIG_TEST(test_nan_passes),
    };
    return RIG_RUN(tests);
}
