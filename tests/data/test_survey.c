/* test_survey.c - what a survey finds in a set, and the sheet that it draws. */
#include "make.h"
#include "../../host/data/glyphs.h"
#include "../../host/data/survey.h"
#include "../../host/util/path.h"

/* Pictures 0 to 5, 0 and 3 the same; the mask of 1 has unknown values, that of 2 another
 * size, and 4 is no picture. */
static char *make_set(const char *list)
{
    static const uint8_t good[6] = { 0, 1, 1, 0, 9, 0 }, odd[6] = { 0, 77, 1, 77, 5, 0 };
    char *dir = make_dir(), name[32];
    assert_int_equal(clfcn_path_mkdir(in(dir, "images"), 0777, NULL), CLFCN_OK);
    assert_int_equal(clfcn_path_mkdir(in(dir, "masks"), 0777, NULL), CLFCN_OK);
    make_text_file(in(dir, "classes.txt"), "a 0 #ff0000\nb 1 #0000ff\nignore 9\n");
    for (int i = 0; i < 6; ++i) {
        snprintf(name, sizeof name, "images/%d.png", i);
        make_rgb_file(in(dir, name), 3, 2, (uint8_t)(i % 3 ? i : 0), 0, 0);
        snprintf(name, sizeof name, "masks/%d.png", i);
        make_gray_file(in(dir, name), i == 2 ? 2 : 3, i == 2 ? 3 : 2,
                       i == 1 ? odd : good);
    }
    make_text_file(in(dir, "images/4.png"), "no picture");
    make_rgb_file(in(dir, "images/5.png"), 3, 2, 200, 100, 50);
    make_text_file(in(dir, "list.txt"), list);
    return dir;
}

static void survey(const char *path, struct clfcn_dataset **set, struct clfcn_survey *s)
{
    struct clfcn_err err;
    assert_int_equal(clfcn_dataset_open(path, set, &err), CLFCN_OK);
    if (clfcn_survey_run(*set, s, &err) < 0) {
        fail_msg("%s", err.msg);
    }
}

static void test_findings(void **state)
{
    char *dir = make_set("0\n");
    struct clfcn_dataset *set;
    struct clfcn_survey s;
    survey(dir, &set, &s);
    assert_int_equal(s.count, 6);
    assert_int_equal(s.sound, 4);
    assert_int_equal(s.items[2].rc, CLFCN_EDATA);
    assert_contains(s.items[2].err.msg, "3x2");
    assert_contains(s.items[4].err.msg, "images/4.png: not a PNG or JPEG");
    assert_int_equal(s.width[0], 3);
    assert_int_equal(s.height[2], 2);
    assert_int_equal(s.pixels[0], 3 * 3 + 2);
    assert_int_equal(s.pixels[1], 3 * 2 + 1);
    assert_int_equal(s.pixels[2], 3); /* ignored on purpose */
    assert_int_equal(s.unknown.pixels, 3);
    assert_int_equal(s.unknown.count, 2);
    assert_int_equal(s.unknown.list[0].value, 77);
    assert_int_equal(s.unknown.list[0].pixels, 2);
    assert_int_equal(s.unknown_masks, 1);
    assert_int_equal(s.first_unknown, 1);
    assert_int_equal(s.twin_count, 1);
    assert_int_equal(s.twins[0].a, 0);
    assert_int_equal(s.twins[0].b, 3);
    assert_false(s.twins[0].across); /* no split that they could be across */
    clfcn_survey_free(&s);
    clfcn_dataset_destroy(&set);
    remove_dir(dir);
}

static void test_twins_across_the_split(void **state)
{
    char *dir = make_set("images/0.png\tmasks/0.png\ttrain\n"
                         "images/5.png\tmasks/5.png\ttrain\n"
                         "images/5.png\tmasks/5.png\ttrain\n"
                         "images/3.png\tmasks/3.png\tval\n");
    struct clfcn_dataset *set;
    struct clfcn_survey s;
    survey(in(dir, "list.txt"), &set, &s);
    assert_int_equal(s.twin_count, 2);
    assert_int_equal(s.twins_across, 1);
    assert_true(s.twins[0].across); /* the worst come first */
    assert_int_equal(s.twins[0].a, 0);
    assert_int_equal(s.twins[0].b, 3);
    assert_false(s.twins[1].across);
    clfcn_survey_free(&s);
    clfcn_dataset_destroy(&set);
    remove_dir(dir);
}

static bool has_color(const struct clfcn_image *im, uint8_t r, uint8_t g, uint8_t b)
{
    for (int i = 0; i < im->width * im->height; ++i) {
        const uint8_t *p = im->px.u8 + 3 * (size_t)i;
        if (p[0] == r && p[1] == g && p[2] == b) {
            return true;
        }
    }
    return false;
}

static void test_sheet(void **state)
{
    char *dir = make_set("0\n5\n");
    const char *path = in(dir, "sheet.png");
    struct clfcn_dataset *set;
    struct clfcn_survey s;
    struct clfcn_image im;
    struct clfcn_err err;
    survey(in(dir, "list.txt"), &set, &s);
    assert_int_equal(clfcn_survey_draw(&s, path, &err), CLFCN_OK);
    assert_int_equal(clfcn_image_read(path, CLFCN_AS_RGB, &im, &err), CLFCN_OK);
    assert_true(has_color(&im, 255, 0, 0)); /* in the legend */
    assert_true(has_color(&im, 0, 0, 255));
    assert_true(has_color(&im, 200, 100, 50)); /* picture 5 as it is */
    assert_true(has_color(&im, 227, 50, 25));  /* half of it, half of class a */
    assert_false(has_color(&im, 0, 255, 0));
    clfcn_image_free(&im);
    assert_int_equal(clfcn_survey_draw(&s, in(dir, "none/sheet.png"), &err), CLFCN_EIO);
    assert_contains(err.msg, "none/sheet.png");
    clfcn_survey_free(&s);
    clfcn_dataset_destroy(&set);
    remove_dir(dir);
}

/* What nothing covers is not called ignored. */
static void test_legend_of_the_sheet(void **state)
{
    static const struct {
        const char *list;
        bool ignored, unknown;
    } cases[] = { { "0\n", true, false },
                  { "1\n", false, true },
                  { "0\n1\n", true, true } };
    for (int i = 0; i < (int)(sizeof cases / sizeof cases[0]); ++i) {
        char *dir = make_set(cases[i].list);
        const char *path = in(dir, "sheet.png");
        struct clfcn_dataset *set;
        struct clfcn_survey s;
        struct clfcn_image im;
        survey(in(dir, "list.txt"), &set, &s);
        assert_int_equal(clfcn_survey_draw(&s, path, NULL), CLFCN_OK);
        assert_int_equal(clfcn_image_read(path, CLFCN_AS_RGB, &im, NULL), CLFCN_OK);
        assert_int_equal(has_color(&im, 192, 192, 192), cases[i].ignored);
        assert_int_equal(has_color(&im, 140, 140, 140), cases[i].unknown);
        clfcn_image_free(&im);
        clfcn_survey_free(&s);
        clfcn_dataset_destroy(&set);
        remove_dir(dir);
    }
}

static void test_text(void **state)
{
    static const uint8_t white[3] = { 255, 255, 255 };
    struct clfcn_image im, cut;
    assert_int_equal(clfcn_image_alloc(&im, 30, 10, 3, 8, NULL), CLFCN_OK);
    assert_int_equal(clfcn_image_alloc(&cut, 30, 10, 3, 8, NULL), CLFCN_OK);
    clfcn_text_draw(&im, 0, 1, 1, 30, white, "Ix..");
    for (int y = 1; y <= 7; ++y) {
        assert_int_equal(im.px.u8[3 * (y * 30 + 2)], 255); /* the bar of the I */
    }
    clfcn_text_draw(&cut, 0, 1, 1, 24, white, "Ixyzabc"); /* has room for four */
    assert_memory_equal(im.px.u8, cut.px.u8, 900);
    clfcn_text_draw(&im, -3, -4, 2, 1000, white, "Hello \xc3\xa4~\x01"); /* cut off */
    clfcn_text_draw(&im, 28, 8, 3, 1000, white, "W");
    clfcn_image_free(&im);
    clfcn_image_free(&cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_findings), cmocka_unit_test(test_twins_across_the_split),
        cmocka_unit_test(test_sheet),    cmocka_unit_test(test_legend_of_the_sheet),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests_name("survey", tests, NULL, NULL);
}
