/* test_memory.c - data sets of pictures in memory: read as they are, and what is refused.
 */
#include "make.h"
#include "../../host/data/dataset.h"

static const char *const names[] = { "ground", "disc", "ring" };

/* Two pictures, 3x2 packed and 2x2 with rows further apart; 99 lies between rows. */
static const uint8_t rgb0[18] = { 0, 1,  2,  3,  4,  5,  6,  7,  8,
                                  9, 10, 11, 12, 13, 14, 15, 16, 17 };
static const uint8_t labels0[6] = { 0, 1, 2, 255, 1, 0 };
static const uint8_t rgb1[15] = { 20, 21, 22, 23, 24, 25, 99, 99,
                                  99, 30, 31, 32, 33, 34, 35 };
static const uint8_t labels1[7] = { 2, 2, 99, 99, 99, 1, 255 };
static const struct clfcn_labelled pictures[] = {
    { 3, 2, rgb0, 0, labels0, 0 },
    { 2, 2, rgb1, 9, labels1, 5 },
};

static struct clfcn_dataset *open_set(void)
{
    struct clfcn_dataset *set;
    struct clfcn_err err;
    if (clfcn_dataset_from_memory(names, 3, pictures, 2, &set, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    return set;
}

static void test_reads_what_lies_there(void **state)
{
    static const uint8_t packed_rgb[12] = {
        20, 21, 22, 23, 24, 25, 30, 31, 32, 33, 34, 35
    };
    static const uint8_t packed_labels[4] = { 2, 2, 1, 255 };
    struct clfcn_dataset *set = open_set();
    struct clfcn_pair pair;
    uint8_t *labels;
    int width, height;
    assert_int_equal(clfcn_dataset_size(set), 2);
    assert_int_equal(clfcn_dataset_classes(set), 3);
    assert_string_equal(clfcn_dataset_class_name(set, 2), "ring");
    assert_string_equal(clfcn_dataset_format(set), "memory");
    assert_string_equal(clfcn_dataset_item_name(set, 1), "picture-0001");
    assert_int_equal(clfcn_dataset_read(set, 0, &pair, NULL), CLFCN_OK);
    assert_memory_equal(pair.image.px.u8, rgb0, sizeof rgb0);
    assert_memory_equal(pair.labels, labels0, sizeof labels0);
    clfcn_pair_free(&pair);
    assert_int_equal(clfcn_dataset_read(set, 1, &pair, NULL), CLFCN_OK);
    assert_int_equal(pair.image.width, 2);
    assert_int_equal(pair.image.height, 2);
    assert_memory_equal(pair.image.px.u8, packed_rgb, sizeof packed_rgb);
    assert_memory_equal(pair.labels, packed_labels, sizeof packed_labels);
    clfcn_pair_free(&pair);
    assert_int_equal(clfcn_dataset_read_labels(set, 1, &labels, &width, &height, NULL),
                     CLFCN_OK);
    assert_int_equal(width, 2);
    assert_int_equal(height, 2);
    assert_memory_equal(labels, packed_labels, sizeof packed_labels);
    free(labels);
    clfcn_dataset_destroy(&set);
    assert_null(set);
}

/* What lies between rows is no part of a picture. */
static void test_hash_is_of_pixels(void **state)
{
    static const uint8_t packed[12] = { 20, 21, 22, 23, 24, 25, 30, 31, 32, 33, 34, 35 };
    struct clfcn_labelled both[2] = { pictures[1], pictures[1] };
    struct clfcn_dataset *set;
    uint64_t a, b;
    both[1].rgb = packed;
    both[1].rgb_stride = 0;
    assert_int_equal(clfcn_dataset_from_memory(names, 3, both, 2, &set, NULL), CLFCN_OK);
    assert_int_equal(clfcn_dataset_hash(set, 0, &a, NULL), CLFCN_OK);
    assert_int_equal(clfcn_dataset_hash(set, 1, &b, NULL), CLFCN_OK);
    assert_true(a == b);
    clfcn_dataset_destroy(&set);
    set = open_set();
    assert_int_equal(clfcn_dataset_hash(set, 0, &b, NULL), CLFCN_OK);
    assert_true(a != b);
    clfcn_dataset_destroy(&set);
}

static void assert_refused(const char *const *class_names, int classes,
                           const struct clfcn_labelled *list, int count, int want,
                           const char *why)
{
    struct clfcn_dataset *set = NULL;
    struct clfcn_err err = { 0 };
    assert_int_equal(
        clfcn_dataset_from_memory(class_names, classes, list, count, &set, &err), want);
    assert_null(set);
    assert_contains(err.msg, why);
}

static void test_refusals(void **state)
{
    static const char *const blank[] = { "a", "b c" }, *const twice[] = { "a", "a" },
                             *const ignore[] = { "a", "ignore" },
                             *const comment[] = { "a", "#b" },
                             *const none[] = { "a", "" };
    struct clfcn_labelled p = pictures[1];
    assert_refused(names, 2, pictures, 2, CLFCN_EDATA,
                   "picture 0: the label of pixel 2,0 is 2, but there are 2 classes");
    assert_refused(names, 3, pictures, 0, CLFCN_EDATA, "no picture");
    assert_refused(names, 1, &p, 1, CLFCN_EDATA, "only one class");
    assert_refused(blank, 2, &p, 1, CLFCN_EINVAL, "class 1");
    assert_refused(ignore, 2, &p, 1, CLFCN_EINVAL, "class 1");
    assert_refused(comment, 2, &p, 1, CLFCN_EINVAL, "class 1");
    assert_refused(none, 2, &p, 1, CLFCN_EINVAL, "class 1");
    assert_refused(twice, 2, &p, 1, CLFCN_EDATA, "'a'");
    p.width = 0;
    assert_refused(names, 3, &p, 1, CLFCN_EINVAL, "0x2");
    p = pictures[1];
    p.rgb_stride = 5;
    assert_refused(names, 3, &p, 1, CLFCN_EINVAL, "stride");
    p = pictures[1];
    p.labels = NULL;
    assert_refused(names, 3, &p, 1, CLFCN_EINVAL, "missing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_lies_there),
        cmocka_unit_test(test_hash_is_of_pixels),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
