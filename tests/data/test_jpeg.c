/* test_jpeg.c - JPEG in all its colours, and damaged ones as errors, not as invented
 * pixels. */
#include "make.h"
#include "../../host/data/image.h"

#include <jpeglib.h>

struct jpeg_spec {
    int width, height, channels;
    J_COLOR_SPACE in, stored;
    int subsampling; /* of chroma: 1 or 2 */
    bool progressive;
};

/* Smooth gradients, which survive compression almost unchanged. */
static uint8_t pixel(int x, int y, int c)
{
    return (uint8_t)(c == 0 ? 20 + 3 * x : c == 1 ? 230 - 2 * y - x : 60 + x + 2 * y);
}

/* The mean of each block, and the rest of it. */
static const jpeg_scan_info two_scans[] = { { 1, { 0 }, 0, 0, 0, 0 },
                                            { 1, { 0 }, 1, 63, 0, 0 } };

static struct bytes make_jpeg(const struct jpeg_spec *s)
{
    struct jpeg_compress_struct enc;
    struct jpeg_error_mgr mgr;
    unsigned char *data = NULL;
    unsigned long size = 0;
    uint8_t row[4 * 64];
    enc.err = jpeg_std_error(&mgr);
    jpeg_create_compress(&enc);
    jpeg_mem_dest(&enc, &data, &size);
    enc.image_width = (JDIMENSION)s->width;
    enc.image_height = (JDIMENSION)s->height;
    enc.input_components = s->channels;
    enc.in_color_space = s->in;
    jpeg_set_defaults(&enc);
    jpeg_set_colorspace(&enc, s->stored);
    jpeg_set_quality(&enc, 100, TRUE);
    enc.comp_info[0].h_samp_factor = enc.comp_info[0].v_samp_factor = s->subsampling;
    if (s->progressive && s->channels == 1) {
        enc.scan_info = two_scans;
        enc.num_scans = 2;
    } else if (s->progressive) {
        jpeg_simple_progression(&enc);
    }
    jpeg_start_compress(&enc, TRUE);
    for (int y = 0; y < s->height; ++y) {
        JSAMPROW rows[1] = { row };
        for (int x = 0; x < s->width; ++x) {
            for (int c = 0; c < s->channels; ++c) {
                row[x * s->channels + c] = pixel(x, y, c);
            }
        }
        jpeg_write_scanlines(&enc, rows, 1);
    }
    jpeg_finish_compress(&enc);
    jpeg_destroy_compress(&enc);
    return (struct bytes){ data, size };
}

static const struct jpeg_spec gray = {
    37, 21, 1, JCS_GRAYSCALE, JCS_GRAYSCALE, 1, false
};
static const struct jpeg_spec color = { 37, 21, 3, JCS_RGB, JCS_YCbCr, 2, false };
static const struct jpeg_spec progressive = { 37, 21, 3, JCS_RGB, JCS_YCbCr, 2, true };

static void check_pixels(const struct jpeg_spec *s, enum clfcn_image_as as, int channels)
{
    struct bytes jpeg = make_jpeg(s);
    struct clfcn_image im;
    struct clfcn_err err;
    assert_int_equal(clfcn_image_decode(jpeg.data, jpeg.size, "a.jpg", as, &im, &err), 0);
    assert_int_equal(im.width, s->width);
    assert_int_equal(im.height, s->height);
    assert_int_equal(im.channels, channels);
    assert_int_equal(im.depth, 8);
    for (int i = 0; i < im.width * im.height * channels; ++i) {
        const int x = i / channels % im.width, y = i / channels / im.width;
        const int want = pixel(x, y, s->channels == 1 ? 0 : i % channels);
        assert_in_range(im.px.u8[i] + 6, want, want + 12);
    }
    clfcn_image_free(&im);
    free(jpeg.data);
}

static void test_colors(void **state)
{
    const struct jpeg_spec full = { 37, 21, 3, JCS_RGB, JCS_YCbCr, 1, false };
    const struct jpeg_spec rgb = { 37, 21, 3, JCS_RGB, JCS_RGB, 1, false };
    const struct jpeg_spec tiny = { 1, 1, 3, JCS_RGB, JCS_YCbCr, 2, false };
    check_pixels(&gray, CLFCN_AS_MASK, 1);
    check_pixels(&gray, CLFCN_AS_RGB, 3);
    check_pixels(&color, CLFCN_AS_RGB, 3);
    check_pixels(&color, CLFCN_AS_MASK, 3);
    check_pixels(&progressive, CLFCN_AS_RGB, 3);
    check_pixels(&full, CLFCN_AS_RGB, 3);
    check_pixels(&rgb, CLFCN_AS_RGB, 3);
    check_pixels(&tiny, CLFCN_AS_RGB, 3);
}

static void expect_refused(const uint8_t *data, size_t n, const char *part)
{
    struct clfcn_image im;
    struct clfcn_err err = { 0 };
    uint8_t *copy = malloc(n);
    assert_non_null(copy);
    memcpy(copy, data, n);
    assert_int_equal(clfcn_image_decode(copy, n, "dir/a.jpg", CLFCN_AS_RGB, &im, &err),
                     CLFCN_EDATA);
    assert_null(im.px.u8);
    assert_ptr_equal(strstr(err.msg, "dir/a.jpg: "), err.msg);
    assert_contains(err.msg, part);
    free(copy);
}

static void test_cmyk(void **state)
{
    const struct jpeg_spec cmyk = { 9, 9, 4, JCS_CMYK, JCS_CMYK, 1, false };
    const struct jpeg_spec ycck = { 9, 9, 4, JCS_CMYK, JCS_YCCK, 1, false };
    struct bytes a = make_jpeg(&cmyk), b = make_jpeg(&ycck);
    expect_refused(a.data, a.size, "CMYK");
    expect_refused(b.data, b.size, "convert it to RGB");
    free(a.data);
    free(b.data);
}

static void test_truncated_anywhere(void **state)
{
    const struct jpeg_spec *specs[] = { &gray, &color, &progressive };
    for (size_t k = 0; k < 3; ++k) {
        struct bytes jpeg = make_jpeg(specs[k]);
        for (size_t n = 1; n < jpeg.size; ++n) {
            expect_refused(jpeg.data, n, n < 3 ? "not a PNG" : "damaged JPEG: ");
        }
        free(jpeg.data);
    }
}

/* JPEG has no checksums: a flipped bit may pass, but must not crash, leak or hang. */
static void test_any_flipped_bit(void **state)
{
    const struct jpeg_spec *specs[] = { &gray, &progressive };
    for (size_t k = 0; k < 2; ++k) {
        struct bytes jpeg = make_jpeg(specs[k]);
        int noticed = 0;
        for (size_t bit = 0; bit < 8 * jpeg.size; bit += 3) {
            struct clfcn_image im;
            struct clfcn_err err = { 0 };
            jpeg.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            const int rc =
                clfcn_image_decode(jpeg.data, jpeg.size, "a", CLFCN_AS_RGB, &im, &err);
            jpeg.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_true(rc == CLFCN_OK || rc == CLFCN_EDATA);
            assert_int_equal(rc == CLFCN_OK, im.px.u8 != NULL);
            noticed += rc == CLFCN_EDATA;
            clfcn_image_free(&im);
        }
        assert_true(noticed > 100);
        free(jpeg.data);
    }
}

static void test_lost_middle(void **state)
{
    struct bytes jpeg = make_jpeg(&color);
    const size_t hole = jpeg.size - 150; /* within the only scan */
    memmove(jpeg.data + hole, jpeg.data + hole + 40, jpeg.size - hole - 40);
    expect_refused(jpeg.data, jpeg.size - 40, "damaged JPEG: ");
    memcpy(jpeg.data + hole, "\xff\xd9", 2); /* a proper end, too early */
    expect_refused(jpeg.data, jpeg.size - 40, "premature end of data segment");
    free(jpeg.data);
}

/* What cameras and tools really leave in files, without harm to the picture. */
static void test_harmless_oddities(void **state)
{
    struct bytes jpeg = make_jpeg(&gray);
    const size_t app0_end = 2 + 2 + 16; /* SOI, APP0 marker, its 16 bytes */
    uint8_t *odd = calloc(1, jpeg.size + 50);
    struct clfcn_image im;
    struct clfcn_err err;
    assert_non_null(odd);
    memcpy(odd, jpeg.data, jpeg.size); /* bytes after the end */
    assert_int_equal(
        clfcn_image_decode(odd, jpeg.size + 50, "a", CLFCN_AS_MASK, &im, &err), 0);
    clfcn_image_free(&im);

    memcpy(odd, jpeg.data, app0_end); /* bytes between two markers */
    memset(odd + app0_end, 0, 3);
    memcpy(odd + app0_end + 3, jpeg.data + app0_end, jpeg.size - app0_end);
    assert_int_equal(
        clfcn_image_decode(odd, jpeg.size + 3, "a", CLFCN_AS_MASK, &im, &err), 0);
    clfcn_image_free(&im);
    free(odd);
    free(jpeg.data);
}

/* A JPEG whose header claims that size, two bytes each of height and width. */
static struct bytes make_claim(const struct jpeg_spec *s, const char *size)
{
    const uint8_t marker = s->progressive ? 0xc2 : 0xc0;
    struct bytes jpeg = make_jpeg(s);
    for (size_t i = 0; i + 9 < jpeg.size; ++i) {
        if (jpeg.data[i] == 0xff && jpeg.data[i + 1] == marker) {
            memcpy(jpeg.data + i + 5, size, 4);
            break;
        }
    }
    return jpeg;
}

static void test_size_limit(void **state)
{
    struct bytes jpeg = make_claim(&gray, "\xff\x00\xff\x00");
    expect_refused(jpeg.data, jpeg.size, "65280x65280 pixels, the limit is 32768 a side");
    free(jpeg.data);
}

/* Progressive files are decoded from coefficients of the whole picture. */
static void test_memory_limit(void **state)
{
    const struct jpeg_spec fine = { 37, 21, 3, JCS_RGB, JCS_YCbCr, 1, true };
    struct bytes jpeg = make_claim(&fine, "\x40\x00\x40\x00");
    expect_refused(jpeg.data, jpeg.size, "16384x16384 pixels takes more than 1 GiB");
    free(jpeg.data);
}

/* A scan that brings what is known already is legal. */
static void test_scan_limit(void **state)
{
    const struct jpeg_spec fine = { 37, 21, 1, JCS_GRAYSCALE, JCS_GRAYSCALE, 1, true };
    struct bytes jpeg = make_jpeg(&fine), many = { NULL, 0 };
    size_t last = 0;
    for (size_t i = 0; i + 1 < jpeg.size; ++i) {
        last = jpeg.data[i] == 0xff && jpeg.data[i + 1] == 0xda ? i : last;
    }
    const size_t scan = jpeg.size - 2 - last;
    many.data = malloc(jpeg.size + 200 * scan);
    assert_non_null(many.data);
    memcpy(many.data, jpeg.data, last);
    many.size = last;
    for (int i = 0; i < 200; ++i, many.size += scan) {
        memcpy(many.data + many.size, jpeg.data + last, scan);
    }
    memcpy(many.data + many.size, "\xff\xd9", 2);
    expect_refused(many.data, many.size + 2, "more than 100 scans");
    free(many.data);
    free(jpeg.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_colors),
        cmocka_unit_test(test_cmyk),
        cmocka_unit_test(test_truncated_anywhere),
        cmocka_unit_test(test_any_flipped_bit),
        cmocka_unit_test(test_lost_middle),
        cmocka_unit_test(test_harmless_oddities),
        cmocka_unit_test(test_size_limit),
        cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_scan_limit),
    };
    return cmocka_run_group_tests_name("jpeg", tests, NULL, NULL);
}
