/* The evaluator's loss against the definition, and overlays and sample strips pixel by
 * pixel. */
#include "../../host/train/evaluate.h"
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

static void test_bce(void **state)
{
    float x[C * STRIDE];
    double want = 0, sum;
    int64_t labelled;
    make_logits(x);
    for (int p = 0; p < P; ++p) {
        for (int c = 0; labels[p] != CLFCN_IGNORE && c < C; ++c) {
            const double s = 1 / (1 + exp(-(double)x[c * STRIDE + p]));
            want -= log(c == labels[p] ? s : 1 - s);
        }
    }
    clfcn_loss_sum(CLFCN_LOSS_BCE, x, C, STRIDE, labels, P, &sum, &labelled);
    assert_int_equal(labelled, 4);
    assert_true(fabs(sum - want) < 1e-12 * want);
}

static void test_ce(void **state)
{
    float x[C * STRIDE];
    double want = 0, sum;
    int64_t labelled;
    make_logits(x);
    for (int p = 0; p < P; ++p) {
        double total = 0;
        for (int c = 0; c < C; ++c) {
            total += exp((double)x[c * STRIDE + p]);
        }
        if (labels[p] != CLFCN_IGNORE) {
            want -= log(exp((double)x[labels[p] * STRIDE + p]) / total);
        }
    }
    clfcn_loss_sum(CLFCN_LOSS_CE, x, C, STRIDE, labels, P, &sum, &labelled);
    assert_int_equal(labelled, 4);
    assert_true(fabs(sum - want) < 1e-12 * want);
}

/* exp() of these overflows, and 1 - sigmoid is 0. */
static void test_large_logits(void **state)
{
    const float x[2] = { 2000, -1000 };
    const uint8_t label = 1;
    double sum;
    int64_t labelled;
    clfcn_loss_sum(CLFCN_LOSS_BCE, x, 2, 1, &label, 1, &sum, &labelled);
    assert_true(sum == 3000);
    clfcn_loss_sum(CLFCN_LOSS_CE, x, 2, 1, &label, 1, &sum, &labelled);
    assert_true(sum == 3000);
    const uint8_t ignored = CLFCN_IGNORE;
    clfcn_loss_sum(CLFCN_LOSS_CE, x, 2, 1, &ignored, 1, &sum, &labelled);
    assert_true(sum == 0 && labelled == 0);
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
        cmocka_unit_test(test_bce),          cmocka_unit_test(test_ce),
        cmocka_unit_test(test_large_logits), cmocka_unit_test(test_overlay),
        cmocka_unit_test(test_sample_strip),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
