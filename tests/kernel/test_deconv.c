/* test_deconv.c - transposed convolution with ReLU, forward and backward, against its
 * definition. */
#include "../../host/ops/conv.h"
#include "../../host/ops/ref.h"
#include "rig_op.h"
#include <math.h>
#include <stdlib.h>

struct deconv_case {
    int in_c, out_c, n, h, w;
};

static struct clfcn_ref_conv reference_shape(const struct deconv_case *c)
{
    return (struct clfcn_ref_conv){ .n = c->n,
                                    .in_c = c->in_c,
                                    .in_h = c->h,
                                    .in_w = c->w,
                                    .out_c = c->out_c,
                                    .kernel = 3,
                                    .stride = 2,
                                    .pad = 1,
                                    .out_pad = 1 };
}

static void check_forward(struct rig_op *t, const struct deconv_case *c)
{
    const struct clfcn_ref_conv s = reference_shape(c);
    assert_int_equal(t->ty.h, 2 * c->h);
    assert_int_equal(t->ty.w, 2 * c->w);
    double *want = doubles(t->y.count);
    clfcn_ref_deconv2d(&s, t->x.host, t->value[0].host, t->value[1].host, want);
    clfcn_ref_relu(t->y.count, want, want);
    assert_close("y", t->y.host, want, t->y.count, TOLERANCE_SUM);
    free(want);
}

/* dy is masked with the device's own y: see test_conv.c. */
static void check_backward(struct rig_op *t, const struct deconv_case *c,
                           const double *share)
{
    const struct clfcn_ref_conv s = reference_shape(c);
    double *dx = doubles(t->x.count), *masked = doubles(t->dy.count);
    double *dw = doubles(t->value[0].count), *db = doubles(t->value[1].count);
    clfcn_ref_relu_backward(t->dy.count, t->y.host, t->dy.host, masked);
    clfcn_ref_deconv2d_backward(&s, t->x.host, t->value[0].host, masked, dx, dw, db);
    rig_op_check_dx(t, dx, share, TOLERANCE_SUM);
    assert_close("weight gradient", t->grad[0].host, dw, t->grad[0].count, TOLERANCE_SUM);
    assert_close("bias gradient", t->grad[1].host, db, t->grad[1].count, TOLERANCE_SUM);
    free(dx);
    free(masked);
    free(dw);
    free(db);
}

static struct clfcn_op *create_deconv(const struct deconv_case *c)
{
    struct clfcn_op *op = NULL;
    struct clfcn_err err;
    rig_ok(clfcn_deconv2d_create(c->out_c, &op, &err), &err);
    return op;
}

static bool masks_dx(void)
{
    struct clfcn_op *op = create_deconv(&(struct deconv_case){ .out_c = 1 });
    const bool masks = op->impl->masks_dx;
    clfcn_op_destroy(&op);
    return masks;
}

/* Bytes of the columns of the whole batch. */
static size_t whole_columns(const struct deconv_case *c)
{
    return (size_t)c->out_c * 9 * c->n * c->h * c->w * sizeof(float);
}

static void check_one(struct rig *rig, const struct deconv_case *c,
                      const struct rig_use *use)
{
    struct rig_op t;
    rig_op_open(&t, rig, create_deconv(c), c->in_c, c->n, c->h, c->w, use);
    if (use->conv && !rig_op_uses(&t, use->conv)) {
        rig_op_close(&t);
        return;
    }
    if (use->columns_limit > 0) {
        assert_true(t.op->columns_bytes < whole_columns(c));
    }
    rig_op_fill(&t);
    rig_op_forward(&t);
    check_forward(&t, c);
    if (!use->inference) {
        vec_normal(rig, &t.dy, 0.0, 1.0);
        vec_normal(rig, &t.dx, 0.0, 1.0);
        if (use->dy_masked) {
            clfcn_ref_relu_backward(t.dy.count, t.y.host, t.dy.host, t.dy.host);
        }
        double *share = vec_copy(&t.dx);
        rig_op_backward(&t);
        check_backward(&t, c, use->dx_add ? share : NULL);
        free(share);
    }
    rig_op_close(&t);
}

/* By every algorithm, or by the one that use names. */
static void check(struct rig *rig, const struct deconv_case *c, const struct rig_use *use)
{
    for (int i = 0; !use->conv && clfcn_conv_impls[i]; ++i) {
        struct rig_use by = *use;
        by.conv = clfcn_conv_impls[i];
        check_one(rig, c, &by);
    }
    if (use->conv) {
        check_one(rig, c, use);
    }
}

static const struct deconv_case odd = { 3, 4, 3, 3, 5 };

static void test_small_shapes(void **state)
{
    struct rig *rig = *state;
    static const struct deconv_case tiny = { 1, 1, 1, 1, 1 };
    static const struct deconv_case lanes = { 17, 16, 1, 3, 10 }; /* whole vectors */
    check(*state, &tiny, &(struct rig_use){ 0 });
    check(*state, &odd, &(struct rig_use){ 0 });
    if (!rig->small || rig_has_vectors(rig)) {
        check(rig, &lanes, &(struct rig_use){ 0 });
    }
}

static void test_shapes(void **state)
{
    static const struct deconv_case cases[] = {
        { 5, 2, 3, 1, 1 },   { 2, 3, 1, 1, 7 },     { 2, 3, 1, 6, 1 },
        { 33, 17, 1, 4, 6 }, { 16, 65, 3, 5, 5 },   { 7, 32, 1, 10, 14 },
        { 1, 1, 1, 9, 23 },  { 20, 36, 2, 22, 18 },
    };
    struct rig *rig = *state;
    if (rig->small) {
        return;
    }
    for (int i = 0; i < CLFCN_ARRAY_LEN(cases); ++i) {
        check(rig, &cases[i], &(struct rig_use){ 0 });
    }
}

static void test_uses(void **state)
{
    static const struct rig_use uses[] = {
        { .dy_masked = true }, { .dx_add = true },
        { .mask_dx = true },   { .no_dx = true },
        { .frozen = true },    { .frozen = true, .dx_add = true, .mask_dx = true },
        { .inference = true },
    };
    const bool may_mask = masks_dx();
    for (int i = 0; i < CLFCN_ARRAY_LEN(uses); ++i) {
        if (!uses[i].mask_dx || may_mask) {
            check(*state, &odd, &uses[i]);
        }
    }
}

/* Every choice of parameters, on tiles for several blocks, and on channels for several
 * spans of them. */
static void test_variants(void **state)
{
    static const struct deconv_case cases[] = { { 3, 5, 1, 10, 11 },
                                                { 17, 20, 2, 18, 12 },
                                                { 269, 262, 1, 4, 6 } };
    struct rig *rig = *state;
    const int count = rig->small ? 1 : CLFCN_ARRAY_LEN(cases);
    for (int i = 0; clfcn_conv_impls[i]; ++i) {
        const struct clfcn_conv_impl *impl = clfcn_conv_impls[i];
        const struct clfcn_conv_variant *v = NULL;
        while ((v = clfcn_conv_next_variant(impl, v))) {
            for (int c = 0; c < count; ++c) {
                check(rig, &cases[c], &(struct rig_use){ .conv = impl, .variant = v });
            }
        }
    }
}

/* With the batch norm after it, by what can do both. */
static void check_normed(struct rig *rig, const struct deconv_case *c,
                         const struct clfcn_conv_impl *impl,
                         const struct clfcn_conv_variant *v, bool skip)
{
    const struct rig_use use = {
        .inference = true, .normed = true, .with_skip = skip, .conv = impl, .variant = v
    };
    const struct clfcn_ref_conv s = reference_shape(c);
    struct rig_op t;
    rig_op_open(&t, rig, create_deconv(c), c->in_c, c->n, c->h, c->w, &use);
    if (rig_op_uses(&t, impl)) {
        assert_int_equal(t.absorbed, impl->absorbs);
    }
    if (t.absorbed) {
        const struct vec *bn = t.norm.value;
        double *plain = doubles(t.y.count), *want = doubles(t.y.count);
        rig_op_fill(&t);
        rig_op_forward(&t);
        clfcn_ref_deconv2d(&s, t.x.host, t.value[0].host, t.value[1].host, plain);
        clfcn_ref_relu(t.y.count, plain, plain);
        clfcn_ref_batchnorm_eval(c->out_c, clfcn_tensor_row(&t.ty), plain, bn[0].host,
                                 bn[1].host, bn[2].host, bn[3].host, want);
        for (size_t i = 0; skip && i < t.y.count; ++i) {
            want[i] += t.norm.skip.host[i];
        }
        assert_close("normalised y", t.y.host, want, t.y.count, TOLERANCE_SUM);
        free(plain);
        free(want);
    }
    rig_op_close(&t);
}

static void test_normed(void **state)
{
    static const struct deconv_case cases[] = { { 3, 5, 3, 3, 5 },
                                                { 2, 16, 1, 1, 9 },
                                                { 17, 20, 2, 18, 12 } };
    struct rig *rig = *state;
    const int count = rig->small ? 2 : CLFCN_ARRAY_LEN(cases);
    for (int i = 0; clfcn_conv_impls[i]; ++i) {
        const struct clfcn_conv_impl *impl = clfcn_conv_impls[i];
        const struct clfcn_conv_variant *v = NULL;
        for (int c = 0; c < count && !impl->uses_gemm; ++c) {
            check_normed(rig, &cases[c], impl, NULL, false);
            check_normed(rig, &cases[c], impl, NULL, true);
        }
        while ((v = clfcn_conv_next_variant(impl, v)) && !rig->small) {
            check_normed(rig, &cases[count - 1], impl, v, true);
        }
    }
}

/* Columns that hold only some of the output channels (forward) or pixels (backward). */
static void test_column_slices(void **state)
{
    static const struct deconv_case narrow = { 2, 3, 1, 3, 4 };
    static const struct deconv_case wide = { 6, 9, 3, 5, 6 };
    static const size_t limits[] = { 4 << 10, 6000, 16 << 10 };
    struct rig *rig = *state;
    check(
        rig, &narrow,
        &(struct rig_use){ .columns_limit = 900, .conv = &clfcn_conv_im2col_transposed });
    for (int i = 0; !rig->small && i < CLFCN_ARRAY_LEN(limits); ++i) {
        struct rig_use use = { .columns_limit = limits[i],
                               .conv = &clfcn_conv_im2col_transposed };
        check(rig, &wide, &use);
        use.dx_add = true;
        check(rig, &wide, &use);
        use.gemm = CLFCN_GEMM_CLBLAST;
        check(rig, &wide, &use);
    }
}

/* The tiled algorithm as in test_conv.c: sums in parts. */
static void test_tiled(void **state)
{
    static const struct deconv_case slim = { 256, 2, 1, 1, 2 };
    static const struct deconv_case deep = { 257, 31, 1, 4, 7 };
    struct rig *rig = *state;
    check(rig, &slim, &(struct rig_use){ .conv = &clfcn_conv_tiled, .inference = true });
    if (!rig->small) {
        check(rig, &deep, &(struct rig_use){ .conv = &clfcn_conv_tiled, .dx_add = true });
    }
}

/* The order of every sum is fixed. */
static void test_same_bits_again(void **state)
{
    static const struct deconv_case c = { 6, 9, 3, 5, 6 };
    struct rig *rig = *state;
    for (int i = 0; !rig->small && clfcn_conv_impls[i]; ++i) {
        struct rig_op t;
        rig_op_open(&t, rig, create_deconv(&c), c.in_c, c.n, c.h, c.w,
                    &(struct rig_use){ .conv = clfcn_conv_impls[i] });
        rig_op_check_repeats(&t);
        rig_op_close(&t);
    }
}

static void test_clblast(void **state)
{
    struct rig *rig = *state;
    static const struct deconv_case c = { 20, 6, 3, 3, 7 };
    if (rig->small) {
        return;
    }
    check(rig, &c, &(struct rig_use){ .gemm = CLFCN_GEMM_CLBLAST });
}

/* A weight that has become NaN must show in the output, not end in the ReLU. */
static void test_nan_passes(void **state)
{
    struct rig_op t;
    rig_op_open(&t, *state, create_deconv(&odd), odd.in_c, odd.n, odd.h, odd.w,
                &(struct rig_use){ 0 });
    rig_op_fill(&t);
    t.value[0].host[0] = NAN;
    rig_op_forward(&t);
    /* The weight's tap, the first one, reaches the odd rows and columns alone. */
    assert_true(isnan(t.y.host[(size_t)t.ty.w + 1]));
    rig_op_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_variants),        RIG_TEST(test_small_shapes),
        RIG_TEST(test_shapes),          RIG_TEST(test_uses),
        RIG_TEST(test_column_slices),   RIG_TEST(test_tiled),
        RIG_TEST(test_same_bits_again), RIG_TEST(test_clblast),
        RIG_TEST(test_nan_passes),      RIG_TEST(test_normed),
    };
    return RIG_RUN(tests);
}
