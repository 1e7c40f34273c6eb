/* test_augment.c - the list of random changes as text, and what is drawn of it. */
#include "make.h"
#include "../../host/data/augment.h"
#include "../../host/util/err.h"
#include "../../host/util/rng.h"
#include <math.h>

static struct clfcn_augment parsed(const char *text)
{
    struct clfcn_augment a;
    struct clfcn_err err;
    if (clfcn_augment_parse(text, &a, &err) < 0) {
        fail_msg("%s: %s", text, err.msg);
    }
    return a;
}

static void check_text(const char *list, const char *want)
{
    char text[CLFCN_AUGMENT_TEXT], again[CLFCN_AUGMENT_TEXT];
    const struct clfcn_augment a = parsed(list);
    assert_string_equal(clfcn_augment_text(&a, text), want);
    const struct clfcn_augment b = parsed(text);
    assert_string_equal(clfcn_augment_text(&b, again), want);
    assert_true(a.scale_min == b.scale_min && a.scale_max == b.scale_max);
    assert_true(a.rotate == b.rotate && a.noise == b.noise);
}

static void test_text(void **state)
{
    const char standard[] = "flip,scale=0.75-1.5,crop,rotate=10,brightness=0.2,"
                            "contrast=0.2,saturation=0.2";
    check_text("none", "none");
    check_text("flip", "flip");
    check_text("noise,vflip,flip", "flip,vflip,noise=0.02");
    check_text("scale=.5-2,rotate=0.1", "scale=0.5-2,rotate=0.1");
    check_text("scale=1e0-1.25", "scale=1-1.25");
    check_text("rotate=0.1000000000000000055511151231257827", "rotate=0.1");
    check_text("noise=0.30000000000000004", "noise=0.30000000000000004");
    check_text("standard", standard);
    check_text("scale,flip,crop,rotate,saturation,contrast,brightness", standard);
    check_text("rotate=30,standard,noise=1",
               "flip,scale=0.75-1.5,crop,rotate=30,brightness=0.2,contrast=0.2,"
               "saturation=0.2,noise=1");
    const struct clfcn_augment none = { 0 }, some = parsed("none");
    assert_memory_equal(&none, &some, sizeof none);
}

static void test_longest_text_fits(void **state)
{
    const double long_number = 0.12345678901234566e-300;
    const struct clfcn_augment a = { .flip = true,
                                     .vflip = true,
                                     .crop = true,
                                     .scale_min = 1.2345678901234567,
                                     .scale_max = 2.3456789012345678,
                                     .rotate = long_number,
                                     .brightness = long_number,
                                     .contrast = long_number,
                                     .saturation = long_number,
                                     .noise = long_number };
    char text[CLFCN_AUGMENT_TEXT];
    assert_int_equal(clfcn_augment_check(&a, NULL), CLFCN_OK);
    const struct clfcn_augment b = parsed(clfcn_augment_text(&a, text));
    assert_true(a.noise == b.noise && a.scale_max == b.scale_max);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *list, *message;
    } wrong[] = {
        { "flop", "no augmentation 'flop'; did you mean 'flip'?" },
        { "flip,rotatte=3", "did you mean 'rotate'?" },
        { "Standart", "did you mean 'standard'?" },
        { "", "no augmentation ''" },
        { "flip,,crop", "no augmentation ''" },
        { "flip,", "no augmentation ''" },
        { "xyzzy", "vflip, scale, crop, rotate" },
        { "flip,rotate=3,flip", "flip is there twice" },
        { "rotate=3,rotate", "rotate is there twice" },
        { "standard,standard", "standard is there twice" },
        { "none,flip", "none stands alone" },
        { "standard,none", "none stands alone" },
        { "flip=1", "flip takes no amount" },
        { "standard=2", "standard takes no amount" },
        { "none=", "none takes no amount" },
        { "crop", "give scale too" },
        { "rotate=", "rotate=: must be above 0 and at most 180" },
        { "rotate=0", "rotate=0: must be" },
        { "rotate=-5", "rotate=-5: must be" },
        { "rotate=181", "must be" },
        { "rotate=5x", "must be" },
        { "rotate=nan", "must be" },
        { "rotate=1e999", "must be" },
        { "scale=2", "scale=2: must be MIN-MAX" },
        { "scale=2-", "must be MIN-MAX" },
        { "scale=2-1", "must be MIN-MAX" },
        { "scale=0.2-1", "must be MIN-MAX" },
        { "scale=1-4.1", "must be MIN-MAX" },
        { "scale=1--2", "must be MIN-MAX" },
        { "scale=0-1", "must be MIN-MAX" },
        { "brightness=1.01", "brightness=1.01: must be above 0 and at most 1" },
        { "noise=0", "must be" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        struct clfcn_augment a;
        struct clfcn_err err;
        if (clfcn_augment_parse(wrong[i].list, &a, &err) != CLFCN_EINVAL) {
            fail_msg("'%s' is taken", wrong[i].list);
        }
        assert_contains(err.msg, wrong[i].message);
    }
    const struct clfcn_augment nan_scale = { .scale_min = 1, .scale_max = NAN };
    const struct clfcn_augment below = { .contrast = -0.1 };
    const struct clfcn_augment half_a_range = { .scale_max = 2 };
    assert_int_equal(clfcn_augment_check(&nan_scale, NULL), CLFCN_EINVAL);
    assert_int_equal(clfcn_augment_check(&below, NULL), CLFCN_EINVAL);
    assert_int_equal(clfcn_augment_check(&half_a_range, NULL), CLFCN_EINVAL);
}

static void test_nothing_is_drawn_of_none(void **state)
{
    const struct clfcn_augment none = { 0 };
    for (int i = 0; i < 50; ++i) {
        const struct clfcn_draw d = clfcn_augment_draw(&none, 1, i, 7 * i);
        assert_false(d.flip || d.vflip);
        assert_true(d.zoom == 1 && d.left == 0.5 && d.top == 0.5 && d.degrees == 0);
        for (int k = 0; k < CLFCN_COLOR_CHANGES; ++k) {
            assert_true(d.factor[k] == 1);
        }
    }
}

/* Mean and extremes of what should be uniform between lo and hi. */
struct spread {
    double sum, least, most;
    int n;
};

static void note(struct spread *s, double v)
{
    s->least = s->n && s->least < v ? s->least : v;
    s->most = s->n && s->most > v ? s->most : v;
    s->sum += v;
    ++s->n;
}

static void assert_uniform(const struct spread *s, double lo, double hi)
{
    const double slack = 0.02 * (hi - lo);
    assert_true(s->least >= lo && s->least < lo + slack);
    assert_true(s->most <= hi && s->most > hi - slack);
    assert_float_equal(s->sum / s->n, (lo + hi) / 2, slack);
}

static void test_statistics(void **state)
{
    enum { EPOCHS = 40, ITEMS = 250 };
    const struct clfcn_augment a = parsed("standard,vflip,saturation=1");
    struct spread zoom = { 0 }, left = { 0 }, top = { 0 }, degrees = { 0 };
    struct spread factor[CLFCN_COLOR_CHANGES] = { { 0 } };
    int both[2][2] = { { 0 } }, orders[3][3] = { { 0 } };
    for (int i = 0; i < EPOCHS * ITEMS; ++i) {
        const struct clfcn_draw d = clfcn_augment_draw(&a, 9, i / ITEMS, i % ITEMS);
        ++both[d.flip][d.vflip];
        note(&zoom, d.zoom);
        note(&left, d.left);
        note(&top, d.top);
        note(&degrees, d.degrees);
        for (int k = 0; k < CLFCN_COLOR_CHANGES; ++k) {
            note(&factor[k], d.factor[k]);
        }
        ++orders[d.order[0]][d.order[1]];
        assert_int_equal(d.order[0] + d.order[1] + d.order[2], 3);
    }
    for (int i = 0; i < 4; ++i) {
        assert_float_equal(both[i / 2][i % 2] / (double)(EPOCHS * ITEMS), 0.25, 0.015);
    }
    assert_uniform(&zoom, 0.75, 1.5);
    assert_uniform(&left, 0, 1);
    assert_uniform(&top, 0, 1);
    assert_uniform(&degrees, -10, 10);
    assert_uniform(&factor[CLFCN_BRIGHTNESS], 0.8, 1.2);
    assert_uniform(&factor[CLFCN_CONTRAST], 0.8, 1.2);
    assert_uniform(&factor[CLFCN_SATURATION], 0, 2);
    for (int i = 0; i < 9; ++i) {
        const double share = orders[i / 3][i % 3] / (double)(EPOCHS * ITEMS);
        const double want = i / 3 == i % 3 ? 0 : 1 / 6.0;
        assert_float_equal(share, want, 0.015);
    }
}

/* Each part of a draw depends on its own option and on (seed, epoch, item). */
static void test_parts_are_independent(void **state)
{
    const struct clfcn_augment all = parsed("standard,vflip,noise");
    static const char *const alone[] = { "flip", "vflip", "scale,crop", "rotate",
                                         "brightness,contrast,saturation" };
    for (int i = 0; i < 60; ++i) {
        const struct clfcn_draw want = clfcn_augment_draw(&all, 5, i, 2 * i);
        for (int k = 0; k < 5; ++k) {
            const struct clfcn_augment one = parsed(alone[k]);
            const struct clfcn_draw d = clfcn_augment_draw(&one, 5, i, 2 * i);
            assert_int_equal(d.flip, k == 0 && want.flip);
            assert_int_equal(d.vflip, k == 1 && want.vflip);
            assert_true(d.zoom == (k == 2 ? want.zoom : 1));
            assert_true(d.left == (k == 2 ? want.left : 0.5));
            assert_true(d.degrees == (k == 3 ? want.degrees : 0));
            assert_true(d.factor[1] == (k == 4 ? want.factor[1] : 1));
        }
        const struct clfcn_draw others[] = { clfcn_augment_draw(&all, 6, i, 2 * i),
                                             clfcn_augment_draw(&all, 5, i + 1, 2 * i),
                                             clfcn_augment_draw(&all, 5, i, 2 * i + 1) };
        for (int k = 0; k < 3; ++k) {
            assert_true(others[k].zoom != want.zoom && others[k].degrees != want.degrees);
        }
    }
}

/* Without crop a zoomed picture stays in the middle. */
static void test_crop_places(void **state)
{
    const struct clfcn_augment a = parsed("scale=2-2");
    const struct clfcn_draw d = clfcn_augment_draw(&a, 3, 4, 5);
    assert_true(d.zoom == 2 && d.left == 0.5 && d.top == 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_longest_text_fits),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_nothing_is_drawn_of_none),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_parts_are_independent),
        cmocka_unit_test(test_crop_places),
    };
    return cmocka_run_group_tests_name("augment", tests, NULL, NULL);
}
