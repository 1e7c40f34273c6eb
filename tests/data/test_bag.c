/* test_bag.c - a real set of photographs, if CLFCN_BAG names its folder. */
#include "make.h"
#include "../../host/data/dataset.h"

static void test_bag(void **state)
{
    const char *dir = getenv("CLFCN_BAG");
    struct clfcn_dataset *set;
    struct clfcn_pair pair;
    struct clfcn_err err;
    if (clfcn_dataset_open(dir, &set, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(clfcn_dataset_size(set), 540);
    for (int i = 1; i < 540; ++i) { /* names are numbers, with gaps */
        assert_true(atoi(clfcn_dataset_item_name(set, i - 1)) <
                    atoi(clfcn_dataset_item_name(set, i)));
    }
    assert_string_equal(clfcn_dataset_class_name(set, 0), "bag");
    for (int i = 0; i < 540; i += 90) {
        int bag = 0;
        if (clfcn_dataset_read(set, i, &pair, &err) < 0) {
            fail_msg("%s", err.msg);
        }
        const int pixels = pair.image.width * pair.image.height;
        assert_int_equal(pair.image.channels, 3);
        for (int k = 0; k < pixels; ++k) {
            bag += pair.labels[k] == 0;
        }
        assert_in_range(bag, pixels / 50, pixels - pixels / 50);
        clfcn_pair_free(&pair);
    }
    clfcn_dataset_destroy(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_bag) };
    if (!getenv("CLFCN_BAG")) { /* cmocka 1.1.5 prints a skip as a failure */
        puts("1..0 # SKIP the bag data set is not here (CLFCN_BAG)");
        return 0;
    }
    return cmocka_run_group_tests_name("bag", tests, NULL, NULL);
}
