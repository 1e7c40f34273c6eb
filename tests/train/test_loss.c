/* The evaluator's losses against the definitions, and overlays and sample strips pixel by
 * pixel. */
#include "../../host/ops/ref.h"
#include "../../host/train/loss_sum.h"
#include "../../host/train/samples.h"
#include "scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { C = 3, P = 5, STRIDE = 7 };

/* Planes are longer than the image; what lies between must not be read. */
static void make_logits(float *logits)
{
    for (int i = 0; i < C * STRIDE; ++i) {
        logits[i] = NAN;
    }
    for (int c = 0; c < C; ++c) {
        for (int p = 0; p < P; ++p) {
            logits[c * STRIDE + p] = (float)(((c * 5 + p * 3) % 11) - 5) * 0.7f;
        }
    }
}

static const uint8_t labels[P] = { 0, 2, CLFCN_IGNORE, 1, 1 };

static double loss_of(const struct clfcn_loss_how *how, const float *x, int classes,
                      size_t stride, const uint8_t *truth, size_t pixels)
{
    struct clfcn_loss_sum sum = { 0 };
    clfcn_loss_sum_add(&sum, how, x, classes, stride, truth, pixels);
    return clfcn_loss_sum_mean(&sum, how, classes);
}

/* That of ops/ref.h, without the gaps between the planes. */
static double reference(const struct clfcn_loss_how *how, const float *x)
{
    double dense[C * P], unused[C * P];
    for (int i = 0; i < C * P; ++i) {
        dense[i] = x[i / P * STRIDE + i % P];
    }
    return clfcn_ref_loss(how, C, P, dense, labels, unused);
}

static void test_all_kinds(void **state)
{
    static const float weights[C] = { 0.5f, 2, 0 };
    float x[C * STRIDE];
    make_logits(x);
    for (int kind = 0; kind <= CLFCN_LOSS_FOCAL; ++kind) {
        struct clfcn_loss_how how = { .kind = (enum clfcn_loss)kind, .gamma = 2 };
        for (int weighted = 0; weighted < 2; ++weighted) {
            how.weights = weighted ? weights : NULL;
            const double want = reference(&how, x);
            assert_true(fabs(loss_of(&how, x, C, STRIDE, labels, P) - want) < 1e-12);
        }
    }
}

/* Images one by one are as one with the pixels of all. */
static void test_parts(void **state)
{
    float x[C * STRIDE];
    make_logits(x);
    for (int kind = 0; kind <= CLFCN_LOSS_FOCAL; ++kind) {
        const struct clfcn_loss_how how = { .kind = (enum clfcn_loss)kind, .gamma = 1 };
        struct clfcn_loss_sum parts[2] = { { 0 } };
        clfcn_loss_sum_add(&parts[0], &how, x, C, STRIDE, labels, 2);
        clfcn_loss_sum_add(&parts[1], &how, x + 2, C, STRIDE, labels + 2, P - 2);
        clfcn_loss_sum_merge(&parts[0], &parts[1], C);
        assert_int_equal(parts[0].labelled, 4);
        assert_true(fabs(clfcn_loss_sum_mean(&parts[0], &how, C) - reference(&how, x)) <
                    1e-12);
    }
}

/* exp() of these overflows, and 1 - sigmoid is 0. */
static void test_large_logits(void **state)
{
    const float x[2] = { 2000, -1000 };
    const uint8_t label = 1, ignored = CLFCN_IGNORE;
    struct clfcn_loss_how how = { .kind = CLFCN_LOSS_BCE, .gamma = 2 };
    assert_true(loss_of(&how, x, 2, 1, &label, 1) == 1500);
    how.kind = CLFCN_LOSS_CE;
    assert_true(loss_of(&how, x, 2, 1, &label, 1) == 3000);
    assert_true(isnan(loss_of(&how, x, 2, 1, &ignored, 1)));
    how.kind = CLFCN_LOSS_FOCAL;
    assert_true(loss_of(&how, x, 2, 1, &label, 1) == 3000);
    how.kind = CLFCN_LOSS_DICE; /* both classes 0 + 1 of 1 + 1 */
    assert_true(loss_of(&how, x, 2, 1, &label, 1) == 0.5);
}

static const struct clfcn_classes *two_classes(void)
{
    static struct clfcn_class list[2] = { { "a", { 200, 0, 0 } },
                                          { "b", { 0, 100, 0 } } };
    static const struct clfcn_classes classes = { .list = list, .count = 2 };
    return &classes;
}

static void test_overlay(void **state)
{
    uint16_t pixels[9] = {
        100 << 8, 50 << 8, 0, 100 << 8, 50 << 8, 0, 0xffff, 0x0100, 0
    };
    const struct clfcn_image image = {
        .width = 3, .height = 1, .channels = 3, .depth = 16, .px.u16 = pixels
    };
    const uint8_t where[3] = { 0, 1, CLFCN_IGNORE };
    const uint8_t want[9] = { 150, 25, 0, 50, 75, 0, 255, 1, 0 };
    struct clfcn_image out;
    assert_int_equal(clfcn_overlay(&image, where, two_classes(), 0.5, &out, NULL), 0);
    assert_int_equal(out.depth, 8);
    assert_memory_equal(out.px.u8, want, sizeof(want));
    clfcn_image_free(&out);
}

static void test_sample_strip(void **state)
{
    uint8_t pixels[4 * 2 * 3] = { 0 }, truth[8] = { 0 }, predicted[8] = { 0 };
    const struct clfcn_image image = {
        .width = 4, .height = 2, .channels = 3, .depth = 8, .px.u8 = pixels
    };
    struct clfcn_image strip;
    char path[SCRATCH_PATH];
    pixels[0] = 10;
    predicted[0] = 1;
    assert_int_equal(clfcn_sample_write(scratch_path(path, "s.png"), &image, truth,
                                        predicted, two_classes(), 8, NULL),
                     0);
    assert_int_equal(clfcn_image_read(path, CLFCN_AS_RGB, &strip, NULL), 0);
    assert_int_equal(strip.width, 12);
    assert_int_equal(strip.height, 2);
    assert_int_equal(strip.px.u8[0], 10);      /* the image */
    assert_int_equal(strip.px.u8[3 * 4], 124); /* the truth: 0.4 * 10 + 0.6 * 200 */
    assert_int_equal(strip.px.u8[3 * 8], 4);   /* the prediction */
    assert_int_equal(strip.px.u8[3 * 8 + 1], 60);
    clfcn_image_free(&strip);
    assert_int_equal(
        clfcn_sample_write(path, &image, truth, predicted, two_classes(), 2, NULL), 0);
    assert_int_equal(clfcn_image_read(path, CLFCN_AS_RGB, &strip, NULL), 0);
    assert_int_equal(strip.width, 6); /* panels of 2x1: the longer side is limited */
    assert_int_equal(strip.height, 1);
    clfcn_image_free(&strip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_kinds),    cmocka_unit_test(test_parts),
        cmocka_unit_test(test_large_logits), cmocka_unit_test(test_overlay),
        cmocka_unit_test(test_sample_strip),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
