/* test_png.c - every kind of PNG gives the stored samples, every damage an error. */
#include "make.h"
#include "../../host/data/image.h"
#include "../../host/util/file.h"
#include "../../host/util/log.h"
#include "../../host/util/sys.h"
#include <png.h>

enum { MAX_SIDE = 33 };

static uint16_t stored[MAX_SIDE * MAX_SIDE * 4];

static void fill_random(unsigned seed, int depth)
{
    srand(seed);
    for (size_t i = 0; i < sizeof stored / sizeof *stored; ++i) {
        stored[i] = (uint16_t)((unsigned)(rand() >> 4) & ((1u << depth) - 1));
    }
}

static int pixel_samples(int color_type)
{
    return (color_type & PNG_COLOR_MASK_PALETTE)
               ? 1
               : ((color_type & PNG_COLOR_MASK_COLOR) ? 3 : 1) +
                     ((color_type & PNG_COLOR_MASK_ALPHA) ? 1 : 0);
}

static unsigned sample_of(const struct clfcn_image *im, size_t i)
{
    return im->depth == 16 ? im->px.u16[i] : im->px.u8[i];
}

/* Channel c of pixel i as CLFCN_AS_RGB must give it. */
static unsigned want_rgb(const struct png_spec *s, size_t i, int c)
{
    const int n = pixel_samples(s->color_type);
    const uint16_t *p = s->samples + i * (size_t)n;
    if (s->color_type == PNG_COLOR_TYPE_PALETTE) {
        const unsigned v = p[0];
        return (c == 0 ? 7 * v + 1 : c == 1 ? 255 - v : 3 * v) & 255;
    }
    if (n >= 3) {
        return p[c];
    }
    return s->depth >= 8 ? p[0] : p[0] * 255u / ((1u << s->depth) - 1);
}

static void check_kind(const struct png_spec *s)
{
    struct bytes png = make_png(s);
    const size_t pixels = (size_t)s->width * (size_t)s->height;
    const int n = pixel_samples(s->color_type);
    const int mask_channels = n >= 3 ? 3 : 1;
    struct clfcn_image im;
    struct clfcn_err err;

    assert_int_equal(
        clfcn_image_decode(png.data, png.size, "a.png", CLFCN_AS_RGB, &im, &err),
        CLFCN_OK);
    assert_int_equal(im.width, s->width);
    assert_int_equal(im.height, s->height);
    assert_int_equal(im.channels, 3);
    assert_int_equal(im.depth, s->depth == 16 ? 16 : 8);
    assert_false(im.palette);
    for (size_t i = 0; i < 3 * pixels; ++i) {
        assert_int_equal(sample_of(&im, i), want_rgb(s, i / 3, (int)(i % 3)));
    }
    clfcn_image_free(&im);

    assert_int_equal(
        clfcn_image_decode(png.data, png.size, "a.png", CLFCN_AS_MASK, &im, &err),
        CLFCN_OK);
    assert_int_equal(im.channels, mask_channels);
    assert_int_equal(im.depth, s->depth == 16 ? 16 : 8);
    assert_int_equal(im.palette, s->color_type == PNG_COLOR_TYPE_PALETTE);
    for (size_t i = 0; i < pixels; ++i) {
        for (int c = 0; c < mask_channels; ++c) {
            assert_int_equal(sample_of(&im, i * (size_t)mask_channels + (size_t)c),
                             s->samples[i * (size_t)n + (size_t)c]);
        }
    }
    clfcn_image_free(&im);
    free(png.data);
}

static void test_every_kind(void **state)
{
    static const struct {
        int color_type, depth;
    } kinds[] = {
        { PNG_COLOR_TYPE_GRAY, 1 },       { PNG_COLOR_TYPE_GRAY, 2 },
        { PNG_COLOR_TYPE_GRAY, 4 },       { PNG_COLOR_TYPE_GRAY, 8 },
        { PNG_COLOR_TYPE_GRAY, 16 },      { PNG_COLOR_TYPE_GRAY_ALPHA, 8 },
        { PNG_COLOR_TYPE_GRAY_ALPHA, 16 }, { PNG_COLOR_TYPE_PALETTE, 1 },
        { PNG_COLOR_TYPE_PALETTE, 2 },    { PNG_COLOR_TYPE_PALETTE, 4 },
        { PNG_COLOR_TYPE_PALETTE, 8 },    { PNG_COLOR_TYPE_RGB, 8 },
        { PNG_COLOR_TYPE_RGB, 16 },       { PNG_COLOR_TYPE_RGB_ALPHA, 8 },
        { PNG_COLOR_TYPE_RGB_ALPHA, 16 },
    };
    static const int sizes[][2] = { { 1, 1 }, { 7, 5 }, { 33, 9 }, { 3, 33 } };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; ++k) {
        const bool can_trns = !(kinds[k].color_type & PNG_COLOR_MASK_ALPHA);
        for (unsigned variant = 0; variant < 4 * 4; ++variant) {
            const int *size = sizes[variant / 4];
            fill_random(variant, kinds[k].depth);
            const struct png_spec spec = {
                .width = size[0], .height = size[1], .depth = kinds[k].depth,
                .color_type = kinds[k].color_type, .interlaced = variant & 1,
                .trns = (variant & 2) && can_trns, .samples = stored,
            };
            check_kind(&spec);
        }
    }
}

static struct bytes small_png(bool interlaced)
{
    fill_random(3, 8);
    const struct png_spec spec = { .width = 13, .height = 11, .depth = 8,
                                   .color_type = PNG_COLOR_TYPE_RGB,
                                   .interlaced = interlaced, .trns = true,
                                   .samples = stored };
    return make_png(&spec);
}

/* A copy of exactly n bytes, so that the address sanitizer sees a read past its end. */
static uint8_t *exact_copy(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, data, n);
    return copy;
}

static void expect_refused(const uint8_t *data, size_t n, const char *part)
{
    struct clfcn_image im;
    struct clfcn_err err = { 0 };
    uint8_t *copy = exact_copy(data, n);
    assert_int_equal(clfcn_image_decode(copy, n, "dir/a.png", CLFCN_AS_MASK, &im, &err),
                     CLFCN_EDATA);
    assert_null(im.px.u8);
    assert_int_equal(err.code, CLFCN_EDATA);
    assert_ptr_equal(strstr(err.msg, "dir/a.png: "), err.msg);
    assert_contains(err.msg, part);
    free(copy);
}

static void test_truncated_anywhere(void **state)
{
    for (int interlaced = 0; interlaced < 2; ++interlaced) {
        struct bytes png = small_png(interlaced);
        for (size_t n = 0; n < png.size; ++n) {
            expect_refused(png.data, n,
                           n == 0  ? "empty"
                           : n < 8 ? "not a PNG"
                                   : "damaged PNG: ");
        }
        free(png.data);
    }
}

/* Each chunk has a checksum, so no single bit may go unnoticed. */
static void test_any_flipped_bit(void **state)
{
    struct bytes png = small_png(false);
    for (size_t bit = 0; bit < 8 * png.size; ++bit) {
        png.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        expect_refused(png.data, png.size, "");
        png.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(png.data);
}

static void put_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

/* Give a PNG another size in its header, with the checksum that belongs to it. */
static void set_size(struct bytes *png, uint32_t width, uint32_t height)
{
    uint32_t crc = 0xffffffff;
    put_be32(png->data + 16, width);
    put_be32(png->data + 20, height);
    for (int i = 12; i < 29; ++i) {
        crc ^= png->data[i];
        for (int k = 0; k < 8; ++k) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
    }
    put_be32(png->data + 29, ~crc);
}

static void test_beyond_the_limits(void **state)
{
    struct bytes png = small_png(false);
    const double start = clfcn_clock_thread();
    set_size(&png, 100000, 100000);
    expect_refused(png.data, png.size, "100000x100000 pixels, the limit is 32768 a side");
    set_size(&png, 1, 32769);
    expect_refused(png.data, png.size, "1x32769");
    set_size(&png, 30000, 30000);
    expect_refused(png.data, png.size,
                   "30000x30000 pixels, the limit is 268435456 in all");
    set_size(&png, 0, 5);
    expect_refused(png.data, png.size, "impossible size");
    set_size(&png, 0xffffffff, 5);
    expect_refused(png.data, png.size, "impossible size");
    assert_true(clfcn_clock_thread() - start < 1.0);

    set_size(&png, 32768, 8); /* allowed, but the data are not there */
    expect_refused(png.data, png.size, "damaged PNG: ");
    set_size(&png, 13, 11);
    struct clfcn_image im;
    assert_int_equal(clfcn_image_decode(png.data, png.size, "a", CLFCN_AS_RGB, &im, NULL),
                     0);
    clfcn_image_free(&im);
    free(png.data);
}

static void count_message(void *user, enum clfcn_log_level level, const char *text)
{
    ++*(int *)user;
}

/* Chunks that the picture does not need are not looked into, as libpng would keep up to
 * 2 GiB of each: neither does a damaged one show, nor is one believed that claims so. */
static void test_useless_chunks(void **state)
{
    static const char damaged[] = "\0\0\0\1gAMA\0\x5f\xb8\x03\xcf",
                      claim[] = "\x7f\xff\xff\xf0pCAL";
    struct bytes png = small_png(false);
    uint8_t *odd = malloc(png.size + sizeof damaged);
    const size_t header = 8 + 25, rest = png.size - header;
    struct clfcn_image im;
    int messages = 0;
    assert_non_null(odd);
    memcpy(odd, png.data, header);
    memcpy(odd + header, damaged, sizeof damaged - 1);
    memcpy(odd + header + sizeof damaged - 1, png.data + header, rest);
    clfcn_log_set(CLFCN_LOG_DEBUG, count_message, &messages);
    assert_int_equal(clfcn_image_decode(odd, png.size + sizeof damaged - 1, "a",
                                        CLFCN_AS_RGB, &im, NULL),
                     CLFCN_OK);
    clfcn_log_set(CLFCN_LOG_DEBUG, NULL, NULL);
    assert_int_equal(messages, 0);
    clfcn_image_free(&im);
    memcpy(odd + header, claim, sizeof claim - 1);
    expect_refused(odd, png.size, "the file ends too early");
    free(odd);
    free(png.data);
}

static void test_not_an_image(void **state)
{
    expect_refused((const uint8_t *)"", 0, "empty");
    expect_refused((const uint8_t *)"hello, world", 12, "not a PNG or JPEG image");
    expect_refused((const uint8_t *)"GIF89a......", 12, "GIF");
    expect_refused((const uint8_t *)"RIFF....WEBPVP8 ", 16, "WebP");
    expect_refused((const uint8_t *)"BM", 2, "BMP");
}

static void test_files(void **state)
{
    char *dir = make_dir();
    struct clfcn_image im;
    struct clfcn_err err;
    int width, height;

    struct bytes png = small_png(true); /* kind told by content, not by name */
    assert_int_equal(clfcn_file_write(in(dir, "x.jpg"), png.data, png.size, &err),
                     CLFCN_OK);
    assert_int_equal(clfcn_image_read(in(dir, "x.jpg"), CLFCN_AS_RGB, &im, &err),
                     CLFCN_OK);
    assert_int_equal(im.px.u8[3 * 13 * 11 - 1], stored[3 * 13 * 11 - 1]);
    clfcn_image_free(&im);
    clfcn_image_free(&im);
    assert_int_equal(clfcn_image_size(in(dir, "x.jpg"), &width, &height, &err), CLFCN_OK);
    assert_int_equal(width, 13);
    assert_int_equal(height, 11);

    assert_int_equal(clfcn_image_read(in(dir, "none.png"), CLFCN_AS_RGB, &im, &err),
                     CLFCN_EDATA);
    assert_int_equal(err.code, CLFCN_EDATA);
    assert_contains(err.msg, "none.png");
    assert_int_equal(clfcn_image_size(in(dir, "none.png"), &width, &height, &err),
                     CLFCN_EDATA);
    assert_int_equal(clfcn_image_read(dir, CLFCN_AS_RGB, &im, &err), CLFCN_EDATA);
    free(png.data);
    remove_dir(dir);
}

static void test_write_and_read_back(void **state)
{
    static const uint8_t palette[3][3] = { { 1, 2, 3 }, { 40, 50, 60 }, { 255, 0, 9 } };
    char *dir = make_dir();
    struct clfcn_image im, back;
    struct clfcn_err err;
    for (int channels = 1; channels <= 3; channels += 2) {
        assert_int_equal(clfcn_image_alloc(&im, 17, 3, channels, 8, &err), CLFCN_OK);
        for (int i = 0; i < 17 * 3 * channels; ++i) {
            assert_int_equal(im.px.u8[i], 0);
            im.px.u8[i] = (uint8_t)(i * 37);
        }
        assert_int_equal(clfcn_png_write(in(dir, "w.png"), &im, &err), CLFCN_OK);
        assert_int_equal(clfcn_image_read(in(dir, "w.png"), CLFCN_AS_MASK, &back, &err),
                         0);
        assert_int_equal(back.channels, channels);
        assert_memory_equal(im.px.u8, back.px.u8, (size_t)(17 * 3 * channels));
        clfcn_image_free(&back);
        clfcn_image_free(&im);
    }

    assert_int_equal(clfcn_image_alloc(&im, 5, 2, 1, 8, &err), CLFCN_OK);
    im.px.u8[7] = 2;
    assert_int_equal(clfcn_png_write_indexed(in(dir, "i.png"), &im, palette, 3, &err), 0);
    assert_int_equal(clfcn_image_read(in(dir, "i.png"), CLFCN_AS_MASK, &back, &err), 0);
    assert_true(back.palette);
    assert_memory_equal(im.px.u8, back.px.u8, 10);
    clfcn_image_free(&back);
    assert_int_equal(clfcn_image_read(in(dir, "i.png"), CLFCN_AS_RGB, &back, &err), 0);
    assert_memory_equal(back.px.u8 + 21, palette[2], 3);
    clfcn_image_free(&back);

    im.px.u8[3] = 3;
    assert_int_equal(clfcn_png_write_indexed(in(dir, "j.png"), &im, palette, 3, &err),
                     CLFCN_EINVAL);
    assert_int_equal(clfcn_png_write(in(dir, "none/j.png"), &im, &err), CLFCN_EIO);
    assert_contains(err.msg, "none/j.png");
    clfcn_image_free(&im);
    remove_dir(dir);
}

static void test_names(void **state)
{
    assert_true(clfcn_image_name_ok("a/b.png"));
    assert_true(clfcn_image_name_ok("B.PNG"));
    assert_false(clfcn_image_name_ok("png"));
    assert_false(clfcn_image_name_ok("a.txt"));
    assert_true(clfcn_image_name_is_jpeg("x.y.JPeG"));
    assert_false(clfcn_image_name_is_jpeg("x.jpg.png"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_truncated_anywhere),
        cmocka_unit_test(test_any_flipped_bit),
        cmocka_unit_test(test_beyond_the_limits),
        cmocka_unit_test(test_useless_chunks),
        cmocka_unit_test(test_not_an_image),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_write_and_read_back),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests_name("png", tests, NULL, NULL);
}
