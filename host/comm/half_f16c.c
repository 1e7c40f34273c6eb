/* half_f16c.c - arrays of halves on x86-64, eight at a time, chosen when the program
 * runs. */
#include "half.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>
#include <stdbool.h>

#define CLFCN_F16C __attribute__((target("avx2,f16c")))

enum { WIDTH = 8 };

CLFCN_F16C static float largest(const float *values, size_t count)
{
    const size_t whole = count - count % WIDTH;
    const __m256i size_bits = _mm256_set1_epi32(0x7fffffff);
    const __m256i infinity = _mm256_set1_epi32(0x7f800000);
    __m256i most = _mm256_setzero_si256(); /* magnitudes order as their bits do */
    float lanes[WIDTH];
    for (size_t i = 0; i < whole; i += WIDTH) {
        const __m256i bits = _mm256_castps_si256(_mm256_loadu_ps(values + i));
        const __m256i size = _mm256_and_si256(bits, size_bits);
        const __m256i finite = _mm256_cmpgt_epi32(infinity, size);
        most = _mm256_max_epi32(most, _mm256_and_si256(size, finite));
    }
    _mm256_storeu_ps(lanes, _mm256_castsi256_ps(most));
    const float a = clfcn_half_plain.largest(lanes, WIDTH);
    const float b = clfcn_half_plain.largest(values + whole, count - whole);
    return a > b ? a : b;
}

CLFCN_F16C static void encode(const float *values, size_t count, float scale,
                              uint16_t *halves)
{
    const size_t whole = count - count % WIDTH;
    const __m256 s = _mm256_set1_ps(scale);
    for (size_t i = 0; i < whole; i += WIDTH) {
        const __m256 x = _mm256_mul_ps(_mm256_loadu_ps(values + i), s);
        _mm_storeu_si128((__m128i *)(void *)(halves + i),
                         _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
    }
    clfcn_half_plain.encode(values + whole, count - whole, scale, halves + whole);
}

CLFCN_F16C static inline __m256 load(const uint16_t *halves)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)halves));
}

CLFCN_F16C static void decode(const uint16_t *halves, size_t count, float scale,
                              float *values)
{
    const size_t whole = count - count % WIDTH;
    const __m256 s = _mm256_set1_ps(scale);
    for (size_t i = 0; i < whole; i += WIDTH) {
        _mm256_storeu_ps(values + i, _mm256_mul_ps(load(halves + i), s));
    }
    clfcn_half_plain.decode(halves + whole, count - whole, scale, values + whole);
}

/* The product has few enough bits to be exact. */
CLFCN_F16C static inline void add_four(__m128 x, __m256d scale, double *sums)
{
    const __m256d term = _mm256_mul_pd(_mm256_cvtps_pd(x), scale);
    _mm256_storeu_pd(sums, _mm256_add_pd(_mm256_loadu_pd(sums), term));
}

CLFCN_F16C static void add(const uint16_t *halves, size_t count, float scale,
                           double *sums)
{
    const size_t whole = count - count % WIDTH;
    const __m256d s = _mm256_set1_pd((double)scale);
    for (size_t i = 0; i < whole; i += WIDTH) {
        const __m256 x = load(halves + i);
        add_four(_mm256_castps256_ps128(x), s, sums + i);
        add_four(_mm256_extractf128_ps(x, 1), s, sums + i + WIDTH / 2);
    }
    clfcn_half_plain.add(halves + whole, count - whole, scale, sums + whole);
}

/* Clang 14's __builtin_cpu_supports() does not know F16C. That of AVX2 includes that the
 * system keeps the registers. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx2") && __get_cpuid(1, &a, &b, &c, &d) &&
           (c & bit_F16C);
}

const struct clfcn_half_ops *clfcn_half_f16c(void)
{
    static const struct clfcn_half_ops ops = { largest, encode, decode, add };
    static atomic_int known; /* asking is slow in a virtual machine: 1 no, 2 yes */
    int has = atomic_load(&known);
    if (has == 0) {
        has = has_f16c() ? 2 : 1;
        atomic_store(&known, has);
    }
    return has == 2 ? &ops : NULL;
}

#else

const struct clfcn_half_ops *clfcn_half_f16c(void)
{
    return NULL;
}

#endif
