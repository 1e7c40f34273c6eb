/* wire.c - how floats are written into messages. */
#include "wire.h"
#include <float.h>
#include <math.h>
#include <string.h>

/* Of the message of half floats; what follows is aligned for them. */
enum { FACTOR_BYTES = sizeof(float) };

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
    const uint32_t finite = size < 0x400 ? subnormal : normal;
    return float_of(sign | (size >= 0x7c00 ? size << 13 | 0x7f800000 : finite));
}

uint16_t clfcn_half_from_float(float x)
{
    return to_half(x);
}

float clfcn_half_to_float(uint16_t half)
{
    return from_half(half);
}

size_t clfcn_wire_bytes(enum clfcn_wire wire, size_t count)
{
    return wire == CLFCN_WIRE_FP16 ? FACTOR_BYTES + count * sizeof(uint16_t)
                                   : count * sizeof(float);
}

/* The exponent of the factor for values: that of their largest finite magnitude. */
static int scale_of(const float *values, size_t count)
{
    float largest = 0.0f;
    int exponent;
    for (size_t i = 0; i < count; ++i) {
        const float size = fabsf(values[i]);
        largest = size <= FLT_MAX && size > largest ? size : largest;
    }
    if (largest == 0.0f) {
        return 0;
    }
    frexpf(largest, &exponent); /* largest lies in [2^(exponent-1), 2^exponent) */
    /* The factor is to be a normal number, and so is what values are multiplied by. */
    return exponent - 15 < FLT_MIN_EXP - 1 ? FLT_MIN_EXP - 1 : exponent - 15;
}

void clfcn_wire_encode(enum clfcn_wire wire, const float *values, size_t count,
                       void *message)
{
    if (wire != CLFCN_WIRE_FP16) {
        memcpy(message, values, count * sizeof(float));
        return;
    }
    const int scale = scale_of(values, count);
    const float factor = ldexpf(1.0f, scale), inverse = ldexpf(1.0f, -scale);
    uint16_t *halves = (uint16_t *)((unsigned char *)message + FACTOR_BYTES);
    memcpy(message, &factor, sizeof(factor));
    for (size_t i = 0; i < count; ++i) {
        halves[i] = to_half(values[i] * inverse);
    }
}

void clfcn_wire_decode(enum clfcn_wire wire, const void *message, size_t count,
                       float *values)
{
    if (wire != CLFCN_WIRE_FP16) {
        memcpy(values, message, count * sizeof(float));
        return;
    }
    const uint16_t *halves =
        (const uint16_t *)((const unsigned char *)message + FACTOR_BYTES);
    float factor;
    memcpy(&factor, message, sizeof(factor));
    for (size_t i = 0; i < count; ++i) {
        values[i] = from_half(halves[i]) * factor;
    }
}

void clfcn_wire_add(enum clfcn_wire wire, const void *message, size_t first, size_t count,
                    double *sums)
{
    if (wire != CLFCN_WIRE_FP16) {
        const float *values = (const float *)message + first;
        for (size_t i = 0; i < count; ++i) {
            sums[i] += (double)values[i];
        }
        return;
    }
    const uint16_t *halves =
        (const uint16_t *)((const unsigned char *)message + FACTOR_BYTES) + first;
    float factor;
    memcpy(&factor, message, sizeof(factor));
    for (size_t i = 0; i < count; ++i) {
        sums[i] += (double)from_half(halves[i]) * (double)factor;
    }
}
