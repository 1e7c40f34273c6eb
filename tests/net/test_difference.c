/* test_difference.c - how far two arrays are apart, on arrays that invite mistakes. */
#include "../../host/net/difference.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { N = 4 };

static struct clfcn_difference measure(const float *a, const float *b, double limit)
{
    struct clfcn_difference d;
    clfcn_difference_measure(a, b, N, limit, &d);
    assert_int_equal(d.count, N);
    return d;
}

static void close_to(double got, double want)
{
    if (fabs(got - want) > 1e-12 * fabs(want)) {
        fail_msg("%.17g is not %.17g", got, want);
    }
}

static void test_equal(void **state)
{
    const float a[N] = { 1, 0, INFINITY, NAN }, b[N] = { 1, -0.0f, INFINITY, -NAN };
    const struct clfcn_difference d = measure(a, b, 0.0);
    close_to(d.relative, 0.0);
    close_to(d.worst, 0.0);
    assert_int_equal(d.far, 0);
}

static void test_zeros(void **state)
{
    const float zero[N] = { 0 }, one[N] = { 0, 0, 2, 0 };
    close_to(measure(zero, zero, 0.1).relative, 0.0);
    const struct clfcn_difference d = measure(zero, one, 0.1);
    close_to(d.relative, 1.0);
    close_to(d.worst, 2.0 / 3.0); /* the root mean square is 1 */
    assert_int_equal(d.at, 2);
    close_to(d.b, 2.0);
}

/* a has norm 10 and root mean square 5, and is the larger. */
static void test_norms(void **state)
{
    const float a[N] = { 1, 7, 5, 5 }, b[N] = { 1, 4, 1, 5 };
    const struct clfcn_difference d = measure(a, b, 0.3);
    close_to(d.norm_a, 10.0);
    close_to(d.norm_b, sqrt(43.0));
    close_to(d.distance, 5.0);
    close_to(d.relative, 0.5);
    close_to(d.worst, 0.4); /* 4 of 5 and 5 */
    assert_int_equal(d.at, 2);
    assert_int_equal(d.far, 1); /* 3 of 5 and 7 is less */
    assert_int_equal(measure(a, b, 0.2).far, 2);
    close_to(measure(b, a, 0.5).relative, 0.5);
}

static void test_one_side_is_no_number(void **state)
{
    const float wrong[] = { NAN, INFINITY };
    for (int i = 0; i < 2; ++i) {
        const float a[N] = { 1, 2, 3, 4 }, b[N] = { 1, 2, 3, wrong[i] };
        struct clfcn_difference d = measure(a, b, 10.0);
        assert_true(isinf(d.relative) && isinf(d.worst));
        assert_int_equal(d.at, 3);
        assert_int_equal(d.far, 1);
        d = measure(b, a, 10.0);
        assert_true(isinf(d.relative));
    }
}

/* Limit 0 stands for the same bits: what differs at all is far. */
static void test_no_limit(void **state)
{
    const float a[N] = { 1, 2, 3, 4 }, b[N] = { 1, nextafterf(2, 3), 3, 4 };
    const struct clfcn_difference d = measure(a, b, 0.0);
    assert_true(d.relative > 0.0);
    assert_int_equal(d.far, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal),    cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_norms),    cmocka_unit_test(test_one_side_is_no_number),
        cmocka_unit_test(test_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
