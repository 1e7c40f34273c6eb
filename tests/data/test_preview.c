/* test_preview.c - what the sheet shows is what training gets. */
#include "make.h"
#include "../../host/data/glyphs.h"
#include "../../host/data/preview.h"
#include "../../host/data/resize.h"
#include <clfcn/net.h>
#include <math.h>

/* Where preview.c puts its pictures: the network's size fits the box as it is. */
enum { SIDE = 160, PLANE = SIDE * SIDE, GAP = 8, TOP = 44, BELOW = SIDE + 2 };

static char *dir;

static int set_up(void **state)
{
    dir = make_dir();
    return 0;
}

static int tear_down(void **state)
{
    remove_dir(dir);
    return 0;
}

static const uint8_t *dot(const struct clfcn_image *im, int column, int x, int y)
{
    const int left = GAP + column * (SIDE + GAP);
    return im->px.u8 + 3 * ((TOP + y) * im->width + left + x);
}

/* Column 0 is the picture itself, column k + 1 what a loader gives in epoch k. */
static void check_column(const struct clfcn_image *sheet, int column,
                         const struct clfcn_batch *b)
{
    for (int i = 0; i < PLANE; ++i) {
        const uint8_t *rgb = dot(sheet, column, i % SIDE, i / SIDE);
        const uint8_t *over = dot(sheet, column, i % SIDE, i / SIDE + BELOW);
        for (int c = 0; c < 3; ++c) {
            const double v =
                255 * ((double)b->images[c * PLANE + i] * (double)clfcn_imagenet_std[c] +
                       (double)clfcn_imagenet_mean[c]);
            assert_true(fabs(v - rgb[c]) < 0.51);
        }
        if (b->labels[i] == CLFCN_IGNORE) { /* a stripe lies over it */
            const int stripe = (i % SIDE + i / SIDE) % 8 < 4 ? 255 : 0;
            assert_true(abs(over[0] - stripe) <= 128);
        }
    }
}

/* Epochs count from 1, as training says them. */
static void check_heading(const struct clfcn_image *sheet, int column, int epoch)
{
    enum { TALL = 9 };
    static const uint8_t black[3] = { 0 };
    struct clfcn_image want = { 0 };
    char text[24];
    snprintf(text, sizeof text, "epoch %d", epoch);
    assert_int_equal(clfcn_image_alloc(&want, SIDE, TALL, 3, 8, NULL), CLFCN_OK);
    memset(want.px.u8, 250, 3 * SIDE * TALL);
    clfcn_text_draw(&want, 0, 0, 1, SIDE, black, text);
    for (int i = 0; i < SIDE * TALL; ++i) {
        const uint8_t *rgb = dot(sheet, column, i % SIDE, i / SIDE - 14);
        assert_int_equal(want.px.u8[3 * i] < 250, rgb[0] < 250);
    }
    clfcn_image_free(&want);
}

static void test_shows_what_training_gets(void **state)
{
    struct clfcn_dataset *set = NULL;
    int item = 0, drawn = 0;
    const char *path = in(dir, "sheet.png");
    assert_int_equal(clfcn_dataset_open("demo", &set, NULL), CLFCN_OK);
    struct clfcn_loader_desc desc = { .set = set,
                                      .items = &item,
                                      .item_count = 1,
                                      .width = SIDE,
                                      .height = SIDE,
                                      .batch = 1,
                                      .seed = 11 };
    assert_int_equal(clfcn_augment_parse("standard,noise,rotate=60", &desc.augment, NULL),
                     CLFCN_OK);
    assert_int_equal(clfcn_preview_draw(&desc, 3, path, &drawn, NULL), CLFCN_OK);
    assert_int_equal(drawn, 3);

    struct clfcn_image sheet;
    assert_int_equal(clfcn_image_read(path, CLFCN_AS_RGB, &sheet, NULL), CLFCN_OK);
    for (int column = 0; column <= 6; ++column) {
        struct clfcn_loader *loader;
        const struct clfcn_batch *b;
        struct clfcn_loader_desc d = desc;
        if (column == 0) {
            d.augment = (struct clfcn_augment){ 0 };
        }
        assert_int_equal(clfcn_loader_create(&d, &loader, NULL), CLFCN_OK);
        assert_int_equal(clfcn_loader_seek(loader, column > 0 ? column - 1 : 0, 0, NULL),
                         CLFCN_OK);
        assert_int_equal(clfcn_loader_next(loader, &b, NULL), CLFCN_OK);
        check_column(&sheet, column, b);
        if (column > 0) {
            check_heading(&sheet, column, b->epoch + 1);
        }
        clfcn_loader_destroy(&loader);
    }
    clfcn_image_free(&sheet);
    clfcn_dataset_destroy(&set);
}

static void test_sizes_and_failures(void **state)
{
    static const int sizes[][2] = { { 32, 32 }, { 512, 32 }, { 32, 512 } };
    struct clfcn_dataset *set = NULL;
    struct clfcn_err err;
    int drawn;
    assert_int_equal(clfcn_dataset_open("demo", &set, NULL), CLFCN_OK);
    struct clfcn_loader_desc desc = { .set = set };
    for (int i = 0; i < 3; ++i) {
        desc.width = sizes[i][0];
        desc.height = sizes[i][1];
        assert_int_equal(clfcn_preview_draw(&desc, 1, in(dir, "a.png"), &drawn, NULL), 0);
    }
    assert_int_equal(clfcn_preview_draw(&desc, 1, in(dir, "no/a.png"), &drawn, &err),
                     CLFCN_EIO);
    assert_contains(err.msg, "no/a.png");
    clfcn_dataset_destroy(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shows_what_training_gets),
        cmocka_unit_test(test_sizes_and_failures),
    };
    return cmocka_run_group_tests_name("preview", tests, set_up, tear_down);
}
