/* wire.c - how floats are written into messages. */
#include "wire.h"

#include "half.h"
#include <float.h>
#include <math.h>
#include <string.h>

/* Of the message of half floats; what follows is aligned for them. */
enum { FACTOR_BYTES = sizeof(float) };

static const struct clfcn_half_ops *halves_here(void)
{
    const struct clfcn_half_ops *fast = clfcn_half_f16c();
    return fast ? fast : &clfcn_half_plain;
}

size_t clfcn_wire_bytes(enum clfcn_wire wire, size_t count)
{
    return wire == CLFCN_WIRE_FP16 ? FACTOR_BYTES + count * sizeof(uint16_t)
                                   : count * sizeof(float);
}

/* The exponent of the factor for values: that of their largest finite magnitude. */
static int scale_of(const struct clfcn_half_ops *ops, const float *values, size_t count)
{
    const float largest = ops->largest(values, count);
    int exponent;
    if (largest == 0.0f) {
        return 0;
    }
    frexpf(largest, &exponent); /* largest lies in [2^(exponent-1), 2^exponent) */
    /* The factor is to be a normal number, and so is what values are multiplied by. */
    return exponent - 15 < FLT_MIN_EXP - 1 ? FLT_MIN_EXP - 1 : exponent - 15;
}

/* The factor of a message of halves; *halves are these. */
static float open_message(const void *message, const uint16_t **halves)
{
    float factor;
    memcpy(&factor, message, sizeof(factor));
    *halves = (const uint16_t *)((const unsigned char *)message + FACTOR_BYTES);
    return factor;
}

void clfcn_wire_encode(enum clfcn_wire wire, const float *values, size_t count,
                       void *message)
{
    if (wire != CLFCN_WIRE_FP16) {
        memcpy(message, values, count * sizeof(float));
        return;
    }
    const struct clfcn_half_ops *ops = halves_here();
    const int scale = scale_of(ops, values, count);
    const float factor = ldexpf(1.0f, scale);
    memcpy(message, &factor, sizeof(factor));
    ops->encode(values, count, ldexpf(1.0f, -scale),
                (uint16_t *)((unsigned char *)message + FACTOR_BYTES));
}

void clfcn_wire_decode(enum clfcn_wire wire, const void *message, size_t count,
                       float *values)
{
    if (wire != CLFCN_WIRE_FP16) {
        memcpy(values, message, count * sizeof(float));
        return;
    }
    const uint16_t *halves;
    const float factor = open_message(message, &halves);
    halves_here()->decode(halves, count, factor, values);
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
    const uint16_t *halves;
    const float factor = open_message(message, &halves);
    halves_here()->add(halves + first, count, factor, sums);
}
