/* test_share.c - ranges of items follow on each other, cover all, and keep to the shares.
 */
#include "make.h"
#include "../../host/data/share.h"

static void check(int n, const int *shares, int ranks)
{
    int next = 0;
    double all = 0;
    for (int r = 0; r < ranks; ++r) {
        all += shares[r];
    }
    for (int r = 0; r < ranks; ++r) {
        int first = -1, count = -1;
        clfcn_share_range(n, shares, ranks, r, &first, &count);
        const double off = count - (double)n * shares[r] / all;
        assert_int_equal(first, next);
        assert_true(count >= 0);
        assert_true(off > -1 && off < 1);
        next = first + count;
    }
    assert_int_equal(next, n);
}

static void test_ranges(void **state)
{
    static const int shares[][4] = {
        { 1, 1, 1, 1 }, { 5, 3, 1, 7 }, { 1, 0, 6, 2 }, { 1, 1000, 3, 1 }, { 8, 4, 2, 1 }
    };
    for (int s = 0; s < 5; ++s) {
        for (int ranks = 1; ranks <= 4; ++ranks) {
            for (int n = 0; n < 70; ++n) {
                check(n, shares[s], ranks);
            }
        }
    }
}

static void test_large(void **state)
{
    const int shares[] = { INT32_MAX, 1, INT32_MAX };
    check(INT32_MAX, shares, 1);
    check(INT32_MAX, (const int[]){ 1024, 1, 333 }, 3);
    check(1000, shares, 3);
}

static void test_by_hand(void **state)
{
    static const int want[3] = { 4, 3, 3 }, equal[3] = { 2, 2, 2 };
    for (int r = 0; r < 3; ++r) {
        int first, count;
        clfcn_share_range(10, equal, 3, r, &first, &count);
        assert_int_equal(count, want[r]);
        clfcn_share_range(1, equal, 3, r, &first, &count);
        assert_int_equal(count, r == 0); /* a single item is rank 0's */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_by_hand),
    };
    return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
