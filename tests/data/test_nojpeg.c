/* test_nojpeg.c - what a build without libjpeg says. Compiled with its own copy of the
 * codecs. */
#include "make.h"
#include "../../host/data/dataset.h"

static void test_jpeg_is_refused_with_advice(void **state)
{
    static const uint8_t start[] = { 0xff, 0xd8, 0xff, 0xe0, 0, 16 };
    struct clfcn_image im;
    struct clfcn_err err;
    assert_false(clfcn_image_name_ok("a.jpg"));
    assert_true(clfcn_image_name_ok("a.png"));
    assert_int_equal(
        clfcn_image_decode(start, sizeof start, "a.jpg", CLFCN_AS_RGB, &im, &err),
        CLFCN_EDATA);
    assert_contains(err.msg, "a.jpg: ");
    assert_contains(err.msg, "reads no JPEG");
}

static void test_folder_of_jpegs_is_refused_with_advice(void **state)
{
    char *dir = make_dir();
    struct clfcn_dataset *set;
    struct clfcn_err err;
    make_text_file(in(dir, "a.jpg"), "x");
    assert_int_equal(clfcn_dataset_open_paths(dir, dir, "classes.txt", &set, &err),
                     CLFCN_EDATA);
    assert_null(set);
    assert_contains(err.msg, "reads no JPEG");
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jpeg_is_refused_with_advice),
        cmocka_unit_test(test_folder_of_jpegs_is_refused_with_advice),
    };
    return cmocka_run_group_tests_name("nojpeg", tests, NULL, NULL);
}
