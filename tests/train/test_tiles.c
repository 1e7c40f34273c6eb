/* How tiles cover a picture and are blended, logits as probabilities, and the windows of
 * a picture that tiles see: all without a network. */
#include "../../host/data/resize.h"
#include "../../host/data/window.h"
#include "../../host/train/blend.h"
#include "../../host/train/probs.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check_tiles(int length, int tile, int overlap)
{
    struct clfcn_tiles t;
    double *sum = calloc((size_t)length, sizeof(*sum));
    assert_non_null(sum);
    assert_int_equal(clfcn_tiles_init(&t, length, tile, overlap, NULL), 0);
    for (int i = 0; i < t.count; ++i) {
        if (length > tile) {
            assert_in_range(t.origin[i], 0, length - tile);
        }
        if (i > 0) {
            assert_true(t.origin[i] > t.origin[i - 1]);
            assert_true(t.origin[i - 1] + tile - t.origin[i] >= overlap);
        }
        for (int k = 0; k < tile; ++k) {
            const int at = t.origin[i] + k;
            const float weight = t.weight[i * tile + k];
            if (at < 0 || at >= length) {
                assert_true(weight == 0);
                continue;
            }
            assert_true(weight > 0 && weight <= 1);
            sum[at] += (double)weight;
        }
    }
    for (int x = 0; x < length; ++x) {
        assert_true(fabs(sum[x] - 1) < 1e-6);
    }
    /* One less could not overlap as much. */
    assert_true(t.count == 1 || tile + (t.count - 2) * (tile - overlap) < length);
    clfcn_tiles_finish(&t);
    free(sum);
}

static void test_every_pixel_counts_once(void **state)
{
    const int tile = 32, overlaps[] = { 0, 1, 8, 16, 24, 31 };
    for (int o = 0; o < 6; ++o) {
        for (int length = 1; length < 150; ++length) {
            check_tiles(length, tile, overlaps[o]);
        }
        check_tiles(4256, tile, overlaps[o]);
    }
}

/* A lone tile's weights are exactly 1, so that it changes no bit; a smaller picture lies
 * in its middle. */
static void test_one_tile(void **state)
{
    struct clfcn_tiles t;
    assert_int_equal(clfcn_tiles_init(&t, 32, 32, 8, NULL), 0);
    assert_int_equal(t.count, 1);
    assert_int_equal(t.origin[0], 0);
    for (int k = 0; k < 32; ++k) {
        assert_true(t.weight[k] == 1);
    }
    clfcn_tiles_finish(&t);
    assert_int_equal(clfcn_tiles_init(&t, 20, 32, 8, NULL), 0);
    assert_int_equal(t.count, 1);
    assert_int_equal(t.origin[0], -6);
    assert_true(t.weight[5] == 0 && t.weight[6] == 1 && t.weight[25] == 1 &&
                t.weight[26] == 0);
    clfcn_tiles_finish(&t);
}

enum { CLASSES = 2, TILE_W = 12, TILE_H = 8, GAP = 5 };

/* What a network that looks at nothing but the pixel itself would say of it. */
static float truth(int c, int x, int y)
{
    return (float)((c * 131 + x * 37 + y * 57) % 101) / 100.0f;
}

struct rows {
    int next, width, height;
    float *probs; /* [CLASSES][height][width] */
};

static int take(void *user, int y, const float *probs, struct clfcn_err *err)
{
    struct rows *r = user;
    assert_int_equal(y, r->next++);
    for (int c = 0; c < CLASSES; ++c) {
        memcpy(r->probs + (c * r->height + y) * r->width, probs + c * r->width,
               (size_t)r->width * sizeof(*probs));
    }
    return CLFCN_OK;
}

/* Blend tiles of tile_value() into r. What lies beyond the picture is NaN: it must not
 * be read. */
static void blend(const struct clfcn_blend_desc *d, bool flip, struct rows *r,
                  float (*value)(int c, int x, int y, int k))
{
    struct clfcn_blend b;
    enum { STRIDE = TILE_W * TILE_H + GAP };
    float tile[CLASSES * STRIDE];
    *r = (struct rows){ .width = d->width, .height = d->height };
    r->probs =
        malloc((size_t)CLASSES * (size_t)(d->width * d->height) * sizeof(*r->probs));
    assert_non_null(r->probs);
    assert_int_equal(clfcn_blend_init(&b, d, NULL), 0);
    for (int j = 0; j < b.y.count; ++j) {
        for (int i = 0; i < b.x.count * (flip ? 2 : 1); ++i) {
            const int column = flip ? i / 2 : i;
            const bool mirrored = flip && i % 2 == 1;
            for (int p = 0; p < CLASSES * STRIDE; ++p) {
                tile[p] = NAN;
            }
            for (int p = 0; p < CLASSES * TILE_W * TILE_H; ++p) {
                const int k = p % TILE_W, ky = p / TILE_W % TILE_H,
                          c = p / (TILE_W * TILE_H);
                const int x = b.x.origin[column] + (mirrored ? TILE_W - 1 - k : k);
                const int y = b.y.origin[j] + ky;
                const bool in = x >= 0 && x < d->cut_width && y >= 0 && y < d->cut_height;
                tile[c * STRIDE + ky * TILE_W + k] = in ? value(c, x, y, k) : NAN;
            }
            clfcn_blend_add(&b, column, j, tile, STRIDE, flip ? 0.5f : 1.0f, mirrored);
        }
        assert_int_equal(clfcn_blend_take(&b, j, take, r, NULL), 0);
    }
    assert_int_equal(r->next, d->height);
    clfcn_blend_finish(&b);
}

static float pixel_value(int c, int x, int y, int k)
{
    return truth(c, x, y);
}

/* The truth at another size, by the definition, in double. */
static double resized(int c, int x, int y, const struct clfcn_blend_desc *d)
{
    const double px = (x + 0.5) * d->cut_width / d->width - 0.5;
    const double py = (y + 0.5) * d->cut_height / d->height - 0.5;
    const double sx = fmin(fmax(px, 0), d->cut_width - 1);
    const double sy = fmin(fmax(py, 0), d->cut_height - 1);
    const int x0 = (int)sx, y0 = (int)sy;
    const int x1 = x0 + 1 < d->cut_width ? x0 + 1 : x0;
    const int y1 = y0 + 1 < d->cut_height ? y0 + 1 : y0;
    const double fx = sx - x0, fy = sy - y0;
    return (1 - fy) *
               ((1 - fx) * (double)truth(c, x0, y0) + fx * (double)truth(c, x1, y0)) +
           fy * ((1 - fx) * (double)truth(c, x0, y1) + fx * (double)truth(c, x1, y1));
}

static void check_blend(int cut_w, int cut_h, int width, int height, int overlap,
                        bool flip)
{
    const struct clfcn_blend_desc d = { .classes = CLASSES,
                                        .tile_width = TILE_W,
                                        .tile_height = TILE_H,
                                        .overlap_x = overlap,
                                        .overlap_y = overlap,
                                        .cut_width = cut_w,
                                        .cut_height = cut_h,
                                        .width = width,
                                        .height = height };
    struct rows r;
    blend(&d, flip, &r, pixel_value);
    for (int c = 0; c < CLASSES; ++c) {
        for (int y = 0; y < height; ++y) {
            for (int x = 0; x < width; ++x) {
                const double want = resized(c, x, y, &d);
                const double got = (double)r.probs[(c * height + y) * width + x];
                if (!(fabs(got - want) < 2e-5)) {
                    fail_msg("%dx%d to %dx%d, overlap %d: class %d at (%d, %d): %g, not "
                             "%g",
                             cut_w, cut_h, width, height, overlap, c, x, y, got, want);
                }
            }
        }
    }
    free(r.probs);
}

/* A network that judges each pixel by itself shows no tiles at all. */
static void test_blend_gives_back_what_depends_on_pixels_alone(void **state)
{
    for (int overlap = 0; overlap < TILE_H; overlap += 3) {
        for (int flip = 0; flip < 2; ++flip) {
            check_blend(50, 37, 50, 37, overlap, flip);
            check_blend(TILE_W, TILE_H, TILE_W, TILE_H, overlap, flip);
            check_blend(TILE_W + 1, TILE_H + 1, TILE_W + 1, TILE_H + 1, overlap, flip);
            check_blend(1, 1, 1, 1, overlap, flip);
            check_blend(3, 60, 3, 60, overlap, flip);
            check_blend(25, 19, 50, 37, overlap, flip);  /* scaled down before */
            check_blend(100, 74, 50, 37, overlap, flip); /* scaled up before */
            check_blend(9, 5, 90, 50, overlap, flip);
            check_blend(90, 300, 2, 3, overlap, flip);
        }
    }
}

/* A network whose answer depends on where in the tile a pixel lies. */
static float ramp_value(int c, int x, int y, int k)
{
    return (float)k / (TILE_W - 1);
}

static double largest_step(int overlap)
{
    const struct clfcn_blend_desc d = { .classes = CLASSES,
                                        .tile_width = TILE_W,
                                        .tile_height = TILE_H,
                                        .overlap_x = overlap,
                                        .cut_width = 5 * TILE_W,
                                        .cut_height = 3,
                                        .width = 5 * TILE_W,
                                        .height = 3 };
    struct rows r;
    double largest = 0;
    blend(&d, false, &r, ramp_value);
    for (int x = 1; x < d.width; ++x) {
        largest = fmax(largest, fabs((double)r.probs[x] - (double)r.probs[x - 1]));
    }
    free(r.probs);
    return largest;
}

/* Tiles side by side jump from 1 to 0; blended, the step is that of the window. */
static void test_seams_are_smooth(void **state)
{
    assert_true(largest_step(0) > 0.5);
    assert_true(largest_step(6) < 0.3);
}

static void check_probs(enum clfcn_loss loss, const float *logits, int classes)
{
    enum { PIXELS = 300, STRIDE = PIXELS + GAP };
    float *x = malloc((size_t)classes * STRIDE * sizeof(*x));
    uint8_t labels[PIXELS];
    double want[8], all = 0;
    assert_non_null(x);
    for (int i = 0; i < classes * STRIDE; ++i) {
        x[i] = i % STRIDE < PIXELS ? logits[i / STRIDE] : NAN;
    }
    clfcn_probs_from_logits(loss, x, classes, STRIDE, PIXELS);
    clfcn_probs_argmax(x, classes, STRIDE, PIXELS, labels);
    for (int c = 0; c < classes; ++c) {
        const double v = (double)logits[c];
        want[c] = loss == CLFCN_LOSS_BCE ? 1 / (1 + exp(-v)) : exp(v);
        all += want[c];
    }
    for (int p = 0; p < PIXELS; ++p) {
        int best = 0;
        for (int c = 0; c < classes; ++c) {
            const double got = (double)x[c * STRIDE + p];
            assert_true(fabs(got - want[c] / all) < 1e-6);
            best = x[c * STRIDE + p] > x[best * STRIDE + p] ? c : best;
        }
        assert_int_equal(labels[p], best);
    }
    free(x);
}

static void test_probabilities(void **state)
{
    const float some[] = { -1.5f, 0.25f, 3, 2.5f }, low[] = { -90, -91.5f, -93 },
                high[] = { 30, 80 }, one[] = { 4 };
    for (int loss = 0; loss < 2; ++loss) {
        check_probs((enum clfcn_loss)loss, some, 4);
        check_probs((enum clfcn_loss)loss, low, 3);
        check_probs((enum clfcn_loss)loss, high, 2);
        check_probs((enum clfcn_loss)loss, one, 1);
    }
    float huge[] = { 1e30f, -1e30f };
    clfcn_probs_from_logits(CLFCN_LOSS_BCE, huge, 2, 1, 1);
    assert_true(huge[0] == 1 && huge[1] == 0);
    float hopeless[] = { -1e30f, -1e30f };
    clfcn_probs_from_logits(CLFCN_LOSS_BCE, hopeless, 2, 1, 1);
    assert_true(hopeless[0] == 0.5f && hopeless[1] == 0.5f);
}

/* A window is a part of what resizing the whole picture gives, and past its ends comes
 * the same backwards. */
static void test_window_is_a_part_of_the_resized_picture(void **state)
{
    enum { FROM_W = 17, FROM_H = 11, W = 29, H = 23, SIDE = 20 };
    struct clfcn_image im;
    static float whole[3 * W * H], part[3 * SIDE * SIDE];
    assert_int_equal(clfcn_image_alloc(&im, FROM_W, FROM_H, 3, 8, NULL), 0);
    for (int i = 0; i < 3 * FROM_W * FROM_H; ++i) {
        im.px.u8[i] = (uint8_t)(i * 73);
    }
    clfcn_resize_to_input(&im, W, H, whole, W * H);
    for (int y0 = -9; y0 < H; y0 += 8) {
        for (int x0 = -9; x0 < W; x0 += 7) {
            const struct clfcn_window w = { W, H, x0, y0, SIDE, SIDE };
            clfcn_window_to_input(&im, &w, part, SIDE * SIDE);
            for (int i = 0; i < 3 * SIDE * SIDE; ++i) {
                int x = x0 + i % SIDE, y = y0 + i / SIDE % SIDE;
                x = x < 0 ? -1 - x : x >= W ? 2 * W - 1 - x : x;
                y = y < 0 ? -1 - y : y >= H ? 2 * H - 1 - y : y;
                assert_true(part[i] == whole[i / (SIDE * SIDE) * W * H + y * W + x]);
            }
        }
    }
    clfcn_image_free(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pixel_counts_once),
        cmocka_unit_test(test_one_tile),
        cmocka_unit_test(test_blend_gives_back_what_depends_on_pixels_alone),
        cmocka_unit_test(test_seams_are_smooth),
        cmocka_unit_test(test_probabilities),
        cmocka_unit_test(test_window_is_a_part_of_the_resized_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
