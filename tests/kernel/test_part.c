/* test_part.c - parts of a batch taken from it and put back, and sums of what each part
 * gives: copies and single additions, so bit for bit. */
#include "../../host/ops/accumulate.h"
#include "rig_op.h"
#include <math.h>
#include <stdlib.h>

struct part_case {
    int c, part, parts, h, w;
};

/* Whether element i of a tensor of all parts, of so many floats a row, is in one of
 * them. */
static bool inside(size_t i, size_t row, size_t part, int which)
{
    const size_t at = i % row;
    return at >= part * (size_t)which && at < part * (size_t)(which + 1);
}

/* Assert that whole holds part at its place, and what it held before everywhere else. */
static void check_whole(const struct vec *whole, const struct vec *part, size_t row,
                        size_t part_row, int which)
{
    size_t next = 0;
    for (size_t i = 0; i < whole->count; ++i) {
        if (inside(i, row, part_row, which)) {
            assert_true(whole->host[i] == part->host[next++]);
        } else {
            assert_true(isnan(whole->host[i]));
        }
    }
    assert_int_equal(next, part->count);
}

static void check_part(const struct vec *part, const struct vec *whole, size_t row,
                       size_t part_row, int which)
{
    size_t next = 0;
    for (size_t i = 0; i < whole->count; ++i) {
        if (inside(i, row, part_row, which)) {
            assert_true(part->host[next++] == whole->host[i]);
        }
    }
    assert_int_equal(next, part->count);
}

static void check(struct rig *rig, const struct part_case *c, bool join)
{
    const size_t row = (size_t)(c->part * c->parts * c->h * c->w);
    const size_t part_row = (size_t)(c->part * c->h * c->w);
    for (int which = 0; which < c->parts; ++which) {
        const struct rig_use use = { .part = which };
        const int whole = c->part * c->parts;
        struct rig_op t;
        struct clfcn_op *op = NULL;
        struct clfcn_err err;
        rig_ok(join ? clfcn_join_create(whole, &op, &err)
                    : clfcn_split_create(c->part, &op, &err),
               &err);
        rig_op_open(&t, rig, op, c->c, join ? c->part : whole, c->h, c->w, &use);
        vec_normal(rig, &t.x, 0.0, 1.0);
        vec_normal(rig, &t.dy, 0.0, 1.0);
        rig_op_forward(&t);
        if (join) {
            check_whole(&t.y, &t.x, row, part_row, which);
            rig_op_backward(&t);
            check_part(&t.dx, &t.dy, row, part_row, which);
        } else {
            check_part(&t.y, &t.x, row, part_row, which);
            rig_op_backward(&t);
            check_whole(&t.dx, &t.dy, row, part_row, which);
        }
        rig_op_close(&t);
    }
}

static void check_all(struct rig *rig, bool join)
{
    static const struct part_case cases[] = {
        { 3, 1, 2, 5, 7 },
        { 1, 2, 3, 1, 1 },
        { 2, 1, 1, 3, 3 },
        { 33, 2, 4, 31, 33 },
    };
    for (int i = 0; i < (rig->small ? 2 : CLFCN_ARRAY_LEN(cases)); ++i) {
        check(rig, &cases[i], join);
    }
}

static void test_split(void **state)
{
    check_all(*state, false);
}

static void test_join(void **state)
{
    check_all(*state, true);
}

static void check_refused(int (*create)(int, struct clfcn_op **, struct clfcn_err *),
                          int images, int of)
{
    struct clfcn_tensor x = { 2, of, 4, 4, NULL }, y;
    struct clfcn_op *op = NULL;
    struct clfcn_err err;
    rig_ok(create(images, &op, &err), &err);
    op->x = &x;
    op->y = &y;
    assert_int_equal(op->impl->infer(op, NULL, &err), CLFCN_EINVAL);
    clfcn_op_destroy(&op);
}

static void test_uneven_parts(void **state)
{
    (void)state;
    check_refused(clfcn_split_create, 2, 5);
    check_refused(clfcn_split_create, 0, 5);
    check_refused(clfcn_join_create, 5, 2);
}

static void test_accumulate(void **state)
{
    static const size_t counts[] = { 1, 16, 1009 };
    struct rig *rig = *state;
    for (int i = 0; i < CLFCN_ARRAY_LEN(counts); ++i) {
        struct clfcn_programs *programs = NULL;
        struct clfcn_accumulate acc;
        struct clfcn_err err;
        struct vec sum, x;
        rig_ok(clfcn_programs_create(rig->dev, &programs, &err), &err);
        const struct clfcn_op_env env = { .dev = rig->dev, .programs = programs };
        rig_ok(clfcn_accumulate_prepare(&acc, &env, &err), &err);
        rig_ok(clfcn_programs_build(programs, &err), &err);
        vec_open(rig, &sum, "sum", counts[i]);
        vec_open(rig, &x, "x", counts[i]);
        vec_normal(rig, &sum, 0.0, 1.0);
        vec_normal(rig, &x, 0.0, 1.0);
        vec_upload(rig, &sum);
        vec_upload(rig, &x);
        double *want = vec_copy(&sum);
        for (size_t j = 0; j < counts[i]; ++j) {
            want[j] = (float)want[j] + (float)x.host[j];
        }
        rig_ok(clfcn_accumulate_run(&acc, rig->dev, sum.mem, x.mem, counts[i], &err),
               &err);
        vec_download(rig, &sum);
        vec_check_guards(rig, &x);
        assert_close("sum", sum.host, want, counts[i], TOLERANCE_EXACT);
        free(want);
        vec_close(rig, &sum);
        vec_close(rig, &x);
        clfcn_programs_destroy(&programs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_split),
        RIG_TEST(test_join),
        RIG_TEST(test_uneven_parts),
        RIG_TEST(test_accumulate),
    };
    return RIG_RUN(tests);
}
