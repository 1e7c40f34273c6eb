/* test_wire.c - half floats against their definition, arrays of them against single ones,
 * and messages of them. */
#include "../../host/comm/half.h"
#include "../../host/comm/wire.h"
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A finite half's value, from its fields. */
static double value_of(unsigned half)
{
    const int exponent = (int)(half >> 10 & 31);
    const double fraction = (double)(half & 1023) / 1024.0;
    const double size =
        exponent == 0 ? ldexp(fraction, -14) : ldexp(1.0 + fraction, exponent - 15);
    return half & 0x8000 ? -size : size;
}

/* The half next to x >= 0, by search among all: the nearest, of two the even one; the
 * step above the largest counts as infinity. */
static unsigned nearest(double x)
{
    unsigned low = 0, high = 0x7c00;
    while (high - low > 1) {
        const unsigned middle = (low + high) / 2;
        *(value_of(middle) <= x ? &low : &high) = middle;
    }
    const double above = high == 0x7c00 ? 65536.0 : value_of(high);
    const double down = x - value_of(low), up = above - x;
    return down < up || (down == up && low % 2 == 0) ? low : high;
}

static void test_every_half_comes_back(void **state)
{
    for (unsigned h = 0; h < 0x10000; ++h) {
        const float x = clfcn_half_to_float((uint16_t)h);
        if ((h & 0x7c00) != 0x7c00) {
            assert_true((double)x == value_of(h));
            assert_int_equal(signbit(x) != 0, h >> 15);
        } else if (h & 0x3ff) {
            assert_true(isnan(x));
        } else {
            assert_true(isinf(x) && (signbit(x) != 0) == (h >> 15 != 0));
        }
        const uint16_t back = clfcn_half_from_float(x);
        /* A signalling NaN becomes a quiet one. */
        assert_int_equal(back, isnan(x) ? (h | 0x200) : h);
    }
}

static void assert_nearest(float x)
{
    assert_int_equal(clfcn_half_from_float(x), nearest((double)x));
    assert_int_equal(clfcn_half_from_float(-x), nearest((double)x) | 0x8000);
}

static void test_rounds_to_nearest_even(void **state)
{
    for (unsigned h = 0; h < 0x7c00; ++h) {
        const double above = h == 0x7bff ? 65536.0 : value_of(h + 1);
        const float tie = (float)(0.5 * (value_of(h) + above)); /* exact */
        assert_nearest(tie);
        assert_nearest(nextafterf(tie, 0.0f));
        assert_nearest(nextafterf(tie, INFINITY));
    }
    assert_nearest(FLT_TRUE_MIN);
    assert_nearest(FLT_MIN);
    assert_int_equal(clfcn_half_from_float(65519.996f), 0x7bff);
    assert_int_equal(clfcn_half_from_float(65520.0f), 0x7c00);
    assert_int_equal(clfcn_half_from_float(FLT_MAX), 0x7c00);
}

static void test_special_values_stay(void **state)
{
    uint32_t bits = 0x7f800001; /* a NaN whose payload is in bits that are cut off */
    float nan;
    memcpy(&nan, &bits, sizeof(nan));
    assert_int_equal(clfcn_half_from_float(INFINITY), 0x7c00);
    assert_int_equal(clfcn_half_from_float(-INFINITY), 0xfc00);
    assert_true(isnan(clfcn_half_to_float(clfcn_half_from_float(nan))));
    assert_true(isnan(clfcn_half_to_float(clfcn_half_from_float(NAN))));
}

/* --- arrays --- */

static const float scales[] = { 1.0f, 0x1p-126f, 0x1p-24f, 0x1p100f };

static void assert_same_bits(float a, float b)
{
    assert_memory_equal(&a, &b, sizeof(a));
}

/* All halves, from every place in a vector register on. */
static void check_halves(const struct clfcn_half_ops *ops, float scale)
{
    enum { ALL = 0x10000, PLACES = 9 };
    uint16_t *halves = malloc((ALL + PLACES) * sizeof(*halves));
    float *values = malloc((ALL + PLACES) * sizeof(*values));
    double *sums = malloc((ALL + PLACES) * sizeof(*sums));
    assert_true(halves && values && sums);
    for (int place = 0; place < PLACES; ++place) {
        const size_t count = (size_t)(ALL - place);
        for (int i = 0; i < ALL + PLACES; ++i) {
            halves[i] = (uint16_t)i;
            values[i] = -1.0f;
            sums[i] = 0.5;
        }
        ops->decode(halves + place, count, scale, values + place);
        ops->add(halves + place, count, scale, sums + place);
        for (int i = 0; i < ALL + PLACES; ++i) {
            const bool within = i >= place && i < ALL;
            const float half = clfcn_half_to_float(halves[i]);
            assert_same_bits(values[i], within ? half * scale : -1.0f);
            const double sum = within ? 0.5 + (double)half * (double)scale : 0.5;
            assert_true(isnan(sum) ? isnan(sums[i]) : sums[i] == sum);
        }
    }
    free(halves);
    free(values);
    free(sums);
}

/* Floats of all exponents, with the bits that decide how they are rounded. */
static void check_floats(const struct clfcn_half_ops *ops, float scale)
{
    enum { N = 1 << 18 };
    float *values = malloc(N * sizeof(*values));
    uint16_t *halves = malloc((N + 1) * sizeof(*halves));
    float largest = 0.0f;
    assert_true(values && halves);
    for (uint32_t i = 0; i < N; ++i) {
        const uint32_t bits = i << 14 | (i * 2654435761u >> 30) << 12 | (i % 3 == 0);
        memcpy(&values[i], &bits, sizeof(bits));
        largest = isfinite(values[i]) ? fmaxf(largest, values[i]) : largest;
    }
    for (size_t count = N - 9; count <= N; ++count) {
        halves[count] = 0x1234;
        ops->encode(values, count, scale, halves);
        assert_int_equal(halves[count], 0x1234);
        for (size_t i = count - 64; i < count; ++i) {
            assert_int_equal(halves[i], clfcn_half_from_float(values[i] * scale));
        }
        assert_same_bits(ops->largest(values, count), largest);
    }
    for (size_t i = 0; i < N; ++i) {
        assert_int_equal(halves[i], clfcn_half_from_float(values[i] * scale));
    }
    free(values);
    free(halves);
}

static void check_ops(const struct clfcn_half_ops *ops)
{
    for (size_t i = 0; i < sizeof(scales) / sizeof(scales[0]); ++i) {
        check_halves(ops, scales[i]);
        check_floats(ops, scales[i]);
    }
}

static void test_arrays_in_plain_c(void **state)
{
    check_ops(&clfcn_half_plain);
}

static void test_arrays_with_f16c(void **state)
{
    if (!clfcn_half_f16c()) {
        print_message("no F16C here\n");
        skip();
    }
    check_ops(clfcn_half_f16c());
}

/* The largest wherever it is, among what is not finite. */
static void test_largest_of_few(void **state)
{
    const struct clfcn_half_ops *const all[] = { &clfcn_half_plain, clfcn_half_f16c() };
    for (int k = 0; k < 2 && all[k]; ++k) {
        const float none = 1.0f;
        assert_same_bits(all[k]->largest(&none, 0), 0.0f);
        for (size_t count = 3; count < 20; ++count) {
            for (size_t at = 0; at < count; ++at) {
                float values[20] = { 0.0f };
                values[(at + 1) % count] = NAN;
                values[(at + 2) % count] = -INFINITY;
                values[at] = at % 2 ? 2.5f : -2.5f;
                assert_same_bits(all[k]->largest(values, count), 2.5f);
            }
        }
    }
}

/* --- messages --- */

/* A message of n values at a scale; returns its factor and what comes back of it. */
static float pass(const float *values, size_t n, float *back)
{
    float factor;
    void *message = malloc(clfcn_wire_bytes(CLFCN_WIRE_FP16, n));
    double *sums = calloc(n, sizeof(*sums));
    assert_non_null(message);
    assert_non_null(sums);
    clfcn_wire_encode(CLFCN_WIRE_FP16, values, n, message);
    memcpy(&factor, message, sizeof(factor));
    clfcn_wire_decode(CLFCN_WIRE_FP16, message, n, back);
    clfcn_wire_add(CLFCN_WIRE_FP16, message, 0, n, sums);
    for (size_t i = 0; i < n; ++i) {
        assert_true(isnan(back[i]) ? isnan(sums[i]) : sums[i] == (double)back[i]);
    }
    /* A piece of it is the same numbers. */
    sums[0] = 1.0;
    clfcn_wire_add(CLFCN_WIRE_FP16, message, n - 1, 1, sums);
    assert_true(isnan(back[n - 1]) || sums[0] == 1.0 + (double)back[n - 1]);
    free(message);
    free(sums);
    return factor;
}

static void test_error_is_bounded_at_every_scale(void **state)
{
    enum { N = 500 };
    for (int scale = -126; scale <= 127; ++scale) {
        float values[N], back[N], largest = 0.0f;
        for (int i = 0; i < N; ++i) {
            /* From the scale down to 2^-40 of it, both signs. */
            values[i] =
                ldexpf((float)(i % 2 ? 1 : -1) * (1.0f + (float)i / N), scale - i % 41);
            largest = fmaxf(largest, fabsf(values[i]));
        }
        const float factor = pass(values, N, back);
        const float top = largest / factor;
        if (scale > -111) {
            assert_true(top >= 16384.0f && top < 32768.0f);
        }
        for (int i = 0; i < N; ++i) {
            const double error = fabs((double)back[i] - (double)values[i]);
            assert_true(error <= fmax(ldexp(fabs((double)values[i]), -11),
                                      ldexp((double)largest, -39)) ||
                        error <= (double)FLT_TRUE_MIN);
        }
    }
}

static void test_message_keeps_what_is_not_finite(void **state)
{
    const float values[] = { 1e-3f, NAN, INFINITY, -INFINITY, -2e-3f, 0.0f };
    float back[6];
    pass(values, 6, back);
    assert_true(isnan(back[1]));
    assert_true(back[2] == INFINITY && back[3] == -INFINITY);
    /* The others are scaled as if these were not there. */
    assert_true(fabsf(back[0] - 1e-3f) < 1e-6f && fabsf(back[4] + 2e-3f) < 2e-6f);
    assert_true(back[5] == 0.0f);
}

static void test_messages_of_zeros_and_of_tiny_numbers(void **state)
{
    const float zeros[] = { 0.0f, -0.0f }, tiny[] = { FLT_TRUE_MIN, -FLT_MIN };
    float back[2];
    pass(zeros, 2, back);
    assert_true(back[0] == 0.0f && back[1] == 0.0f && signbit(back[1]));
    pass(tiny, 2, back);
    assert_true(fabsf(back[0]) <= 2 * FLT_TRUE_MIN && back[1] == -FLT_MIN);
}

static void test_fp32_is_the_floats(void **state)
{
    const float values[] = { 1.0f, -0.0f, 3e38f };
    float message[3], back[3];
    double sums[2] = { 1.0, 2.0 };
    assert_int_equal(clfcn_wire_bytes(CLFCN_WIRE_FP32, 3), sizeof(values));
    clfcn_wire_encode(CLFCN_WIRE_FP32, values, 3, message);
    clfcn_wire_decode(CLFCN_WIRE_FP32, message, 3, back);
    assert_memory_equal(back, values, sizeof(values));
    clfcn_wire_add(CLFCN_WIRE_FP32, message, 1, 2, sums);
    assert_true(sums[0] == 1.0 && sums[1] == 2.0 + (double)3e38f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_half_comes_back),
        cmocka_unit_test(test_rounds_to_nearest_even),
        cmocka_unit_test(test_special_values_stay),
        cmocka_unit_test(test_arrays_in_plain_c),
        cmocka_unit_test(test_arrays_with_f16c),
        cmocka_unit_test(test_largest_of_few),
        cmocka_unit_test(test_error_is_bounded_at_every_scale),
        cmocka_unit_test(test_message_keeps_what_is_not_finite),
        cmocka_unit_test(test_messages_of_zeros_and_of_tiny_numbers),
        cmocka_unit_test(test_fp32_is_the_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
