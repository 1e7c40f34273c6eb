/* test_rng.c - random numbers: published and independently computed values,
 * distributions. */
#include "../../host/util/rng.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* The generator's outputs from state {1, 2, 3, 4}, as its other implementations
 * publish them. */
static void test_generator(void **state)
{
    struct clfcn_rng rng = { { 1, 2, 3, 4 }, NAN };
    static const uint64_t want[] = { 11520, 0, 1509978240, UINT64_C(1215971899390074240),
                                     UINT64_C(1216172134540287360) };
    for (int i = 0; i < 5; ++i) {
        assert_true(clfcn_rng_u64(&rng) == want[i]);
    }
}

/* Streams from seed, purpose and counters: runs are resumed by deriving them again, so
 * these values must never change. Computed by a separate program. */
static void test_streams(void **state)
{
    static const struct {
        uint64_t seed, a, b;
        const char *purpose;
        uint64_t want[3];
    } cases[] = {
        { 0,
          7,
          0,
          "shuffle",
          { UINT64_C(0xbc303762d4b492a5), UINT64_C(0x01ca848a7c438f5f),
            UINT64_C(0x1d6caadfd698da61) } },
        { 42,
          1,
          2,
          "weights",
          { UINT64_C(0xf240a69c590ee871), UINT64_C(0x0f331e8e096eeddf),
            UINT64_C(0x293dc47880e3640a) } },
    };
    for (int i = 0; i < 2; ++i) {
        struct clfcn_rng rng;
        clfcn_rng_init(&rng, cases[i].seed, cases[i].purpose, cases[i].a, cases[i].b);
        for (int j = 0; j < 3; ++j) {
            assert_true(clfcn_rng_u64(&rng) == cases[i].want[j]);
        }
    }
}

/* Each of the four things that name a stream must matter, also where two are
 * exchanged. */
static void test_streams_differ(void **state)
{
    struct clfcn_rng rng[6];
    clfcn_rng_init(&rng[0], 1, "x", 2, 3);
    clfcn_rng_init(&rng[1], 2, "x", 1, 3);
    clfcn_rng_init(&rng[2], 1, "x", 3, 2);
    clfcn_rng_init(&rng[3], 1, "y", 2, 3);
    clfcn_rng_init(&rng[4], 3, "x", 2, 1);
    clfcn_rng_init(&rng[5], 1, "", 2, 3);
    for (int i = 0; i < 6; ++i) {
        for (int j = 0; j < i; ++j) {
            assert_true(memcmp(&rng[i], &rng[j], sizeof(rng[i])) != 0);
        }
    }
}

/* Counts of 60,000 throws of a die: each within five standard deviations of 10,000. */
static void test_below(void **state)
{
    enum { N = 60000, SIDES = 6 };
    struct clfcn_rng rng;
    int seen[SIDES] = { 0 };
    clfcn_rng_init(&rng, 1, "die", 0, 0);
    for (int i = 0; i < N; ++i) {
        const uint32_t v = clfcn_rng_below(&rng, SIDES);
        assert_true(v < SIDES);
        ++seen[v];
    }
    for (int i = 0; i < SIDES; ++i) {
        assert_true(abs(seen[i] - N / SIDES) < 5 * 92);
    }
    for (int i = 0; i < 100; ++i) {
        assert_true(clfcn_rng_below(&rng, 1) == 0);
    }
}

/* A modulus of 3 * 2^30 makes the bias of "x % n" large: the lower third would be hit
 * twice. */
static void test_below_has_no_bias(void **state)
{
    const uint32_t n = UINT32_C(3) << 30;
    struct clfcn_rng rng;
    int low = 0;
    clfcn_rng_init(&rng, 1, "bias", 0, 0);
    for (int i = 0; i < 30000; ++i) {
        low += clfcn_rng_below(&rng, n) < n / 3;
    }
    assert_true(low > 9500 && low < 10500);
}

static void test_double(void **state)
{
    enum { N = 100000 };
    struct clfcn_rng rng;
    double sum = 0, squares = 0;
    clfcn_rng_init(&rng, 3, "double", 0, 0);
    for (int i = 0; i < N; ++i) {
        const double v = clfcn_rng_double(&rng);
        assert_true(v >= 0.0 && v < 1.0);
        sum += v;
        squares += v * v;
    }
    assert_true(fabs(sum / N - 0.5) < 0.005);
    assert_true(fabs(squares / N - 1.0 / 3.0) < 0.005);
}

/* Mean 0, variance 1, no skew, kurtosis 3, and as much in the tails as there should
 * be. */
static void test_normal(void **state)
{
    enum { N = 200000 };
    struct clfcn_rng rng;
    double moment[5] = { 0 };
    int beyond_two = 0;
    clfcn_rng_init(&rng, 4, "normal", 0, 0);
    for (int i = 0; i < N; ++i) {
        const double v = clfcn_rng_normal(&rng);
        assert_true(isfinite(v));
        for (int k = 1; k <= 4; ++k) {
            moment[k] += pow(v, k) / N;
        }
        beyond_two += fabs(v) > 2.0;
    }
    assert_true(fabs(moment[1]) < 0.01);
    assert_true(fabs(moment[2] - 1.0) < 0.02);
    assert_true(fabs(moment[3]) < 0.04);
    assert_true(fabs(moment[4] - 3.0) < 0.12);
    assert_true(fabs((double)beyond_two / N - 0.0455) < 0.003);
}

/* Filled at once or drawn one by one, from any position and for any number: the same
 * bits, and the same numbers after them. Eight million values meet all that is special:
 * near a multiple of a quarter turn, near the logarithm of one, and on the edge between
 * two floats. */
static void test_fill_normal(void **state)
{
    enum { MOST = 1 << 20 };
    static const struct {
        size_t n;
        int before; /* values drawn first */
        double scale;
    } cases[] = {
        { 0, 0, 1.0 },          { 1, 0, 1.0 },           { 255, 0, 1.0 },
        { 256, 1, 1.0 },        { 256, 2, 0.0208 },      { 257, 0, 1e-3 },
        { MOST, 0, 1.0 },       { MOST, 2, 0.0208 },     { MOST - 1, 4, 3.0 },
        { MOST, 6, 0x1.8p-9 },  { MOST, 8, 0.0589 },     { MOST, 10, 1e-30 },
        { MOST, 12, 0.117851 }, { MOST - 77, 14, 10.0 },
    };
    float *filled = malloc(MOST * sizeof(*filled));
    assert_non_null(filled);
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); ++c) {
        struct clfcn_rng rng, one_by_one;
        clfcn_rng_init(&rng, 6, "fill", c, 0);
        for (int i = 0; i < cases[c].before; ++i) {
            clfcn_rng_normal(&rng);
        }
        one_by_one = rng;
        clfcn_rng_fill_normal(&rng, cases[c].scale, filled, cases[c].n);
        for (size_t i = 0; i < cases[c].n; ++i) {
            const float want = (float)(clfcn_rng_normal(&one_by_one) * cases[c].scale);
            if (memcmp(&filled[i], &want, sizeof(want)) != 0) {
                fail_msg("case %zu, value %zu: %a, not %a", c, i, (double)filled[i],
                         (double)want);
            }
        }
        for (int i = 0; i < 3; ++i) {
            assert_true(clfcn_rng_normal(&rng) == clfcn_rng_normal(&one_by_one));
        }
    }
    free(filled);
}

/* Every order of three must come up equally often, and nothing may get lost. */
static void test_shuffle(void **state)
{
    struct clfcn_rng rng;
    int seen[27] = { 0 };
    clfcn_rng_init(&rng, 5, "shuffle", 0, 0);
    for (int i = 0; i < 6000; ++i) {
        int v[3] = { 0, 1, 2 };
        clfcn_rng_shuffle(&rng, v, 3);
        assert_int_equal((1 << v[0]) | (1 << v[1]) | (1 << v[2]), 7);
        ++seen[v[0] * 9 + v[1] * 3 + v[2]];
    }
    for (int i = 0; i < 27; ++i) {
        assert_true(seen[i] == 0 || (seen[i] > 850 && seen[i] < 1150));
    }
    int one[1] = { 9 };
    clfcn_rng_shuffle(&rng, one, 1);
    clfcn_rng_shuffle(&rng, NULL, 0);
    assert_int_equal(one[0], 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generator),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_streams_differ),
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_below_has_no_bias),
        cmocka_unit_test(test_double),
        cmocka_unit_test(test_normal),
        cmocka_unit_test(test_fill_normal),
        cmocka_unit_test(test_shuffle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
