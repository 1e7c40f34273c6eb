/* rng.c - xoshiro256** streams derived from a seed, a purpose and two counters. */
#include "rng.h"
#include "hash.h"
#include <math.h>

/* One step of splitmix64: a bijection of the state, well mixed. */
static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void clfcn_rng_init(struct clfcn_rng *rng, uint64_t seed, const char *purpose, uint64_t a,
                    uint64_t b)
{
    const uint64_t parts[] = { seed, a, b };
    uint64_t state = clfcn_hash_str(CLFCN_HASH_INIT, purpose);
    for (int i = 0; i < 3; ++i) {
        state ^= parts[i];
        state = splitmix64(&state);
    }
    for (int i = 0; i < 4; ++i) {
        rng->s[i] = splitmix64(&state);
    }
    rng->spare = NAN;
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t clfcn_rng_u64(struct clfcn_rng *rng)
{
    uint64_t *s = rng->s;
    const uint64_t result = rotl(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint32_t clfcn_rng_below(struct clfcn_rng *rng, uint32_t n)
{
    /* Lemire 2019: the high half of x*n is uniform once the 2^32 mod n lowest products
     * are out. */
    const uint32_t reject = (uint32_t)(0 - n) % n;
    uint64_t product;
    do {
        product = (clfcn_rng_u64(rng) >> 32) * n;
    } while ((uint32_t)product < reject);
    return (uint32_t)(product >> 32);
}

double clfcn_rng_double(struct clfcn_rng *rng)
{
    return (double)(clfcn_rng_u64(rng) >> 11) * 0x1p-53;
}

double clfcn_rng_normal(struct clfcn_rng *rng)
{
    const double two_pi = 6.283185307179586476925;
    if (!isnan(rng->spare)) {
        const double v = rng->spare;
        rng->spare = NAN;
        return v;
    }
    const double u = 1.0 - clfcn_rng_double(rng); /* in (0, 1]: its logarithm is finite */
    const double v = clfcn_rng_double(rng);
    const double radius = sqrt(-2.0 * log(u));
    rng->spare = radius * sin(two_pi * v);
    return radius * cos(two_pi * v);
}

void clfcn_rng_shuffle(struct clfcn_rng *rng, int *v, int n)
{
    for (int i = n - 1; i > 0; --i) {
        const int j = (int)clfcn_rng_below(rng, (uint32_t)i + 1);
        const int tmp = v[i];
        v[i] = v[j];
        v[j] = tmp;
    }
}
