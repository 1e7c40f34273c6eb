/* test_balance.c - median frequency balancing, by hand. */
#include "make.h"
#include "../../host/data/balance.h"
#include "../../host/util/path.h"
#include <math.h>

/* Masks of 4x2 pixels: classes 0 1 2 3, and 9 is ignored. */
static char *make_set(void)
{
    static const uint8_t masks[3][8] = {
        { 0, 0, 0, 0, 1, 1, 9, 9 }, /* 4 and 2 of 6 */
        { 0, 0, 0, 0, 0, 0, 2, 2 }, /* 6 and 2 of 8 */
        { 1, 1, 1, 1, 1, 1, 1, 1 },
    };
    char *dir = make_dir(), name[32];
    assert_int_equal(clfcn_path_mkdir(in(dir, "images"), 0777, NULL), CLFCN_OK);
    assert_int_equal(clfcn_path_mkdir(in(dir, "masks"), 0777, NULL), CLFCN_OK);
    make_text_file(in(dir, "classes.txt"), "a 0\nb 1\nc 2\nd 3\nignore 9\n");
    for (int i = 0; i < 3; ++i) {
        snprintf(name, sizeof name, "images/%d.png", i);
        make_rgb_file(in(dir, name), 4, 2, 10, 20, 30);
        snprintf(name, sizeof name, "masks/%d.png", i);
        make_gray_file(in(dir, name), 4, 2, masks[i]);
    }
    return dir;
}

static void assert_weights(const struct clfcn_dataset *set, const int *items, int count,
                           const double want[4])
{
    float weights[4] = { NAN, NAN, NAN, NAN };
    struct clfcn_err err;
    if (clfcn_balance(NULL, set, items, count, weights, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    for (int c = 0; c < 4; ++c) {
        if (!(fabs(weights[c] - want[c]) < 1e-6)) {
            fail_msg("weight %d is %g, should be %g", c, (double)weights[c], want[c]);
        }
    }
}

static void test_by_hand(void **state)
{
    char *dir = make_set();
    struct clfcn_dataset *set;
    const int items[] = { 0, 1, 2 };
    assert_int_equal(clfcn_dataset_open(dir, &set, NULL), CLFCN_OK);
    /* Frequencies 10/14, 10/14, 2/8, none: the median is 10/14. */
    assert_weights(set, items, 3, (const double[]){ 1, 1, 4.0 * 10 / 14, 1 });
    /* 10/14, 2/6, 2/8: only the masks that are asked for. */
    const double median = 2.0 / 6;
    assert_weights(set, items, 2, (const double[]){ median * 1.4, 1, median * 4, 1 });
    /* Two frequencies, 4/6 and 2/6: the mean of both. */
    assert_weights(set, items, 1, (const double[]){ 0.75, 1.5, 1, 1 });
    assert_weights(set, items + 2, 1, (const double[]){ 1, 1, 1, 1 });
    clfcn_dataset_destroy(&set);
    remove_dir(dir);
}

static void test_bad_masks(void **state)
{
    static const uint8_t nothing[8] = { 9, 9, 9, 9, 9, 9, 9, 9 };
    char *dir = make_set();
    struct clfcn_dataset *set;
    struct clfcn_err err;
    float weights[4];
    const int item = 0;
    assert_int_equal(clfcn_dataset_open(dir, &set, NULL), CLFCN_OK);
    make_gray_file(in(dir, "masks/0.png"), 4, 2, nothing);
    assert_int_equal(clfcn_balance(NULL, set, &item, 1, weights, &err), CLFCN_EDATA);
    assert_contains(err.msg, "no pixel");
    make_text_file(in(dir, "masks/0.png"), "not a picture");
    assert_int_equal(clfcn_balance(NULL, set, &item, 1, weights, &err), CLFCN_EDATA);
    assert_contains(err.msg, "0.png");
    clfcn_dataset_destroy(&set);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_bad_masks),
    };
    return cmocka_run_group_tests_name("balance", tests, NULL, NULL);
}
