/* half.h - IEEE 754 binary16 numbers, and arrays of them. */
#ifndef CLFCN_COMM_HALF_H
#define CLFCN_COMM_HALF_H

#include <stddef.h>
#include <stdint.h>

/* Rounded to nearest even; a NaN becomes a quiet one. */
uint16_t clfcn_half_from_float(float x);
float clfcn_half_to_float(uint16_t half);

/* What is done with arrays. Every implementation gives the same bits. */
struct clfcn_half_ops {
    /* The largest finite magnitude, 0 if there is none. */
    float (*largest)(const float *values, size_t count);
    /* halves = values * scale */
    void (*encode)(const float *values, size_t count, float scale, uint16_t *halves);
    /* values = halves * scale */
    void (*decode)(const uint16_t *halves, size_t count, float scale, float *values);
    /* sums += halves * scale */
    void (*add)(const uint16_t *halves, size_t count, float scale, double *sums);
};

/* In plain C. */
extern const struct clfcn_half_ops clfcn_half_plain;
/* With x86-64's AVX2 and F16C; NULL where the compiler or the processor has not both. */
const struct clfcn_half_ops *clfcn_half_f16c(void);

#endif
