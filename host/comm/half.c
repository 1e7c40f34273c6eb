#include "half.h"

#include <float.h>
#include <math.h>
#include <string.h>

static inline uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static inline float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* All three cases are computed and one is taken, so that loops become vector code. */
static inline uint16_t to_half(float x)
{
    const uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000,
                   size = bits & 0x7fffffff;
    /* 2^-14 and above: the exponent's bias changes from 127 to 15, 13 bits are rounded.
     */
    const uint32_t normal = (size - (112u << 23) + 0xfff + (size >> 13 & 1)) >> 13;
    /* Below: in floats from 0.5 to 1 the last bit counts as much as a half's there. */
    const uint32_t subnormal = bits_of(float_of(size) + 0.5f) - bits_of(0.5f);
    /* A NaN's payload may lie in the lost bits: the quiet bit keeps it a NaN. */
    const uint32_t special =
        size > 0x7f800000 ? 0x7e00 | (size >> 13 & 0x3ff) : (uint32_t)0x7c00;
    const uint32_t finite = size < 0x38800000 ? subnormal : normal;
    return (uint16_t)(sign | (size >= 0x47800000 ? special : finite));
}

static inline float from_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, size = half & 0x7fff;
    const uint32_t normal = (size << 13) + (112u << 23);
    const uint32_t subnormal = bits_of(float_of(bits_of(0.5f) + size) - 0.5f);
    const uint32_t quiet = size > 0x7c00 ? 0x00400000 : 0;
    const uint32_t special = size << 13 | 0x7f800000 | quiet;
    const uint32_t finite = size < 0x400 ? subnormal : normal;
    return float_of(sign | (size >= 0x7c00 ? special : finite));
}

uint16_t clfcn_half_from_float(float x)
{
    return to_half(x);
}

float clfcn_half_to_float(uint16_t half)
{
    return from_half(half);
}

static float largest(const float *values, size_t count)
{
    float most = 0.0f;
    for (size_t i = 0; i < count; ++i) {
        const float size = fabsf(values[i]);
        most = size <= FLT_MAX && size > most ? size : most;
    }
    return most;
}

static void encode(const float *values, size_t count, float scale, uint16_t *halves)
{
    for (size_t i = 0; i < count; ++i) {
        halves[i] = to_half(values[i] * scale);
    }
}

static void decode(const uint16_t *halves, size_t count, float scale, float *values)
{
    for (size_t i = 0; i < count; ++i) {
        values[i] = from_half(halves[i]) * scale;
    }
}

static void add(const uint16_t *halves, size_t count, float scale, double *sums)
{
    for (size_t i = 0; i < count; ++i) {
        sums[i] += (double)from_half(halves[i]) * (double)scale;
    }
}

const struct clfcn_half_ops clfcn_half_plain = { largest, encode, decode, add };
