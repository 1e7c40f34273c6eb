/* rng.h - seeded random numbers that are the same on every machine.
 *
 * A stream is derived from a seed, a purpose and two counters, so that no generator
 * state has to be saved to resume a run: epoch 7's shuffle is clfcn_rng_init(&r, seed,
 * "shuffle", 7, 0). The generator is xoshiro256** (Blackman and Vigna, 2018), seeded
 * by splitmix64. */
#ifndef CLFCN_UTIL_RNG_H
#define CLFCN_UTIL_RNG_H

#include <stddef.h>
#include <stdint.h>

struct clfcn_rng {
    uint64_t s[4];
    double spare; /* the next normal value, or NaN */
};

void clfcn_rng_init(struct clfcn_rng *rng, uint64_t seed, const char *purpose, uint64_t a,
                    uint64_t b);
uint64_t clfcn_rng_u64(struct clfcn_rng *rng);
/* Uniform in [0, n), without modulo bias; n >= 1. */
uint32_t clfcn_rng_below(struct clfcn_rng *rng, uint32_t n);
/* Uniform in [0, 1), 53 bits. */
double clfcn_rng_double(struct clfcn_rng *rng);
/* Normal with mean 0 and variance 1; Box-Muller, whose second value the next call
 * returns. */
double clfcn_rng_normal(struct clfcn_rng *rng);
/* n values (float)(clfcn_rng_normal(rng) * scale), bit for bit, several times as fast. */
void clfcn_rng_fill_normal(struct clfcn_rng *rng, double scale, float *out, size_t n);
/* Fisher-Yates shuffle of the n ints at v. */
void clfcn_rng_shuffle(struct clfcn_rng *rng, int *v, int n);

#endif
