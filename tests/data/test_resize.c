/* test_resize.c - sampling against its definition in double, on awkward sizes. */
#include "make.h"
#include "../../host/data/resize.h"
#include <math.h>

enum { GUARD = 5 };

/* PyTorch's interpolate(mode="bilinear", align_corners=False), written down once more. */
static double ref_bilinear(const double *src, int from_w, int from_h, int to_w, int to_h,
                           int x, int y)
{
    const double sx = fmax(0.0, (x + 0.5) * from_w / to_w - 0.5);
    const double sy = fmax(0.0, (y + 0.5) * from_h / to_h - 0.5);
    const int x0 = (int)fmin(floor(sx), from_w - 1), x1 = x0 + 1 < from_w ? x0 + 1 : x0;
    const int y0 = (int)fmin(floor(sy), from_h - 1), y1 = y0 + 1 < from_h ? y0 + 1 : y0;
    const double tx = sx - x0, ty = sy - y0;
    return (1 - ty) * ((1 - tx) * src[y0 * from_w + x0] + tx * src[y0 * from_w + x1]) +
           ty * ((1 - tx) * src[y1 * from_w + x0] + tx * src[y1 * from_w + x1]);
}

static void check_input(int from_w, int from_h, int to_w, int to_h, int depth)
{
    const size_t from = (size_t)from_w * (size_t)from_h, to = (size_t)to_w * (size_t)to_h;
    const size_t stride = to + GUARD;
    const double top = depth == 8 ? 255.0 : 65535.0;
    struct clfcn_image im;
    assert_int_equal(clfcn_image_alloc(&im, from_w, from_h, 3, depth, NULL), 0);
    double *plane = malloc(from * sizeof *plane);
    float *out = malloc(3 * stride * sizeof *out);
    assert_non_null(plane);
    assert_non_null(out);
    for (size_t i = 0; i < 3 * from; ++i) {
        const unsigned v = (unsigned)rand();
        if (depth == 8) {
            im.px.u8[i] = (uint8_t)(v >> 7);
        } else {
            im.px.u16[i] = (uint16_t)(v >> 7);
        }
    }
    for (size_t i = 0; i < 3 * stride; ++i) {
        out[i] = NAN;
    }
    clfcn_resize_to_input(&im, to_w, to_h, out, stride);
    for (size_t c = 0; c < 3; ++c) {
        for (size_t i = 0; i < from; ++i) {
            plane[i] = (depth == 8 ? im.px.u8[3 * i + c] : im.px.u16[3 * i + c]) / top;
        }
        for (size_t i = 0; i < stride; ++i) {
            if (i >= to) {
                assert_true(isnan(out[c * stride + i]));
                continue;
            }
            const double v = ref_bilinear(plane, from_w, from_h, to_w, to_h,
                                          (int)i % to_w, (int)i / to_w);
            const double want =
                (v - (double)clfcn_imagenet_mean[c]) / (double)clfcn_imagenet_std[c];
            /* The scale is a float: positions are exact to 6e-8 of the side. */
            assert_float_equal(out[c * stride + i], want,
                               1e-6 + 3e-7 * (from_w + from_h));
        }
    }
    free(out);
    free(plane);
    clfcn_image_free(&im);
}

static void test_input_on_awkward_sizes(void **state)
{
    static const int sizes[][4] = {
        { 1, 1, 5, 3 },   { 7, 5, 7, 5 },    { 2, 2, 4, 4 },   { 300, 2, 32, 64 },
        { 2, 300, 3, 7 }, { 31, 17, 33, 1 }, { 9, 9, 600, 2 }, { 513, 3, 257, 4 },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        check_input(sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], 8);
        check_input(sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], 16);
    }
}

/* Share of sample i in destination d of an axis: its overlap where the axis shrinks, else
 * its bilinear weight. */
static double ref_share(int d, int i, int from, int to)
{
    if (from > to) {
        const double lo = (double)d * from / to, hi = (double)(d + 1) * from / to;
        return fmax(0, fmin(hi, i + 1) - fmax(lo, i)) / (hi - lo);
    }
    const double at = fmin(fmax((d + 0.5) * from / to - 0.5, 0), from - 1);
    return fmax(0, 1 - fabs(at - i));
}

static void check_area(int from_w, int from_h, int to_w, int to_h, int depth)
{
    const size_t to = (size_t)to_w * (size_t)to_h, stride = to + GUARD;
    const double top = depth == 8 ? 255.0 : 65535.0;
    struct clfcn_image im, small;
    float *out = malloc(3 * stride * sizeof *out);
    assert_non_null(out);
    assert_int_equal(clfcn_image_alloc(&im, from_w, from_h, 3, depth, NULL), 0);
    for (int i = 0; i < 3 * from_w * from_h; ++i) {
        if (depth == 8) {
            im.px.u8[i] = (uint8_t)(rand() >> 7);
        } else {
            im.px.u16[i] = (uint16_t)(rand() >> 7);
        }
    }
    for (size_t i = 0; i < 3 * stride; ++i) {
        out[i] = NAN;
    }
    clfcn_resize_to_input_as(&im, CLFCN_RESIZE_AREA, to_w, to_h, out, stride);
    assert_int_equal(clfcn_resize_image(&im, CLFCN_RESIZE_AREA, to_w, to_h, &small, NULL),
                     CLFCN_OK);
    for (size_t k = 0; k < 3 * to; ++k) {
        const size_t c = k / to, at = k % to;
        const int x = (int)at % to_w, y = (int)at / to_w;
        double mean = 0;
        for (int j = 0; j < from_h; ++j) {
            const double wy = ref_share(y, j, from_h, to_h);
            for (int i = 0; i < from_w && wy > 0; ++i) {
                const size_t from = 3 * ((size_t)j * (size_t)from_w + (size_t)i) + c;
                const double v = depth == 8 ? im.px.u8[from] : im.px.u16[from];
                mean += wy * ref_share(x, i, from_w, to_w) * v;
            }
        }
        const double want =
            (mean / top - (double)clfcn_imagenet_mean[c]) / (double)clfcn_imagenet_std[c];
        const double got =
            depth == 8 ? small.px.u8[3 * at + c] : small.px.u16[3 * at + c];
        assert_float_equal(out[c * stride + at], want, 1e-6 + 3e-7 * (from_w + from_h));
        assert_true(fabs(got - mean) <= 0.5 + 1e-9 * top);
    }
    for (size_t i = to; i < stride; ++i) {
        assert_true(isnan(out[i]) && isnan(out[2 * stride + i]));
    }
    free(out);
    clfcn_image_free(&small);
    clfcn_image_free(&im);
}

static void test_area_on_awkward_sizes(void **state)
{
    static const int sizes[][4] = {
        { 1, 1, 5, 3 },     { 7, 5, 7, 5 },     { 7, 5, 6, 4 },     { 300, 2, 32, 64 },
        { 2, 300, 3, 7 },   { 31, 17, 30, 1 },  { 64, 48, 32, 16 }, { 513, 5, 257, 4 },
        { 37, 41, 11, 13 }, { 600, 3, 599, 3 }, { 3, 3, 1, 1 },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        check_area(sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], 8);
        check_area(sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], 16);
    }
}

/* What is not made smaller, and what is not to be averaged, is as without the choice. */
static void test_area_is_for_shrinking(void **state)
{
    static const int sizes[][2] = { { 20, 12 }, { 21, 12 }, { 20, 30 }, { 19, 12 } };
    struct clfcn_image im;
    assert_int_equal(clfcn_image_alloc(&im, 20, 12, 3, 8, NULL), 0);
    for (int i = 0; i < 3 * 20 * 12; ++i) {
        im.px.u8[i] = (uint8_t)(rand() >> 7);
    }
    for (int i = 0; i < 4; ++i) {
        static float want[3 * 30 * 30], got[3 * 30 * 30];
        const int width = sizes[i][0], height = sizes[i][1], n = width * height;
        const enum clfcn_resize how = i < 3 ? CLFCN_RESIZE_AREA : CLFCN_RESIZE_BILINEAR;
        clfcn_resize_to_input(&im, width, height, want, (size_t)n);
        clfcn_resize_to_input_as(&im, how, width, height, got, (size_t)n);
        assert_memory_equal(want, got, 3 * (size_t)n * sizeof *want);
    }
    clfcn_image_free(&im);
}

/* Two pixels become four: weights 1, 3/4, 1/4, 0 by hand. */
static void test_input_by_hand(void **state)
{
    const uint8_t pixels[] = { 0, 0, 0, 255, 255, 255 };
    const struct clfcn_image im = { .width = 2, .height = 1, .channels = 3, .depth = 8,
                                    .px.u8 = (uint8_t *)pixels };
    const float want[] = { 0.0f, 0.25f, 0.75f, 1.0f };
    float out[12];
    clfcn_resize_to_input(&im, 4, 1, out, 4);
    for (int i = 0; i < 12; ++i) {
        const int c = i / 4;
        assert_true(out[i] ==
                    (want[i % 4] - clfcn_imagenet_mean[c]) / clfcn_imagenet_std[c]);
    }
}

/* At its own size an image is converted to the last bit, not sampled. */
static void test_equal_size_is_exact(void **state)
{
    struct clfcn_image im;
    static float out[3 * 259 * 3];
    assert_int_equal(clfcn_image_alloc(&im, 259, 3, 3, 8, NULL), 0);
    for (int i = 0; i < 259 * 9; ++i) {
        im.px.u8[i] = (uint8_t)(i * 89);
    }
    clfcn_resize_to_input(&im, 259, 3, out, 259 * 3);
    for (int i = 0; i < 259 * 9; ++i) {
        const int c = i % 3;
        const float v = (float)im.px.u8[i] / 255.0f;
        assert_true(out[c * 259 * 3 + i / 3] ==
                    (v - clfcn_imagenet_mean[c]) / clfcn_imagenet_std[c]);
    }
    clfcn_image_free(&im);
}

static void check_labels(int from_w, int from_h, int to_w, int to_h)
{
    uint8_t *src = malloc((size_t)from_w * (size_t)from_h);
    uint8_t *dst = malloc((size_t)to_w * (size_t)to_h + GUARD);
    assert_non_null(src);
    assert_non_null(dst);
    for (int i = 0; i < from_w * from_h; ++i) {
        src[i] = (uint8_t)(rand() >> 5);
    }
    memset(dst, 0xa5, (size_t)to_w * (size_t)to_h + GUARD);
    clfcn_resize_labels(src, from_w, from_h, dst, to_w, to_h);
    for (int i = 0; i < to_w * to_h; ++i) {
        const int x = (int)floor((i % to_w + 0.5) * from_w / to_w);
        const int y = (int)floor((i / to_w + 0.5) * from_h / to_h);
        assert_int_equal(dst[i], src[y * from_w + x]);
    }
    for (int i = 0; i < GUARD; ++i) {
        assert_int_equal(dst[to_w * to_h + i], 0xa5);
    }
    free(src);
    free(dst);
}

static void test_labels(void **state)
{
    check_labels(1, 1, 4, 3);
    check_labels(5, 4, 5, 4);
    check_labels(5, 4, 5, 9);
    check_labels(750, 2, 160, 3);
    check_labels(3, 64, 7, 63);
}

static void check_argmax(int classes, int from_w, int from_h, int to_w, int to_h)
{
    const int from = from_w * from_h, stride = from + 3;
    float *logits = malloc((size_t)(classes * stride) * sizeof *logits);
    double *planes = malloc((size_t)(classes * from) * sizeof *planes);
    uint8_t *dst = malloc((size_t)(to_w * to_h));
    assert_non_null(logits);
    assert_non_null(planes);
    assert_non_null(dst);
    for (int i = 0; i < classes * stride; ++i) {
        logits[i] = i % stride < from ? (float)(rand() % 2001 - 1000) * 0.01f : NAN;
        if (i % stride < from) {
            planes[i / stride * from + i % stride] = (double)logits[i];
        }
    }
    clfcn_resize_argmax(logits, classes, (size_t)stride, from_w, from_h, dst, to_w, to_h);
    for (int i = 0; i < to_w * to_h; ++i) {
        double best = -INFINITY, got = 0.0;
        for (int c = 0; c < classes; ++c) {
            const double v = ref_bilinear(planes + c * from, from_w, from_h, to_w, to_h,
                                          i % to_w, i / to_w);
            best = fmax(best, v);
            got = c == dst[i] ? v : got;
        }
        assert_true(dst[i] < classes);
        assert_true(got >= best - 1e-3); /* rounding may decide a near tie */
    }
    free(logits);
    free(planes);
    free(dst);
}

static void test_argmax(void **state)
{
    check_argmax(1, 3, 3, 5, 7);
    check_argmax(2, 16, 8, 75, 53);
    check_argmax(7, 5, 9, 300, 4);
    check_argmax(4, 32, 32, 32, 32);

    const float tie[] = { 1.0f, 2.0f, 1.0f, 2.0f, 0.5f, 2.5f };
    uint8_t dst[2];
    clfcn_resize_argmax(tie, 3, 2, 2, 1, dst, 2, 1);
    assert_int_equal(dst[0], 0);
    assert_int_equal(dst[1], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_input_on_awkward_sizes),
        cmocka_unit_test(test_area_on_awkward_sizes),
        cmocka_unit_test(test_area_is_for_shrinking),
        cmocka_unit_test(test_input_by_hand),
        cmocka_unit_test(test_equal_size_is_exact),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_argmax),
    };
    return cmocka_run_group_tests_name("resize", tests, NULL, NULL);
}
