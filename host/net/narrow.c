#include "narrow.h"

#include <string.h>

/* x >> shift, rounded to nearest, ties to even; 1 <= shift <= 31. */
static uint32_t shift_to_nearest(uint32_t x, int shift)
{
    const uint32_t kept = x >> shift, half = UINT32_C(1) << (shift - 1);
    const uint32_t rest = x & (2 * half - 1);
    return kept + (rest > half || (rest == half && (kept & 1) != 0));
}

/* A carry out of the mantissa raises the exponent, as it should. */
static uint16_t to_half(uint32_t bits)
{
    const uint16_t sign = (uint16_t)((bits >> 16) & 0x8000);
    const int exponent = (int)((bits >> 23) & 255) - 127 + 15; /* as F16 has it */
    const uint32_t mantissa = bits & 0x7fffff;
    if ((bits & 0x7fffffff) > 0x7f800000) {
        return sign | 0x7e00; /* NaN */
    }
    if (exponent >= 31) {
        return sign | 0x7c00;
    }
    if (exponent >= 1) {
        return sign | (uint16_t)shift_to_nearest((uint32_t)exponent << 23 | mantissa, 13);
    }
    /* Below the smallest normal number, 2^-14, halves are multiples of 2^-24. */
    return exponent < -10
               ? sign
               : sign | (uint16_t)shift_to_nearest(mantissa | 0x800000, 14 - exponent);
}

static uint16_t to_bfloat(uint32_t bits)
{
    return (bits & 0x7fffffff) > 0x7f800000 ? (uint16_t)(bits >> 16 | 0x40)
                                            : (uint16_t)shift_to_nearest(bits, 16);
}

size_t clfcn_narrow(void *data, size_t count, enum clfcn_dtype dtype)
{
    unsigned char *bytes = data;
    if (dtype == CLFCN_F32) {
        return count * sizeof(float);
    }
    for (size_t i = 0; i < count; ++i) {
        uint32_t wide;
        memcpy(&wide, bytes + i * sizeof(wide), sizeof(wide));
        const uint16_t narrow = dtype == CLFCN_F16 ? to_half(wide) : to_bfloat(wide);
        memcpy(bytes + i * sizeof(narrow), &narrow, sizeof(narrow));
    }
    return count * sizeof(uint16_t);
}
