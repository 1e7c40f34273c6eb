/* test_conv.c - convolution, forward and backward, against its definition. */
#include "../../host/ops/conv.h"
#include "../../host/ops/ref.h"
#include "rig_op.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct conv_case {
    int in_c, out_c, kernel;
    bool relu;
    int n, h, w;
};

static struct clfcn_op *create_conv(const struct conv_case *c)
{
    struct clfcn_op *op = NULL;
    struct clfcn_err err;
    rig_ok(clfcn_conv2d_create(c->out_c, c->kernel, c->relu, &op, &err), &err);
    return op;
}

static struct clfcn_ref_conv reference_shape(const struct conv_case *c)
{
    return (struct clfcn_ref_conv){ .n = c->n,
                                    .in_c = c->in_c,
                                    .in_h = c->h,
                                    .in_w = c->w,
                                    .out_c = c->out_c,
                                    .kernel = c->kernel,
                                    .stride = 1,
                                    .pad = (c->kernel - 1) / 2 };
}

static void check_forward(struct rig_op *t, const struct conv_case *c)
{
    const struct clfcn_ref_conv s = reference_shape(c);
    double *want = doubles(t->y.count);
    clfcn_ref_conv2d(&s, t->x.host, t->value[0].host, t->value[1].host, want);
    if (c->relu) {
        clfcn_ref_relu(t->y.count, want, want);
    }
    assert_close("y", t->y.host, want, t->y.count, TOLERANCE_SUM);
    free(want);
}

/* The gradient is taken where the device's own y is positive: a rounding error next to 0
 * flips that decision, and is no fault. */
static void check_backward(struct rig_op *t, const struct conv_case *c,
                           const double *share)
{
    const struct clfcn_ref_conv s = reference_shape(c);
    double *dx = doubles(t->x.count), *masked = vec_copy(&t->dy);
    double *dw = doubles(t->value[0].count), *db = doubles(t->value[1].count);
    if (c->relu) {
        clfcn_ref_relu_backward(t->dy.count, t->y.host, t->dy.host, masked);
    }
    clfcn_ref_conv2d_backward(&s, t->x.host, t->value[0].host, masked, dx, dw, db);
    rig_op_check_dx(t, dx, share, TOLERANCE_SUM);
    assert_close("weight gradient", t->grad[0].host, dw, t->grad[0].count, TOLERANCE_SUM);
    assert_close("bias gradient", t->grad[1].host, db, t->grad[1].count, TOLERANCE_SUM);
    free(dx);
    free(masked);
    free(dw);
    free(db);
}

/* Bytes of the columns of the whole batch. */
static size_t whole_columns(const struct conv_case *c)
{
    return (size_t)c->in_c * c->kernel * c->kernel * c->n * c->h * c->w * sizeof(float);
}

static void check_one(struct rig *rig, const struct conv_case *c,
                      const struct rig_use *use)
{
    struct rig_op t;
    rig_op_open(&t, rig, create_conv(c), c->in_c, c->n, c->h, c->w, use);
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

/* What takes minutes under a simulator is left out of small runs: CLBlast's own kernels,
 * which are not what is tested there, and the dozens of products for a shape that
 * test_tile_slices() does in small. */
static bool too_slow(const struct rig *rig, const struct clfcn_conv_impl *impl)
{
    return rig->small &&
           (impl == &clfcn_conv_convgemm || impl == &clfcn_conv_winograd4_batched ||
            impl == &clfcn_conv_winograd2_batched);
}

/* By every algorithm, or by the one that use names. */
static void check(struct rig *rig, const struct conv_case *c, const struct rig_use *use)
{
    for (int i = 0; !use->conv && clfcn_conv_impls[i]; ++i) {
        if (!too_slow(rig, clfcn_conv_impls[i])) {
            struct rig_use by = *use;
            by.conv = clfcn_conv_impls[i];
            check_one(rig, c, &by);
        }
    }
    if (use->conv) {
        check_one(rig, c, use);
    }
}

static const struct conv_case tiny = { 1, 1, 3, true, 1, 1, 1 };
static const struct conv_case odd = { 3, 5, 3, true, 3, 5, 7 };
static const struct conv_case slim = { 1, 2, 5, false, 3, 2, 1 }; /* half a kernel wide */
static const struct conv_case pointwise = { 5, 3, 1, false, 3, 3, 5 };
static const struct conv_case lanes = { 16, 17, 3, true, 1, 5, 19 }; /* whole vectors */

/* More columns than are summed over at a time, rows over from the last panel, several
 * images in a vector. */
static const struct conv_case deep = { 72, 75, 3, true, 2, 1, 7 };

static void test_small_shapes(void **state)
{
    struct rig *rig = *state;
    check(*state, &tiny, &(struct rig_use){ 0 });
    check(*state, &odd, &(struct rig_use){ 0 });
    check(*state, &slim, &(struct rig_use){ 0 });
    check(*state, &pointwise, &(struct rig_use){ 0 });
    if (!rig->small || rig_has_vectors(rig)) {
        check(rig, &lanes, &(struct rig_use){ 0 });
    }
}

static void test_shapes(void **state)
{
    static const struct conv_case cases[] = {
        { 1, 1, 1, false, 1, 1, 1 },    { 1, 3, 1, true, 1, 1, 1 },
        { 3, 64, 3, true, 3, 9, 11 },   { 2, 1, 3, false, 1, 1, 9 },
        { 4, 130, 3, true, 1, 7, 3 },   { 17, 33, 3, true, 1, 16, 16 },
        { 32, 2, 1, false, 1, 13, 17 }, { 65, 3, 3, true, 3, 12, 20 },
        { 3, 2, 3, false, 1, 33, 1 },   { 16, 16, 3, true, 1, 32, 32 },
        { 2, 3, 5, true, 1, 6, 7 },     { 16, 64, 3, true, 2, 40, 52 },
        { 130, 48, 3, true, 5, 12, 6 }, { 30, 14, 5, true, 2, 9, 10 },
        { 5, 27, 7, true, 3, 2, 11 },   { 33, 30, 1, true, 1, 8, 16 },
        { 700, 13, 1, false, 2, 5, 7 },
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
        { .dy_masked = true },
        { .dx_add = true },
        { .mask_dx = true },
        { .no_dx = true },
        { .frozen = true },
        { .frozen = true, .dx_add = true, .mask_dx = true },
        { .no_dx = true, .dy_masked = true },
        { .inference = true },
    };
    struct clfcn_op *probe = create_conv(&odd);
    const bool masks_dx = probe->impl->masks_dx;
    clfcn_op_destroy(&probe);
    for (int i = 0; i < CLFCN_ARRAY_LEN(uses); ++i) {
        if (!uses[i].mask_dx || masks_dx) {
            check(*state, &odd, &uses[i]);
            check(*state, &pointwise, &uses[i]);
        }
    }
}

/* Points of only a part of the tiles, with a rest; a few tiles at a time. */
static void test_tile_slices(void **state)
{
    static const struct clfcn_conv_impl *const impls[] = {
        &clfcn_conv_winograd4_batched, &clfcn_conv_winograd2_batched
    };
    static const struct conv_case few = { 2, 3, 3, true, 1, 3, 19 };
    static const struct conv_case wide = { 8, 6, 3, true, 3, 10, 13 };
    struct rig *rig = *state;
    for (int i = 0; i < CLFCN_ARRAY_LEN(impls); ++i) {
        struct rig_use use = { .columns_limit = 2200, .dx_add = i > 0, .conv = impls[i] };
        check(rig, &few, &use);
        for (int add = 0; !rig->small && add < 2; ++add) {
            use = (struct rig_use){ .columns_limit = 5000,
                                    .dx_add = add,
                                    .conv = impls[i] };
            check(rig, &wide, &use);
            use.gemm = CLFCN_GEMM_CLBLAST;
            check(rig, &wide, &use);
        }
    }
}

/* Every choice of parameters, on tiles for several blocks, and on channels for several
 * spans of them. */
static void test_variants(void **state)
{
    static const struct conv_case cases[] = { { 3, 5, 3, true, 1, 20, 21 },
                                              { 17, 20, 3, true, 2, 36, 22 },
                                              { 273, 261, 3, true, 1, 6, 7 } };
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

/* With the pooling after it, by what can do both. */
static void check_pooled(struct rig *rig, const struct conv_case *c,
                         const struct clfcn_conv_impl *impl,
                         const struct clfcn_conv_variant *v)
{
    const struct rig_use use = {
        .inference = true, .pooled = true, .conv = impl, .variant = v
    };
    const struct clfcn_ref_conv s = reference_shape(c);
    struct rig_op t;
    rig_op_open(&t, rig, create_conv(c), c->in_c, c->n, c->h, c->w, &use);
    if (rig_op_uses(&t, impl)) {
        assert_int_equal(t.absorbed, impl->absorbs && c->h % 2 == 0 && c->w % 2 == 0);
    }
    if (t.absorbed) {
        double *whole = doubles(4 * t.y.count), *want = doubles(t.y.count);
        rig_op_fill(&t);
        rig_op_forward(&t);
        clfcn_ref_conv2d(&s, t.x.host, t.value[0].host, t.value[1].host, whole);
        clfcn_ref_relu(4 * t.y.count, whole, whole);
        clfcn_ref_maxpool(c->out_c * c->n, c->h, c->w, whole, want);
        assert_close("pooled y", t.y.host, want, t.y.count, TOLERANCE_SUM);
        free(whole);
        free(want);
    }
    rig_op_close(&t);
}

static void test_pooled(void **state)
{
    static const struct conv_case cases[] = {
        { 3, 5, 3, true, 3, 6, 10 },   { 2, 17, 3, true, 1, 2, 2 },
        { 3, 2, 3, true, 1, 7, 8 },    { 3, 2, 3, true, 1, 8, 7 },
        { 16, 33, 3, true, 2, 8, 40 }, { 17, 20, 3, true, 2, 36, 22 },
    };
    struct rig *rig = *state;
    const int count = rig->small ? 2 : CLFCN_ARRAY_LEN(cases);
    for (int i = 0; clfcn_conv_impls[i]; ++i) {
        const struct clfcn_conv_variant *v = NULL;
        for (int c = 0; c < count && !clfcn_conv_impls[i]->uses_gemm; ++c) {
            check_pooled(rig, &cases[c], clfcn_conv_impls[i], NULL);
        }
        while ((v = clfcn_conv_next_variant(clfcn_conv_impls[i], v)) && !rig->small) {
            check_pooled(rig, &cases[count - 1], clfcn_conv_impls[i], v);
        }
    }
}

/* Columns that hold only a part of the batch's pixels, down to a slice for each image
 * row. */
static void test_column_slices(void **state)
{
    static const struct conv_case narrow = { 2, 3, 3, true, 1, 4, 5 };
    static const struct conv_case wide = { 8, 6, 3, true, 3, 10, 13 };
    static const size_t limits[] = { 4 << 10, 5000, 8 << 10 };
    struct rig *rig = *state;
    check(rig, &narrow,
          &(struct rig_use){ .columns_limit = 800, .conv = &clfcn_conv_im2col });
    for (int i = 0; !rig->small && i < CLFCN_ARRAY_LEN(limits); ++i) {
        struct rig_use use = { .columns_limit = limits[i], .conv = &clfcn_conv_im2col };
        check(rig, &wide, &use);
        use.dx_add = true;
        check(rig, &wide, &use);
        use.gemm = CLFCN_GEMM_CLBLAST;
        check(rig, &wide, &use);
    }
}

/* By the tiled algorithm, which is planned as for a GPU of many compute units: sums that
 * are long enough are cut into parts for them. */
static void check_tiled(struct rig *rig, const struct conv_case *c, bool dx_add)
{
    const struct rig_use use = { .conv = &clfcn_conv_tiled, .dx_add = dx_add };
    struct rig_op t;
    if (rig_has_vectors(rig)) {
        return; /* CPUs have better */
    }
    rig_op_open(&t, rig, create_conv(c), c->in_c, c->n, c->h, c->w, &use);
    assert_true(rig_op_uses(&t, &clfcn_conv_tiled));
    rig_op_close(&t);
    check(rig, c, &use);
}

/* Parts of the sums over channels and over pixels; and so many that the last one is left
 * with nothing. */
static void test_parts_of_sums(void **state)
{
    static const struct conv_case channels = { 29, 29, 3, true, 1, 3, 5 };
    static const struct conv_case pixels = { 2, 3, 3, true, 2, 12, 11 };
    static const struct conv_case uneven = { 144, 2, 3, true, 1, 2, 3 };
    struct rig *rig = *state;
    check_tiled(rig, &channels, true);
    check_tiled(rig, &pixels, false);
    if (!rig->small) {
        check_tiled(rig, &uneven, false);
    }
}

static size_t tiled_scratch(const struct clfcn_conv_shape *shape,
                            const struct clfcn_op_env *env)
{
    struct clfcn_conv *cv = NULL;
    struct clfcn_err err;
    rig_ok(clfcn_conv_create_by(&clfcn_conv_tiled, NULL, NULL, shape, CLFCN_PASS_FORWARD,
                                env, &cv, &err),
           &err);
    const size_t bytes = cv->scratch_bytes;
    clfcn_conv_destroy(&cv);
    return bytes;
}

/* Smaller tiles for smaller devices, as long as there are any; sums in one piece where
 * the parts have no room. */
static void test_tiled_within_limits(void **state)
{
    static const struct clfcn_conv_shape shape = { 144, 125, 3, 1, 9, 13, false };
    struct rig *rig = *state;
    struct clfcn_device_info *info = &rig->dev->info;
    const struct clfcn_device_info real = *info;
    struct clfcn_op_env env = { .dev = rig->dev, .workspace_limit = SIZE_MAX };
    const struct {
        size_t items, local_bytes;
        bool fits;
    } cases[] = {
        { 64, 4608, true },
        { 63, 4608, false },
        { 64, 4607, false },
    };
    for (int i = 0; i < CLFCN_ARRAY_LEN(cases); ++i) {
        info->max_work_group = cases[i].items;
        info->local_bytes = cases[i].local_bytes;
        assert_int_equal(clfcn_conv_tiled.fits(&shape, CLFCN_PASS_FORWARD, &env),
                         cases[i].fits && !rig_has_vectors(rig));
    }
    *info = real;
    info->compute_units = 64;
    assert_true(tiled_scratch(&shape, &env) > 0);
    env.workspace_limit = 100;
    assert_int_equal(tiled_scratch(&shape, &env), 0);
    *info = real;
}

/* The order of every sum is fixed. */
static void test_same_bits_again(void **state)
{
    static const struct conv_case c = { 8, 6, 3, true, 3, 10, 13 };
    struct rig *rig = *state;
    for (int i = 0; !rig->small && clfcn_conv_impls[i]; ++i) {
        struct rig_op t;
        rig_op_open(&t, rig, create_conv(&c), c.in_c, c.n, c.h, c.w,
                    &(struct rig_use){ .conv = clfcn_conv_impls[i] });
        rig_op_check_repeats(&t);
        rig_op_close(&t);
    }
}

/* The product in parts that are added up, and onto what is there. */
static void test_implicit_parts(void **state)
{
    const struct rig_use plain = { .conv = &clfcn_conv_implicit },
                         add = { .conv = &clfcn_conv_implicit, .dx_add = true };
    check(*state, &deep, &plain);
    check(*state, &deep, &add);
    check(*state, &lanes, &add);
}

static void test_clblast(void **state)
{
    struct rig *rig = *state;
    static const struct conv_case c = { 6, 20, 3, true, 3, 6, 10 };
    if (rig->small) {
        return;
    }
    check(rig, &c, &(struct rig_use){ .gemm = CLFCN_GEMM_CLBLAST });
}

/* Whether the algorithm of this name computes the forward pass. */
static bool runs_by(struct rig *rig, const struct conv_case *c, const struct rig_use *use,
                    const char *name)
{
    struct rig_op t;
    rig_op_open(&t, rig, create_conv(c), c->in_c, c->n, c->h, c->w, use);
    const bool same = !strcmp(t.op->impl->conv(t.op, CLFCN_PASS_FORWARD)->name, name);
    rig_op_close(&t);
    return same;
}

/* CLBlast's convolution knows no batch in clfcn's layout; and it is no default. */
static void test_convgemm_is_used_where_it_can(void **state)
{
    static const struct conv_case one = { 2, 3, 3, true, 1, 4, 5 },
                                  two = { 2, 3, 3, true, 2, 4, 5 };
    const struct rig_use asked = { .conv = &clfcn_conv_convgemm },
                         native = { .conv = &clfcn_conv_convgemm,
                                    .gemm = CLFCN_GEMM_NATIVE },
                         clblast = { .gemm = CLFCN_GEMM_CLBLAST };
    assert_true(runs_by(*state, &one, &asked, "convgemm"));
    assert_true(runs_by(*state, &pointwise, &asked, "convgemm"));
    assert_false(runs_by(*state, &two, &asked, "convgemm"));
    assert_false(runs_by(*state, &one, &native, "convgemm"));
    assert_true(runs_by(*state, &one, &clblast, "im2col+clblast"));
}

/* A weight that has become NaN must show in the output, not end in the ReLU. */
static void check_nan(struct rig *rig, int kernel, const struct clfcn_conv_impl *impl)
{
    const struct conv_case shape = { 2, 3, kernel, true, 1, 4, 5 };
    struct rig_op t;
    rig_op_open(&t, rig, create_conv(&shape), 2, 1, 4, 5,
                &(struct rig_use){ .conv = impl });
    rig_op_fill(&t);
    t.value[0].host[kernel * kernel / 2] = NAN;
    rig_op_forward(&t);
    for (size_t i = 0; i < clfcn_tensor_row(&t.ty); ++i) {
        assert_true(isnan(t.y.host[i]));
    }
    rig_op_close(&t);
}

static void test_nan_passes(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; clfcn_conv_impls[i]; ++i) {
        if (!too_slow(rig, clfcn_conv_impls[i])) {
            check_nan(rig, 1, clfcn_conv_impls[i]);
            check_nan(rig, 3, clfcn_conv_impls[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_small_shapes),
        RIG_TEST(test_shapes),
        RIG_TEST(test_uses),
        RIG_TEST(test_variants),
        RIG_TEST(test_pooled),
        RIG_TEST(test_column_slices),
        RIG_TEST(test_tile_slices),
        RIG_TEST(test_parts_of_sums),
        RIG_TEST(test_tiled_within_limits),
        RIG_TEST(test_same_bits_again),
        RIG_TEST(test_implicit_parts),
        RIG_TEST(test_clblast),
        RIG_TEST(test_nan_passes),
        RIG_TEST(test_convgemm_is_used_where_it_can),
    };
    return RIG_RUN(tests);
}
