/* test_shares.c - a batch divided among ranks. */
#include "../../host/train/shares.h"
#include "../../host/util/rng.h"

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void expect(int batch, int ranks, const double *speeds, const int *want)
{
    int got[8];
    clfcn_shares_divide(batch, speeds, ranks, got);
    for (int i = 0; i < ranks; ++i) {
        assert_int_equal(got[i], want[i]);
    }
}

static void test_equal_speeds_give_equal_shares(void **state)
{
    const double speeds[] = { 3, 3, 3 };
    expect(6, 3, speeds, (const int[]){ 2, 2, 2 });
    expect(8, 3, speeds, (const int[]){ 3, 3, 2 });
    expect(3, 3, speeds, (const int[]){ 1, 1, 1 });
}

static void test_shares_follow_speed(void **state)
{
    expect(4, 2, (const double[]){ 3, 1 }, (const int[]){ 3, 1 });
    expect(8, 3, (const double[]){ 1, 2, 1 }, (const int[]){ 2, 4, 2 });
    /* A rank that is hardly of use has its one image. */
    expect(8, 2, (const double[]){ 100, 1 }, (const int[]){ 7, 1 });
}

/* The best of all divisions, by trying each. */
static double best(int left, const double *speeds, int ranks)
{
    if (ranks == 1) {
        return left / speeds[0];
    }
    double least = DBL_MAX;
    for (int n = 1; n <= left - (ranks - 1); ++n) {
        const double rest = best(left - n, speeds + 1, ranks - 1);
        const double own = n / speeds[0];
        const double whole = own > rest ? own : rest;
        least = whole < least ? whole : least;
    }
    return least;
}

static void test_no_division_is_better(void **state)
{
    struct clfcn_rng rng;
    clfcn_rng_init(&rng, 5, "shares", 0, 0);
    for (int round = 0; round < 300; ++round) {
        double speeds[4];
        int shares[4], sum = 0;
        const int ranks = 1 + (int)clfcn_rng_below(&rng, 4);
        const int batch = ranks + (int)clfcn_rng_below(&rng, 12);
        for (int i = 0; i < ranks; ++i) {
            speeds[i] = 0.1 + 10 * clfcn_rng_double(&rng);
        }
        clfcn_shares_divide(batch, speeds, ranks, shares);
        for (int i = 0; i < ranks; ++i) {
            assert_true(shares[i] >= 1);
            sum += shares[i];
        }
        assert_int_equal(sum, batch);
        assert_true(clfcn_shares_seconds(shares, speeds, ranks) <=
                    best(batch, speeds, ranks) * (1 + 1e-12));
    }
}

static void test_a_rank_that_holds_up_the_others_is_found(void **state)
{
    double seconds;
    /* Two images of the fast one take 2 s; one of the slow one 10 s. */
    assert_int_equal(clfcn_shares_drag(2, (const double[]){ 1, 0.1 }, 2, &seconds), 1);
    assert_true(seconds == 2.0);
    assert_int_equal(clfcn_shares_drag(8, (const double[]){ 1, 1 }, 2, &seconds), -1);
    assert_int_equal(clfcn_shares_drag(8, (const double[]){ 3, 1 }, 2, &seconds), -1);
    assert_int_equal(clfcn_shares_drag(8, (const double[]){ 1 }, 1, &seconds), -1);
    /* 8 s or 7 s: that may be noise. */
    assert_int_equal(
        clfcn_shares_drag(8, (const double[]){ 8.0 / 7, 1.0 / 8 }, 2, &seconds), -1);
}

static void test_noise_is_no_difference(void **state)
{
    double near[] = { 10, 9, 8.6 }, far[] = { 10, 8 };
    clfcn_shares_even(near, 3);
    assert_true(near[0] == near[1] && near[1] == near[2]);
    clfcn_shares_even(far, 2);
    assert_true(far[0] == 10 && far[1] == 8);
}

static void test_balance_is_read(void **state)
{
    enum clfcn_balance kind;
    double w[3];
    assert_int_equal(clfcn_balance_parse(NULL, 3, w, &kind, NULL), CLFCN_OK);
    assert_int_equal(kind, CLFCN_BALANCE_AUTO);
    assert_int_equal(clfcn_balance_parse("equal", 3, w, &kind, NULL), CLFCN_OK);
    assert_int_equal(kind, CLFCN_BALANCE_EQUAL);
    assert_true(w[0] == 1 && w[2] == 1);
    assert_int_equal(clfcn_balance_parse("2:1:1.5", 3, w, &kind, NULL), CLFCN_OK);
    assert_int_equal(kind, CLFCN_BALANCE_GIVEN);
    assert_true(w[0] == 2 && w[1] == 1 && w[2] == 1.5);
    assert_int_equal(clfcn_balance_parse("2:1", 0, NULL, &kind, NULL), CLFCN_OK);
}

static void test_what_is_no_balance_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",      "1:",  ":1",  "1:x",    "0:1", "a",
        "1 : 2", "1,2", "nan", "1:-2:1", "inf", "equals"
    };
    enum clfcn_balance kind;
    struct clfcn_err err;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); ++i) {
        assert_int_equal(clfcn_balance_parse(wrong[i], 0, NULL, &kind, &err),
                         CLFCN_EINVAL);
        assert_non_null(strstr(err.msg, "--balance"));
    }
    assert_int_equal(clfcn_balance_parse("1:2", 3, NULL, &kind, &err), CLFCN_EINVAL);
    assert_non_null(strstr(err.msg, "3 ranks"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_speeds_give_equal_shares),
        cmocka_unit_test(test_shares_follow_speed),
        cmocka_unit_test(test_no_division_is_better),
        cmocka_unit_test(test_a_rank_that_holds_up_the_others_is_found),
        cmocka_unit_test(test_noise_is_no_difference),
        cmocka_unit_test(test_balance_is_read),
        cmocka_unit_test(test_what_is_no_balance_is_refused),
    };
    return cmocka_run_group_tests_name("shares", tests, NULL, NULL);
}
