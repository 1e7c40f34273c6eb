/* test_gemm.c - both matrix products against the definition. The clblast one is left out
 * of small runs: its own kernels are not what is tested under a simulator, and take
 * minutes there. */
#include "../../host/ops/gemm.h"
#include "../../host/ops/ref.h"
#include "rig.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A product and how its matrices lie in their buffers. */
struct product {
    bool trans_a, trans_b;
    int m, n, k;
    int pad;       /* elements between the rows of each matrix */
    size_t offset; /* elements before each matrix */
    float beta;
    int batch;  /* products; 0: one */
    size_t gap; /* elements between the matrices of a batch */
};

/* The matrices of one operand, one after the other in a buffer whose unused elements are
 * NaN. */
struct matrix {
    struct vec v;
    int count, rows, columns, ld;
    size_t offset, stride;
};

struct fixture {
    struct rig *rig;
    struct clfcn_programs *programs;
    struct clfcn_gemm *gemm;
};

static void open_fixture_by(struct fixture *f, struct rig *rig,
                            const struct clfcn_gemm_impl *impl,
                            const struct clfcn_gemm_variant *variant)
{
    struct clfcn_err err;
    *f = (struct fixture){ .rig = rig };
    rig_ok(clfcn_programs_create(rig->dev, &f->programs, &err), &err);
    rig_ok(clfcn_gemm_create_by(impl, variant, rig->dev, f->programs, &f->gemm, &err),
           &err);
    rig_ok(clfcn_programs_build(f->programs, &err), &err);
}

static void open_fixture(struct fixture *f, struct rig *rig, enum clfcn_gemm_kind kind)
{
    open_fixture_by(f, rig, clfcn_gemm_impl_of(&rig->dev->info, kind), NULL);
}

static void close_fixture(struct fixture *f)
{
    clfcn_programs_destroy(&f->programs); /* before gemm, whose kernels it knows */
    clfcn_gemm_destroy(&f->gemm);
}

static void open_matrix(struct rig *rig, struct matrix *m, const char *name, int rows,
                        int columns, const struct product *p)
{
    const int ld = columns + p->pad;
    const size_t span = (size_t)(rows - 1) * ld + columns;
    *m = (struct matrix){ .count = p->batch > 1 ? p->batch : 1,
                          .rows = rows,
                          .columns = columns,
                          .ld = ld,
                          .offset = p->offset,
                          .stride = (size_t)rows * ld + p->gap };
    vec_open(rig, &m->v, name, m->offset + (m->count - 1) * m->stride + span);
}

/* The rows of all matrices of a batch are counted on. */
static int row_count(const struct matrix *m)
{
    return m->count * m->rows;
}

static double *element(const struct matrix *m, int row, int column)
{
    const size_t first = m->offset + (size_t)(row / m->rows) * m->stride;
    return &m->v.host[first + (size_t)(row % m->rows) * m->ld + column];
}

static void fill_matrix(struct rig *rig, struct matrix *m)
{
    for (int i = 0; i < row_count(m); ++i) {
        for (int j = 0; j < m->columns; ++j) {
            *element(m, i, j) = (float)clfcn_rng_normal(&rig->rng);
        }
    }
    vec_upload(rig, &m->v);
}

/* The matrices without gaps. */
static double *dense(const struct matrix *m)
{
    double *d = doubles((size_t)row_count(m) * m->columns);
    for (int i = 0; i < row_count(m); ++i) {
        memcpy(d + (size_t)i * m->columns, element(m, i, 0), m->columns * sizeof(*d));
    }
    return d;
}

static bool is_gap(const struct matrix *m, size_t at)
{
    if (at < m->offset) {
        return true;
    }
    const size_t in = (at - m->offset) % m->stride;
    return in >= (size_t)m->rows * m->ld || (int)(in % m->ld) >= m->columns;
}

static void assert_gaps_untouched(const struct matrix *m)
{
    for (size_t i = 0; i < m->v.count; ++i) {
        if (is_gap(m, i) && !isnan(m->v.host[i])) {
            fail_msg("element %zu of C, outside the matrix, was written", i);
        }
    }
}

static struct clfcn_mat mat_of(const struct matrix *m)
{
    return (struct clfcn_mat){ m->v.mem, m->offset, m->ld };
}

static void multiply(struct fixture *f, const struct product *p, const struct matrix *a,
                     const struct matrix *b, const struct matrix *c)
{
    const struct clfcn_gemm_call call = {
        .trans_a = p->trans_a,
        .trans_b = p->trans_b,
        .m = p->m,
        .n = p->n,
        .k = p->k,
        .a = mat_of(a),
        .b = mat_of(b),
        .c = mat_of(c),
        .beta = p->beta,
        .batch = { p->batch, a->stride, b->stride, c->stride },
    };
    struct clfcn_err err;
    struct vec scratch;
    struct clfcn_gemm_plan plan;
    rig_ok(clfcn_gemm_make_plan(f->gemm, &call, &plan, &err), &err);
    vec_open_whole(f->rig, &scratch, "scratch",
                   (plan.scratch_bytes + sizeof(float) - 1) / sizeof(float));
    rig_ok(clfcn_gemm_run(f->gemm, &call, scratch.mem, &err), &err);
    vec_check_guards(f->rig, &scratch);
    vec_close(f->rig, &scratch);
}

static void check(struct fixture *f, const struct product *p)
{
    struct matrix a, b, c;
    open_matrix(f->rig, &a, "a", p->trans_a ? p->k : p->m, p->trans_a ? p->m : p->k, p);
    open_matrix(f->rig, &b, "b", p->trans_b ? p->n : p->k, p->trans_b ? p->k : p->n, p);
    open_matrix(f->rig, &c, "c", p->m, p->n, p);
    fill_matrix(f->rig, &a);
    fill_matrix(f->rig, &b);
    /* Without beta c stays NaN, which must not leak into the result. */
    if (p->beta != 0.0f) {
        fill_matrix(f->rig, &c);
    }
    double *da = dense(&a), *db = dense(&b), *want = dense(&c);
    for (size_t i = 0; i < (size_t)c.count; ++i) {
        clfcn_ref_gemm(p->trans_a, p->trans_b, p->m, p->n, p->k, da + i * p->m * p->k,
                       db + i * p->k * p->n, p->beta, want + i * p->m * p->n);
    }
    multiply(f, p, &a, &b, &c);
    vec_download(f->rig, &c.v);
    assert_gaps_untouched(&c);
    double *got = dense(&c);
    char what[96];
    snprintf(what, sizeof(what), "c of %s %d times %dx%dx%d trans %d %d beta %g",
             f->gemm->name, c.count, p->m, p->n, p->k, p->trans_a, p->trans_b,
             (double)p->beta);
    assert_close(what, got, want, (size_t)row_count(&c) * p->n, TOLERANCE_SUM);
    vec_close(f->rig, &a.v);
    vec_close(f->rig, &b.v);
    vec_close(f->rig, &c.v);
    free(da);
    free(db);
    free(want);
    free(got);
}

/* All transpositions, both betas, with and without gaps between rows. */
static void check_variants(struct fixture *f, int m, int n, int k)
{
    for (int v = 0; v < 16; ++v) {
        const struct product p = {
            .trans_a = v & 1,
            .trans_b = v & 2,
            .m = m,
            .n = n,
            .k = k,
            .pad = v & 4 ? 3 : 0,
            .offset = v & 4 ? 5 : 0,
            .beta = v & 8 ? 1.0f : 0.0f,
        };
        check(f, &p);
    }
}

static void check_sizes(struct fixture *f)
{
    static const int sizes[] = { 1, 2, 7, 16, 17, 33, 65, 130 };
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
    /* Every size in every place, with different neighbours; the variants take turns. */
    for (int i = 0; i < COUNT * COUNT; ++i) {
        const struct product p = {
            .trans_a = i & 1,
            .trans_b = (i / 2) & 1,
            .m = sizes[i % COUNT],
            .n = sizes[i / COUNT],
            .k = sizes[(i + i / COUNT) % COUNT],
            .pad = (i / 4) % 2,
            .offset = (size_t)(i % 3),
            .beta = (float)((i / 3) % 2),
        };
        check(f, &p);
    }
}

/* All transpositions and both betas of a batch: one matrix right after the other, what
 * CLBlast may then read and write where it lies; behind an offset; with gaps between
 * matrices; and between rows as well. */
static void check_batches(struct fixture *f, int count, int m, int n, int k)
{
    static const struct {
        int pad;
        size_t offset, gap;
    } layouts[] = { { 0, 0, 0 }, { 0, 7, 0 }, { 0, 0, 5 }, { 3, 2, 4 } };
    for (int v = 0; v < 32; ++v) {
        const struct product p = {
            .trans_a = v & 1,
            .trans_b = v & 2,
            .m = m,
            .n = n,
            .k = k,
            .pad = layouts[v / 8].pad,
            .offset = layouts[v / 8].offset,
            .beta = v & 4 ? 1.0f : 0.0f,
            .batch = count,
            .gap = layouts[v / 8].gap,
        };
        check(f, &p);
    }
}

static void test_native(void **state)
{
    struct fixture f;
    struct rig *rig = *state;
    open_fixture(&f, rig, CLFCN_GEMM_NATIVE);
    check_variants(&f, 1, 1, 1);
    check_variants(&f, 13, 18, 7);
    if (rig_has_vectors(rig)) { /* whole vectors of both operands, and their last rows */
        check_variants(&f, 25, 17, 32);
    }
    if (!rig->small) {
        check_variants(&f, 65, 33, 130);
        check_sizes(&f);
    }
    close_fixture(&f);
}

/* A sum so long that it is taken in parts. */
static void test_native_long_k(void **state)
{
    static const struct product p[] = {
        { .m = 13, .n = 17, .k = 5000 },
        { true, false, .m = 2, .n = 35, .k = 10007, .pad = 1, .offset = 3, .beta = 1.0f },
        { .m = 25, .n = 3, .k = 9216, .trans_b = true },
    };
    struct fixture f;
    struct rig *rig = *state;
    if (rig->small) {
        return;
    }
    open_fixture(&f, rig, CLFCN_GEMM_NATIVE);
    for (int i = 0; i < CLFCN_ARRAY_LEN(p); ++i) {
        check(&f, &p[i]);
    }
    close_fixture(&f);
}

/* Every choice of parameters: margins of all kinds, and sizes for which it takes other
 * parts and blocks than the provider by itself. */
static void check_provider(struct rig *rig, enum clfcn_gemm_kind kind)
{
    static const struct product p[] = {
        { .m = 13, .n = 18, .k = 7 },
        { true, true, .m = 65, .n = 33, .k = 130, .pad = 1, .offset = 3, .beta = 1.0f },
        { .m = 3, .n = 35, .k = 1300, .trans_b = true },
        { .m = 26, .n = 1100, .k = 35, .trans_a = true },
        { .m = 9, .n = 21, .k = 600, .pad = 2, .batch = 3, .gap = 5 },
    };
    const struct clfcn_device_info *info = &rig->dev->info;
    const struct clfcn_gemm_impl *impl = clfcn_gemm_impl_of(info, kind);
    const struct clfcn_gemm_variant *v = NULL;
    while ((v = clfcn_gemm_next_variant(impl, info, v))) {
        struct fixture f;
        open_fixture_by(&f, rig, impl, v);
        assert_non_null(strstr(f.gemm->name, v->name));
        for (int i = 0; i < (rig->small ? 1 : CLFCN_ARRAY_LEN(p)); ++i) {
            check(&f, &p[i]);
        }
        close_fixture(&f);
    }
}

static void test_variants(void **state)
{
    struct rig *rig = *state;
    check_provider(rig, CLFCN_GEMM_NATIVE);
    if (!rig->small) {
        check_provider(rig, CLFCN_GEMM_CLBLAST);
    }
}

/* How far variants may differ from the provider's own choice is seen in their plans. */
static void test_plans_tell_variants_apart(void **state)
{
    const struct clfcn_gemm_call call = {
        .m = 8,
        .n = 1100,
        .k = 2000,
        .a = { .ld = 2000 },
        .b = { .ld = 1100 },
        .c = { .ld = 1100 },
    };
    struct rig *rig = *state;
    const struct clfcn_device_info *info = &rig->dev->info;
    const struct clfcn_gemm_impl *impl = clfcn_gemm_impl_of(info, CLFCN_GEMM_NATIVE);
    const struct clfcn_gemm_variant *v = NULL;
    struct clfcn_gemm_plan own, plan;
    struct clfcn_err err;
    struct fixture f;
    int count = 0;
    open_fixture(&f, rig, CLFCN_GEMM_NATIVE);
    rig_ok(clfcn_gemm_make_plan(f.gemm, &call, &own, &err), &err);
    close_fixture(&f);
    for (; (v = clfcn_gemm_next_variant(impl, info, v)); ++count) {
        open_fixture_by(&f, rig, impl, v);
        rig_ok(clfcn_gemm_make_plan(f.gemm, &call, &plan, &err), &err);
        assert_memory_not_equal(own.parameters, plan.parameters, sizeof(own.parameters));
        close_fixture(&f);
    }
    assert_true(count > 0);
}

/* gemm_pack by itself, into a buffer of one panel: whole vectors must end with it. */
static void test_pack_keeps_to_its_panel(void **state)
{
    static const struct clfcn_kernel_desc desc = { .stem = "gemm_pack",
                                                   .entry = "gemm_pack",
                                                   .params = { { "KB", 256, { 256 } },
                                                               { "VW", 16, { 16 } } } };
    enum { MR = 12, K = 64 };
    struct rig *rig = *state;
    struct clfcn_programs *programs = NULL;
    struct clfcn_kernel kernel = { 0 };
    struct clfcn_err err;
    struct vec src, dst;
    if (!rig_has_vectors(rig)) {
        return;
    }
    rig_ok(clfcn_programs_create(rig->dev, &programs, &err), &err);
    rig_ok(clfcn_kernel_want(programs, &kernel, &desc, (const int[]){ 256, 16 }, &err),
           &err);
    rig_ok(clfcn_programs_build(programs, &err), &err);
    vec_open(rig, &src, "src", MR * K);
    vec_open(rig, &dst, "dst", MR * K);
    vec_normal(rig, &src, 0.0, 1.0);
    vec_upload(rig, &src);
    const cl_ulong offset = 0;
    const cl_int m = MR, k = K, stride_i = K, stride_k = 1;
    const size_t one[] = { 1, 1 };
    const struct clfcn_arg args[] = {
        CLFCN_ARG(src.mem), CLFCN_ARG(dst.mem),  CLFCN_ARG(offset),   CLFCN_ARG(m),
        CLFCN_ARG(k),       CLFCN_ARG(stride_i), CLFCN_ARG(stride_k),
    };
    rig_ok(
        clfcn_launch(rig->dev, &kernel, 2, one, one, args, CLFCN_ARRAY_LEN(args), &err),
        &err);
    vec_download(rig, &dst);
    double *want = doubles(MR * K);
    for (int i = 0; i < MR * K; ++i) {
        want[i] = src.host[i % MR * K + i / MR];
    }
    assert_close("panel", dst.host, want, dst.count, TOLERANCE_EXACT);
    free(want);
    vec_close(rig, &src);
    vec_close(rig, &dst);
    clfcn_programs_destroy(&programs);
}

static void test_clblast(void **state)
{
    struct fixture f;
    struct rig *rig = *state;
    if (rig->small) {
        return;
    }
    open_fixture(&f, rig, CLFCN_GEMM_CLBLAST);
    check_variants(&f, 1, 1, 1);
    check_variants(&f, 13, 18, 7);
    check_variants(&f, 65, 33, 130);
    check_sizes(&f);
    close_fixture(&f);
}

static void test_native_batch(void **state)
{
    struct fixture f;
    struct rig *rig = *state;
    open_fixture(&f, rig, CLFCN_GEMM_NATIVE);
    check_batches(&f, 3, 13, 18, 7);
    if (!rig->small) {
        check_batches(&f, 36, 2, 1, 5);
        check_batches(&f, 4, 65, 70, 33);
    }
    close_fixture(&f);
}

/* Sizes that are multiples of CLBlast's tiles, and others; and of k more than is asked
 * for at a time on a CPU. */
static void test_clblast_batch(void **state)
{
    struct fixture f;
    struct rig *rig = *state;
    if (rig->small) {
        return;
    }
    open_fixture(&f, rig, CLFCN_GEMM_CLBLAST);
    check_batches(&f, 3, 13, 18, 7);
    check_batches(&f, 2, 128, 64, 32);
    check_batches(&f, 2, 32, 16, 512);
    close_fixture(&f);
}

/* No sum of the same floats in another order: the same bits each time. */
static void test_is_deterministic(void **state)
{
    struct fixture f;
    struct rig *rig = *state;
    const struct product p = { .m = 31, .n = 50, .k = 77 };
    struct matrix a, b, c;
    open_fixture(&f, rig, CLFCN_GEMM_NATIVE);
    open_matrix(rig, &a, "a", p.m, p.k, &p);
    open_matrix(rig, &b, "b", p.k, p.n, &p);
    open_matrix(rig, &c, "c", p.m, p.n, &p);
    fill_matrix(rig, &a);
    fill_matrix(rig, &b);
    multiply(&f, &p, &a, &b, &c);
    vec_download(rig, &c.v);
    double *first = dense(&c);
    multiply(&f, &p, &a, &b, &c);
    vec_download(rig, &c.v);
    assert_close("c again", c.v.host, first, c.v.count, TOLERANCE_EXACT);
    free(first);
    vec_close(rig, &a.v);
    vec_close(rig, &b.v);
    vec_close(rig, &c.v);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_native),
        RIG_TEST(test_native_long_k),
        RIG_TEST(test_variants),
        RIG_TEST(test_plans_tell_variants_apart),
        RIG_TEST(test_pack_keeps_to_its_panel),
        RIG_TEST(test_clblast),
        RIG_TEST(test_native_batch),
        RIG_TEST(test_clblast_batch),
        RIG_TEST(test_is_deterministic),
    };
    return RIG_RUN(tests);
}
