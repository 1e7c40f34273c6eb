/* Metrics against matrices worked out by hand. */
#include "../../host/train/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void assert_close(double got, double want)
{
    if (!(fabs(got - want) < 1e-12)) {
        fail_msg("%.17g, not %.17g", got, want);
    }
}

static void compute(int classes, const uint64_t *counts, struct clfcn_metrics *out)
{
    struct clfcn_confusion m;
    assert_int_equal(clfcn_confusion_init(&m, classes, NULL), 0);
    memcpy(m.counts, counts, (size_t)(classes * classes) * sizeof(*counts));
    clfcn_metrics_compute(&m, out);
    clfcn_confusion_finish(&m);
    assert_null(m.counts);
}

static void test_two_classes(void **state)
{
    /* 10 pixels of class 0, 8 found; 5 of class 1, 4 found. */
    const uint64_t counts[] = { 8, 2, 1, 4 };
    struct clfcn_metrics m;
    compute(2, counts, &m);
    assert_close(m.pixel_acc, 12.0 / 15);
    assert_close(m.acc[0], 0.8);
    assert_close(m.acc[1], 0.8);
    assert_close(m.mean_acc, 0.8);
    assert_close(m.iou[0], 8.0 / 11);
    assert_close(m.iou[1], 4.0 / 7);
    assert_close(m.mean_iou, (8.0 / 11 + 4.0 / 7) / 2);
    assert_close(m.fw_iou, (10 * (8.0 / 11) + 5 * (4.0 / 7)) / 15);
}

static void test_absent_classes(void **state)
{
    /* Class 1 is only ever predicted, class 2 occurs nowhere. */
    const uint64_t counts[] = { 6, 2, 0, 0, 0, 0, 0, 0, 0 };
    struct clfcn_metrics m;
    compute(3, counts, &m);
    assert_close(m.acc[0], 0.75);
    assert_true(isnan(m.acc[1]) && isnan(m.acc[2]));
    assert_close(m.mean_acc, 0.75);
    assert_close(m.iou[0], 0.75);
    assert_close(m.iou[1], 0);
    assert_true(isnan(m.iou[2]));
    assert_close(m.mean_iou, 0.375);
    assert_close(m.fw_iou, 0.75);
}

static void test_nothing_counted(void **state)
{
    const uint64_t counts[4] = { 0 };
    struct clfcn_metrics m;
    compute(2, counts, &m);
    assert_true(isnan(m.pixel_acc) && isnan(m.mean_acc) && isnan(m.mean_iou));
    assert_true(isnan(m.fw_iou) && isnan(m.iou[0]) && isnan(m.acc[1]));
}

static void test_huge_counts(void **state)
{
    /* Products of these do not fit 64 bits. */
    const uint64_t n = UINT64_C(1) << 61, counts[] = { n, n, 0, n };
    struct clfcn_metrics m;
    compute(2, counts, &m);
    assert_close(m.pixel_acc, 2.0 / 3);
    assert_close(m.fw_iou, 0.5);
}

static void test_add_and_merge(void **state)
{
    const uint8_t truth[] = { 0, 0, 1, CLFCN_IGNORE, 2, 1 },
                  predicted[] = { 0, 1, 1, 0, 0, 2 };
    const uint64_t want[] = { 1, 1, 0, 0, 1, 1, 1, 0, 0 };
    struct clfcn_confusion a, b;
    assert_int_equal(clfcn_confusion_init(&a, 3, NULL), 0);
    assert_int_equal(clfcn_confusion_init(&b, 3, NULL), 0);
    clfcn_confusion_add(&a, truth, predicted, 6);
    assert_memory_equal(a.counts, want, sizeof(want));
    clfcn_confusion_merge(&b, &a);
    clfcn_confusion_merge(&b, &a);
    for (int i = 0; i < 9; ++i) {
        assert_int_equal(b.counts[i], 2 * want[i]);
    }
    clfcn_confusion_reset(&b);
    clfcn_confusion_add(&b, truth + 3, predicted + 3, 1);
    assert_int_equal(b.counts[0] + b.counts[1] + b.counts[2], 0);
    clfcn_confusion_finish(&a);
    clfcn_confusion_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_classes),     cmocka_unit_test(test_absent_classes),
        cmocka_unit_test(test_nothing_counted), cmocka_unit_test(test_huge_counts),
        cmocka_unit_test(test_add_and_merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
