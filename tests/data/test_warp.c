/* test_warp.c - where an affine map puts pixels and labels, and what colours become. */
#include "make.h"
#include "../../host/data/jitter.h"
#include "../../host/data/resize.h"
#include <clfcn/net.h>
#include <math.h>

enum { W = 64, H = 48, PLANE = W * H };

static float plane_value(const float *image, int c, int i)
{
    return image[c * PLANE + i] * clfcn_imagenet_std[c] + clfcn_imagenet_mean[c];
}

static struct clfcn_image new_image(int width, int height, int depth)
{
    struct clfcn_image im;
    assert_int_equal(clfcn_image_alloc(&im, width, height, 3, depth, NULL), CLFCN_OK);
    return im;
}

static struct clfcn_draw plain_draw(void)
{
    return (struct clfcn_draw){
        .zoom = 1, .left = 0.5, .top = 0.5, .factor = { 1, 1, 1 }, .order = { 0, 1, 2 }
    };
}

static struct clfcn_draw some_draw(int i)
{
    struct clfcn_augment a;
    assert_int_equal(
        clfcn_augment_parse("flip,vflip,scale=0.5-2,crop,rotate=180", &a, NULL),
        CLFCN_OK);
    return clfcn_augment_draw(&a, 77, 0, i);
}

/* Where a place of the full picture is seen in the frame: the way forward, against which
 * the map goes. */
static void forward(const struct clfcn_draw *d, double full_w, double full_h, double x,
                    double y, double *fx, double *fy)
{
    const double wide = d->zoom * W, high = d->zoom * H;
    /* the window's middle, in the picture */
    const double mid_x = (d->left * (wide - W) + W / 2.0) * full_w / wide;
    const double mid_y = (d->top * (high - H) + H / 2.0) * full_h / high;
    const double t = d->degrees * acos(-1) / 180;
    const double dx = x - mid_x, dy = y - mid_y;
    const double rx = cos(t) * dx + sin(t) * dy, ry = cos(t) * dy - sin(t) * dx;
    const double at_x = W / 2.0 + rx * wide / full_w, at_y = H / 2.0 + ry * high / full_h;
    *fx = d->flip ? W - at_x : at_x;
    *fy = d->vflip ? H - at_y : at_y;
}

/* Centre of gravity of what is brighter than black, and of a label; false if any of it is
 * near the frame's border. */
static bool find_marker(const float *image, const uint8_t *labels, double at[2],
                        double label_at[2])
{
    double sum = 0, count = 0;
    at[0] = at[1] = label_at[0] = label_at[1] = 0;
    for (int i = 0; i < PLANE; ++i) {
        const double v = labels[i] == CLFCN_IGNORE ? 0 : plane_value(image, 1, i);
        const int x = i % W, y = i / W;
        if ((v > 1e-3 || labels[i] == 1) && (x < 1 || y < 1 || x > W - 2 || y > H - 2)) {
            return false;
        }
        at[0] += v * (x + 0.5);
        at[1] += v * (y + 0.5);
        sum += v;
        label_at[0] += (labels[i] == 1) * (x + 0.5);
        label_at[1] += (labels[i] == 1) * (y + 0.5);
        count += labels[i] == 1;
    }
    for (int k = 0; k < 2; ++k) {
        at[k] /= sum;
        label_at[k] /= count;
    }
    return sum > 0 && count > 0;
}

/* A white square of `side` pixels on black; the picture shows full_w x full_h at a lower
 * resolution, unlike along both axes. */
static int check_markers(int from_w, int from_h, int full_w, int full_h, int side,
                         int depth, int round)
{
    static float image[3 * PLANE];
    static uint8_t labels[PLANE], source[200 * 200];
    const struct clfcn_draw d = some_draw(round);
    const int x0 = (round * 37) % (from_w - side), y0 = (round * 53) % (from_h - side);
    struct clfcn_image im = new_image(from_w, from_h, depth);
    memset(source, 0, sizeof source);
    for (int i = 0; i < side * side; ++i) {
        const int at = (y0 + i / side) * from_w + x0 + i % side;
        source[at] = 1;
        for (int c = 0; c < 3; ++c) {
            if (depth == 8) {
                im.px.u8[3 * at + c] = 255;
            } else {
                im.px.u16[3 * at + c] = 65535;
            }
        }
    }
    const struct clfcn_warp w = clfcn_warp_of(&d, full_w, full_h, from_w, from_h, W, H);
    clfcn_warp_to_input(&w, &im, round % 2 ? CLFCN_RESIZE_AREA : CLFCN_RESIZE_BILINEAR,
                        image, PLANE);
    clfcn_warp_labels(&w, source, labels);
    clfcn_image_free(&im);

    double at[2], label_at[2], want[2];
    forward(&d, full_w, full_h, (x0 + side / 2.0) * full_w / from_w,
            (y0 + side / 2.0) * full_h / from_h, &want[0], &want[1]);
    if (!find_marker(image, labels, at, label_at)) {
        return 0;
    }
    for (int k = 0; k < 2; ++k) {
        assert_float_equal(at[k], want[k], 0.1);
        assert_float_equal(label_at[k], want[k], 0.6); /* whole pixels, few of them */
    }
    return 1;
}

static void test_markers(void **state)
{
    int seen = 0;
    for (int round = 0; round < 120; ++round) {
        seen += check_markers(W, H, W, H, 5, 8, round);
        seen += check_markers(150, 150, 150, 150, 13, 16, round);
        seen += check_markers(96, 72, 300, 100, 9, 8, round);
        seen += check_markers(31, 47, 31, 47, 4, 8, round);
    }
    assert_true(seen > 120);
}

static void test_identity_is_identical(void **state)
{
    static float want[3 * PLANE], got[3 * PLANE];
    static uint8_t source[PLANE], labels[PLANE];
    struct clfcn_draw d = plain_draw();
    d.left = 0.3; /* no room to be moved in */
    for (int depth = 8; depth <= 16; depth += 8) {
        struct clfcn_image im = new_image(W, H, depth);
        for (int i = 0; i < 3 * PLANE; ++i) {
            if (depth == 8) {
                im.px.u8[i] = (uint8_t)rand();
            } else {
                im.px.u16[i] = (uint16_t)rand();
            }
            source[i % PLANE] = (uint8_t)(rand() % 7);
        }
        const struct clfcn_warp w = clfcn_warp_of(&d, 5 * W, 3 * H, W, H, W, H);
        clfcn_resize_to_input(&im, W, H, want, PLANE);
        for (int how = 0; how < 2; ++how) {
            clfcn_warp_to_input(&w, &im, (enum clfcn_resize)how, got, PLANE);
            assert_memory_equal(want, got, sizeof want);
        }
        clfcn_warp_labels(&w, source, labels);
        assert_memory_equal(source, labels, sizeof labels);
        clfcn_image_free(&im);
    }
}

/* A plain zoom of 1 is the plain resizing, where one sample a pixel does. */
static void test_no_change_is_the_resize(void **state)
{
    static const int sizes[][2] = { { 2 * W, 2 * H }, { 40, 77 }, { 100, 31 }, { 3, 2 } };
    static float want[3 * PLANE], got[3 * PLANE];
    static uint8_t source[4 * PLANE], want_labels[PLANE], labels[PLANE];
    const struct clfcn_draw d = plain_draw();
    for (int s = 0; s < 4; ++s) {
        const int width = sizes[s][0], height = sizes[s][1];
        struct clfcn_image im = new_image(width, height, 8);
        for (int i = 0; i < 3 * width * height; ++i) {
            im.px.u8[i] = (uint8_t)rand();
            source[i % (width * height)] = (uint8_t)(rand() % 7);
        }
        const struct clfcn_warp w = clfcn_warp_of(&d, width, height, width, height, W, H);
        clfcn_resize_to_input(&im, W, H, want, PLANE);
        clfcn_warp_to_input(&w, &im, CLFCN_RESIZE_BILINEAR, got, PLANE);
        for (int i = 0; i < 3 * PLANE; ++i) {
            assert_float_equal(want[i], got[i], 2e-4); /* positions in float there */
        }
        clfcn_resize_labels(source, width, height, want_labels, W, H);
        clfcn_warp_labels(&w, source, labels);
        assert_memory_equal(want_labels, labels, sizeof labels);
        clfcn_image_free(&im);
    }
}

static double variance(const float *v, int n)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < n; ++i) {
        sum += v[i];
        squares += (double)v[i] * v[i];
    }
    return squares / n - (sum / n) * (sum / n);
}

/* Pixel noise, made smaller, should average out, and more so than by plain resizing. */
static void test_antialias(void **state)
{
    enum { SIDE = 6 };
    static float plain[3 * PLANE], got[3 * PLANE];
    struct clfcn_image im = new_image(SIDE * W, SIDE * H, 8);
    for (int i = 0; i < 3 * SIDE * SIDE * PLANE; ++i) {
        im.px.u8[i] = rand() & 256 ? 255 : 0;
    }
    struct clfcn_draw d = plain_draw();
    const struct clfcn_warp w =
        clfcn_warp_of(&d, SIDE * W, SIDE * H, SIDE * W, SIDE * H, W, H);
    clfcn_resize_to_input(&im, W, H, plain, PLANE);
    clfcn_warp_to_input(&w, &im, CLFCN_RESIZE_BILINEAR, got, PLANE);
    assert_true(variance(got, PLANE) < 0.3 * variance(plain, PLANE));
    clfcn_warp_to_input(&w, &im, CLFCN_RESIZE_AREA, got, PLANE);
    assert_true(variance(got, PLANE) < 0.2 * variance(plain, PLANE));
    clfcn_image_free(&im);
}

/* Labels in patches, and a picture whose colour says the label: they stay together, and
 * what is outside is outside for both. */
static void test_labels_stay_with_their_pixels(void **state)
{
    enum { FW = 150, FH = 131, LABELS = 5, PATCH = 24 };
    static float image[3 * PLANE];
    static uint8_t source[FW * FH], labels[PLANE];
    struct clfcn_image im = new_image(FW, FH, 8);
    int64_t checked = 0, outside = 0;
    for (int i = 0; i < FW * FH; ++i) {
        const int patch = i % FW / PATCH * 3 + i / FW / PATCH * 7;
        source[i] = (uint8_t)(patch * patch % LABELS);
        memset(im.px.u8 + 3 * i, 20 + 50 * source[i], 3);
    }
    for (int round = 0; round < 80; ++round) {
        const struct clfcn_draw d = some_draw(round);
        const struct clfcn_warp w = clfcn_warp_of(&d, FW, FH, FW, FH, W, H);
        clfcn_warp_to_input(&w, &im, (enum clfcn_resize)(round % 2), image, PLANE);
        clfcn_warp_labels(&w, source, labels);
        for (int i = 0; i < PLANE; ++i) {
            const int x = i % W, y = i / W;
            if (labels[i] == CLFCN_IGNORE) {
                for (int c = 0; c < 3; ++c) {
                    assert_true(image[c * PLANE + i] == 0);
                }
                ++outside;
                continue;
            }
            bool inner = x >= 2 && y >= 2 && x < W - 2 && y < H - 2;
            for (int k = 0; k < 25 && inner; ++k) {
                inner = labels[i + (k / 5 - 2) * W + k % 5 - 2] == labels[i];
            }
            if (inner) {
                const double level = 255 * (double)plane_value(image, 0, i);
                assert_int_equal(lround((level - 20) / 50), labels[i]);
                ++checked;
            }
        }
    }
    assert_true(checked > 20 * PLANE && outside > 5 * PLANE);
    clfcn_image_free(&im);
}

/* ColorJitter's definition in double. */
static void ref_change(double rgb[][3], const uint8_t *labels, int what, double factor)
{
    static const double luma[3] = { 0.2989, 0.587, 0.114 };
    double mean = 0, n = 0;
    for (int i = 0; i < PLANE; ++i) {
        for (int c = 0; c < 3 && labels[i] != CLFCN_IGNORE; ++c) {
            mean += luma[c] * rgb[i][c];
        }
        n += labels[i] != CLFCN_IGNORE;
    }
    for (int i = 0; i < PLANE; ++i) {
        const double own =
            luma[0] * rgb[i][0] + luma[1] * rgb[i][1] + luma[2] * rgb[i][2];
        const double with = what == CLFCN_BRIGHTNESS ? 0
                            : what == CLFCN_CONTRAST ? mean / n
                                                     : own;
        for (int c = 0; c < 3; ++c) {
            rgb[i][c] = fmin(1, fmax(0, factor * rgb[i][c] + (1 - factor) * with));
        }
    }
}

static void test_colors(void **state)
{
    static const int orders[][3] = { { 0, 1, 2 }, { 2, 1, 0 }, { 1, 0, 2 }, { 1, 2, 0 } };
    static const double factors[][3] = {
        { 1.7, 0.4, 1.9 }, { 0.3, 1.8, 0.2 }, { 1, 1.5, 1 }, { 1, 1, 0 }
    };
    static float image[3 * PLANE];
    static double rgb[PLANE][3];
    static uint8_t source[PLANE], labels[PLANE];
    struct clfcn_image im = new_image(W, H, 8);
    for (int i = 0; i < 3 * PLANE; ++i) {
        im.px.u8[i] = (uint8_t)(rand() >> 4);
    }
    for (int k = 0; k < 4; ++k) {
        const struct clfcn_augment a = { .brightness = 1,
                                         .contrast = 1,
                                         .saturation = 1 };
        struct clfcn_draw d = some_draw(k);
        memcpy(d.order, orders[k], sizeof d.order);
        memcpy(d.factor, factors[k], sizeof d.factor);
        const struct clfcn_warp w = clfcn_warp_of(&d, W, H, W, H, W, H);
        clfcn_warp_to_input(&w, &im, CLFCN_RESIZE_BILINEAR, image, PLANE);
        clfcn_warp_labels(&w, source, labels);
        for (int i = 0; i < 3 * PLANE; ++i) {
            rgb[i % PLANE][i / PLANE] = plane_value(image, i / PLANE, i % PLANE);
        }
        for (int j = 0; j < 3; ++j) {
            ref_change(rgb, labels, d.order[j], d.factor[d.order[j]]);
        }
        clfcn_jitter(&a, &d, &w, NULL, W, H, image, PLANE);
        for (int i = 0; i < 3 * PLANE; ++i) {
            if (labels[i % PLANE] == CLFCN_IGNORE) {
                assert_true(image[i] == 0);
            } else {
                assert_float_equal(plane_value(image, i / PLANE, i % PLANE),
                                   rgb[i % PLANE][i / PLANE], 1e-5);
            }
        }
    }
    clfcn_image_free(&im);
}

static void test_noise(void **state)
{
    const struct clfcn_augment a = { .noise = 0.05 };
    static float image[3 * PLANE], again[3 * PLANE];
    const struct clfcn_draw d = plain_draw();
    struct clfcn_rng rng;
    for (int round = 0; round < 2; ++round) {
        float *to = round ? again : image;
        for (int i = 0; i < 3 * PLANE; ++i) {
            const int c = i / PLANE;
            to[i] = (0.5f - clfcn_imagenet_mean[c]) / clfcn_imagenet_std[c];
        }
        clfcn_rng_init(&rng, 3, "noise", 0, 0);
        clfcn_jitter(&a, &d, NULL, &rng, W, H, to, PLANE);
    }
    assert_memory_equal(image, again, sizeof image);
    double sum = 0, squares = 0, neighbours = 0;
    for (int i = 0; i < 3 * PLANE; ++i) {
        const double v = (double)plane_value(image, i / PLANE, i % PLANE) - 0.5;
        sum += v;
        squares += v * v;
        neighbours +=
            i > 0
                ? v * ((double)plane_value(image, (i - 1) / PLANE, (i - 1) % PLANE) - 0.5)
                : 0;
    }
    assert_float_equal(sum / (3 * PLANE), 0, 0.002);
    assert_float_equal(sqrt(squares / (3 * PLANE)), 0.05, 0.002);
    assert_float_equal(neighbours / squares, 0, 0.04);
}

/* Far out of the picture, and a frame that lies in one pixel. */
static void test_extremes(void **state)
{
    static float image[3 * PLANE];
    static uint8_t labels[PLANE];
    const uint8_t one = 3;
    struct clfcn_image im = new_image(1, 1, 8);
    const struct clfcn_warp away = { .x = { 1, 0, 1e300 }, .y = { 0, 1, 0 }, 1, 1, W, H };
    clfcn_warp_labels(&away, &one, labels);
    clfcn_warp_to_input(&away, &im, CLFCN_RESIZE_AREA, image, PLANE);
    for (int i = 0; i < PLANE; ++i) {
        assert_int_equal(labels[i], CLFCN_IGNORE);
        assert_true(image[i] == 0);
    }
    for (int degrees = -180; degrees <= 180; degrees += 90) {
        struct clfcn_draw d = plain_draw();
        d.degrees = degrees;
        d.zoom = 4;
        const struct clfcn_warp w = clfcn_warp_of(&d, 1, 1, 1, 1, W, H);
        clfcn_warp_labels(&w, &one, labels);
        for (int i = 0; i < PLANE; ++i) {
            assert_int_equal(labels[i], 3);
        }
    }
    clfcn_image_free(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_markers),
        cmocka_unit_test(test_identity_is_identical),
        cmocka_unit_test(test_no_change_is_the_resize),
        cmocka_unit_test(test_antialias),
        cmocka_unit_test(test_labels_stay_with_their_pixels),
        cmocka_unit_test(test_colors),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests_name("warp", tests, NULL, NULL);
}
