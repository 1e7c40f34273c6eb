/* test_dataset.c - pairing, what can be wrong with a folder, and the split. */
#include "make.h"
#include "../../host/data/dataset.h"
#include "../../host/util/path.h"

static const char two_classes[] = "dark 0-127\nlight 128-255\n";

/* A good set of three pairs, named so that natural and plain order differ. */
static char *make_set(void)
{
    static const uint8_t values[6] = { 0, 255, 127, 128, 3, 4 };
    static const char *names[] = { "2", "10", "a.b" };
    char *dir = make_dir(), name[32];
    assert_int_equal(clfcn_path_mkdir(in(dir, "images"), 0777, NULL), CLFCN_OK);
    assert_int_equal(clfcn_path_mkdir(in(dir, "masks"), 0777, NULL), CLFCN_OK);
    make_text_file(in(dir, "classes.txt"), two_classes);
    for (int i = 0; i < 3; ++i) {
        snprintf(name, sizeof name, "images/%s.png", names[i]);
        make_rgb_file(in(dir, name), 3, 2, (uint8_t)(10 + i), 20, 30);
        snprintf(name, sizeof name, "masks/%s.PNG", names[i]);
        make_gray_file(in(dir, name), 3, 2, values);
    }
    return dir;
}

static void test_good_set(void **state)
{
    static const uint8_t want[6] = { 0, 1, 0, 1, 0, 0 };
    char *dir = make_set();
    struct clfcn_dataset *set;
    struct clfcn_pair pair;
    struct clfcn_err err;
    make_text_file(in(dir, "images/notes.txt"), "not an image by its name");
    assert_int_equal(clfcn_dataset_open(dir, &set, &err), CLFCN_OK);
    assert_int_equal(clfcn_dataset_size(set), 3);
    assert_string_equal(clfcn_dataset_item_name(set, 0), "2");
    assert_string_equal(clfcn_dataset_item_name(set, 1), "10");
    assert_string_equal(clfcn_dataset_item_name(set, 2), "a.b");
    assert_int_equal(clfcn_dataset_classes(set), 2);
    assert_string_equal(clfcn_dataset_class_name(set, 1), "light");
    assert_ptr_equal(clfcn_dataset_get_classes(set)->list[1].name,
                     clfcn_dataset_class_name(set, 1));

    assert_int_equal(clfcn_dataset_read(set, 1, &pair, &err), CLFCN_OK);
    assert_int_equal(pair.image.width, 3);
    assert_int_equal(pair.image.height, 2);
    assert_int_equal(pair.image.px.u8[15], 11); /* "10" was the second one made */
    assert_memory_equal(pair.labels, want, 6);
    clfcn_pair_free(&pair);
    clfcn_pair_free(&pair);
    clfcn_pair_free(NULL);

    uint8_t *labels;
    int width, height;
    assert_int_equal(clfcn_dataset_read_labels(set, 0, &labels, &width, &height, &err),
                     0);
    assert_int_equal(width, 3);
    assert_int_equal(height, 2);
    assert_memory_equal(labels, want, 6);
    free(labels);
    clfcn_dataset_destroy(&set);
    assert_null(set);
    clfcn_dataset_destroy(&set);
    clfcn_dataset_destroy(NULL);
    remove_dir(dir);
}

static void expect_open_error(const char *dir, const char *part)
{
    struct clfcn_dataset *set;
    struct clfcn_err err = { 0 };
    assert_int_equal(clfcn_dataset_open(dir, &set, &err), CLFCN_EDATA);
    assert_null(set);
    assert_int_equal(err.code, CLFCN_EDATA);
    assert_contains(err.msg, part);
}

static void test_unpaired(void **state)
{
    char *dir = make_set();
    make_rgb_file(in(dir, "images/11.png"), 3, 2, 0, 0, 0);
    expect_open_error(dir, "images/11.png: this image has no mask of the same stem in ");
    make_rgb_file(in(dir, "images/9.png"), 3, 2, 0, 0, 0);
    expect_open_error(dir, "images/9.png: this image has no mask");
    expect_open_error(dir, "(and 1 more images have none)");
    remove(in(dir, "images/9.png"));
    remove(in(dir, "images/11.png"));
    remove(in(dir, "images/2.png"));
    expect_open_error(dir, "masks/2.PNG: this mask has no image of the same stem");
    remove_dir(dir);
}

static void test_two_of_one_stem(void **state)
{
    char *dir = make_set();
    make_rgb_file(in(dir, "images/2.PNG"), 3, 2, 0, 0, 0);
    expect_open_error(dir, "two files with the stem '2'");
    remove_dir(dir);
}

static void test_missing_parts(void **state)
{
    char *dir = make_set();
    remove(in(dir, "classes.txt"));
    expect_open_error(dir, "classes.txt");
    make_text_file(in(dir, "classes.txt"), "bag 0-255\n");
    expect_open_error(dir, "only one class");
    assert_int_equal(rename(in(dir, "masks"), in(dir, "nomasks")), 0);
    expect_open_error(dir, "masks: no such folder");
    assert_int_equal(rename(in(dir, "images"), in(dir, "noimages")), 0);
    expect_open_error(dir, "images: no such folder");
    expect_open_error(in(dir, "nowhere"),
                      "nowhere: no such folder; a data set is a folder with");
    expect_open_error(in(dir, "classes.txt"), /* taken for a list */
                      "classes.txt: pictures without masks: ");
    remove_dir(dir);
}

static void test_empty(void **state)
{
    char *dir = make_set();
    remove(in(dir, "images/2.png"));
    remove(in(dir, "images/10.png"));
    remove(in(dir, "images/a.b.png"));
    make_text_file(in(dir, "images/.hidden.png"), "");
    expect_open_error(dir, "images: no image in this folder");
    remove_dir(dir);
}

static void test_bad_pairs(void **state)
{
    static const uint8_t values[12] = { 0 };
    char *dir = make_set();
    struct clfcn_dataset *set;
    struct clfcn_pair pair;
    struct clfcn_err err;
    make_gray_file(in(dir, "masks/2.PNG"), 4, 3, values);
    make_text_file(in(dir, "images/10.png"), "hello");
    assert_int_equal(clfcn_dataset_open(dir, &set, &err), CLFCN_OK); /* reads no pixel */
    assert_int_equal(clfcn_dataset_read(set, 0, &pair, &err), CLFCN_EDATA);
    assert_contains(err.msg, "images/2.png: the image is 3x2 pixels, but its mask ");
    assert_contains(err.msg, "masks/2.PNG is 4x3");
    assert_null(pair.labels);
    assert_null(pair.image.px.u8);
    assert_int_equal(clfcn_dataset_read(set, 1, &pair, &err), CLFCN_EDATA);
    assert_contains(err.msg, "images/10.png: not a PNG or JPEG image");
    remove(in(dir, "masks/a.b.PNG"));
    assert_int_equal(clfcn_dataset_read(set, 2, &pair, &err), CLFCN_EDATA);
    assert_contains(err.msg, "masks/a.b.PNG");
    clfcn_dataset_destroy(&set);
    remove_dir(dir);
}

static void check_split(int n, double fraction, int want_val)
{
    int *train, *val, train_count, val_count;
    bool seen[1000] = { false };
    assert_int_equal(
        clfcn_split(n, fraction, 7, &train, &train_count, &val, &val_count, NULL),
        CLFCN_OK);
    assert_int_equal(val_count, want_val);
    assert_int_equal(train_count, n - want_val);
    for (int i = 0; i < n; ++i) {
        const int item = i < train_count ? train[i] : val[i - train_count];
        assert_in_range(item, 0, n - 1);
        assert_false(seen[item]);
        seen[item] = true;
        assert_true(i == 0 || i == train_count ||
                    item > (i < train_count ? train[i - 1] : val[i - train_count - 1]));
    }
    free(train);
    free(val);
}

static void test_split(void **state)
{
    int *train, *val, *val2, train_count, val_count;
    struct clfcn_err err;
    check_split(540, 0.1, 54);
    check_split(10, 0.25, 3);
    check_split(10, 0.01, 1);
    check_split(10, 0.0, 0);
    check_split(2, 0.5, 1);

    /* Another seed, another split; the same seed, the same. */
    assert_int_equal(
        clfcn_split(500, 0.2, 1, &train, &train_count, &val, &val_count, &err), 0);
    free(train);
    assert_int_equal(
        clfcn_split(500, 0.2, 2, &train, &train_count, &val2, &val_count, &err), 0);
    free(train);
    assert_memory_not_equal(val, val2, 100 * sizeof *val);
    free(val2);
    assert_int_equal(
        clfcn_split(500, 0.2, 1, &train, &train_count, &val2, &val_count, &err), 0);
    free(train);
    assert_memory_equal(val, val2, 100 * sizeof *val);
    free(val);
    free(val2);

    assert_int_equal(clfcn_split(1, 0.1, 0, &train, &train_count, &val, &val_count, &err),
                     CLFCN_EDATA);
    assert_contains(err.msg, "1 image, and 1 of them for validation");
    assert_null(train);
    assert_null(val);
    assert_int_equal(clfcn_split(0, 0.0, 0, &train, &train_count, &val, &val_count, &err),
                     CLFCN_EDATA);
    assert_int_equal(clfcn_split(5, 1.0, 0, &train, &train_count, &val, &val_count, &err),
                     CLFCN_EINVAL);
    assert_int_equal(
        clfcn_split(5, -0.1, 0, &train, &train_count, &val, &val_count, &err),
        CLFCN_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_set),        cmocka_unit_test(test_unpaired),
        cmocka_unit_test(test_two_of_one_stem), cmocka_unit_test(test_missing_parts),
        cmocka_unit_test(test_empty),           cmocka_unit_test(test_bad_pairs),
        cmocka_unit_test(test_split),
    };
    return cmocka_run_group_tests_name("dataset", tests, NULL, NULL);
}
