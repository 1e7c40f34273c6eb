/* rng.c - xoshiro256** streams derived from a seed, a purpose and two counters. */
#include "rng.h"
#include "hash.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

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

static const double two_pi = 6.283185307179586476925;

/* Two independent normal values from two uniform ones (Box and Muller, 1958); u > 0. */
static void normal_pair(double u, double v, double pair[2])
{
    const double radius = sqrt(-2.0 * log(u));
    pair[0] = radius * cos(two_pi * v);
    pair[1] = radius * sin(two_pi * v);
}

/* What a pair is made of. */
static void draw_pair(struct clfcn_rng *rng, double *u, double *v)
{
    *u = 1.0 - clfcn_rng_double(rng); /* in (0, 1]: its logarithm is finite */
    *v = clfcn_rng_double(rng);
}

double clfcn_rng_normal(struct clfcn_rng *rng)
{
    double u, v, pair[2];
    if (!isnan(rng->spare)) {
        const double spare = rng->spare;
        rng->spare = NAN;
        return spare;
    }
    draw_pair(rng, &u, &v);
    normal_pair(u, v, pair);
    rng->spare = pair[1];
    return pair[0];
}

/* --- many normal values at once ---
 *
 * A network's weights are tens of millions of them, and the mathematical library works on
 * one at a time. The functions below have neither calls nor branches, so that compilers
 * turn their loops into vector code, and are exact to some 1e-13, which nearly always
 * settles the float next to the value. Where it does not, the library is asked after
 * all: so the floats are those of clfcn_rng_normal(), bit for bit. */

enum { PAIRS = 128 };                    /* at once */
static const double sure = 0x1p-36;      /* relative; 100 times the error there is */
static const double too_small = 0x1p-20; /* for a relative error to be known */

/* More than one version of a function, for the processor to choose from. Without a fused
 * multiplication, which would round otherwise, they all give the same bits. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define VECTOR_VERSIONS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTOR_VERSIONS
#endif

static inline uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static inline double from_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

enum { TERMS = 8 };
static const double artanh_terms[TERMS] = { 1.0,     1.0 / 3,  1.0 / 5,  1.0 / 7,
                                            1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15 };
static const double cos_terms[TERMS] = {
    1.0,         -1.0 / 2,       1.0 / 24,        -1.0 / 720,
    1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600, -1.0 / 87178291200
};
static const double sin_terms[TERMS] = {
    1.0,          -1.0 / 6,        1.0 / 120,        -1.0 / 5040,
    1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800, -1.0 / 1307674368000
};

/* The sum of terms[i] z^i. */
static inline double series(const double terms[TERMS], double z)
{
    double sum = terms[TERMS - 1];
    for (int i = TERMS - 2; i >= 0; --i) {
        sum = terms[i] + z * sum;
    }
    return sum;
}

/* log(u) for 2^-53 <= u < 1; NaN next to 1. u = m 2^k with m in [sqrt(1/2), sqrt(2)), and
 * log(m) = 2 artanh((m - 1) / (m + 1)), by the series. */
static inline double fast_log(double u)
{
    const uint64_t root_half = UINT64_C(0x3fe6a09e00000000), one = UINT64_C(0x3ff) << 52;
    const uint64_t shifted = bits_of(u) + (one - root_half);
    /* An integer below 2^52 in the low bits of 2^52: a conversion that vectors have. */
    const double k = from_bits((shifted >> 52) | bits_of(0x1p52)) - (0x1p52 + 1023);
    const double m = from_bits((shifted & ((UINT64_C(1) << 52) - 1)) + root_half);
    const double f = fabs(m - 1.0) < too_small ? NAN : m - 1.0;
    const double s = f / (2.0 + f);
    return k * 0.69314718055994530942 + 2.0 * s * series(artanh_terms, s * s);
}

/* Cosine and sine of fl(two_pi * v), 0 <= v < 1; NaN next to their zeros. */
static inline void fast_cos_sin(double v, double *cosine, double *sine)
{
    /* pi/2 in two parts: products of the first with 0 to 4 are exact. */
    const double high = 0x1.921fb544p+0, low = 0x1.0b4611a626331p-34;
    const double round = 0x1.8p52, quarter = (4.0 * v + round) - round;
    const double rest = (two_pi * v - quarter * high) - quarter * low;
    const double r = fabs(rest) < too_small ? NAN : rest; /* within pi/4 */
    const double c = series(cos_terms, r * r), s = r * series(sin_terms, r * r);
    const bool odd = quarter == 1.0 || quarter == 3.0;
    const double x = odd ? s : c, y = odd ? c : s;
    *cosine = quarter == 1.0 || quarter == 2.0 ? -x : x;
    *sine = quarter == 2.0 || quarter == 3.0 ? -y : y;
}

/* Bounds of the PAIRS pairs of u and v, times scale; NaN where there is none. */
VECTOR_VERSIONS
static void bound_pairs(const double *restrict u, const double *restrict v, double scale,
                        float (*restrict lower)[PAIRS], float (*restrict upper)[PAIRS])
{
    for (int i = 0; i < PAIRS; ++i) {
        double cosine, sine;
        fast_cos_sin(v[i], &cosine, &sine);
        const double radius = scale * sqrt(-2.0 * fast_log(u[i]));
        lower[0][i] = (float)(radius * cosine * (1.0 - sure));
        upper[0][i] = (float)(radius * cosine * (1.0 + sure));
        lower[1][i] = (float)(radius * sine * (1.0 - sure));
        upper[1][i] = (float)(radius * sine * (1.0 + sure));
    }
}

static void fill_pairs(struct clfcn_rng *rng, double scale, float *out)
{
    double u[PAIRS], v[PAIRS];
    float lower[2][PAIRS], upper[2][PAIRS];
    for (int i = 0; i < PAIRS; ++i) {
        draw_pair(rng, &u[i], &v[i]);
    }
    bound_pairs(u, v, scale, lower, upper);
    for (size_t i = 0; i < PAIRS; ++i) {
        if (lower[0][i] == upper[0][i] && lower[1][i] == upper[1][i]) {
            out[2 * i] = lower[0][i];
            out[2 * i + 1] = lower[1][i];
        } else {
            double pair[2];
            normal_pair(u[i], v[i], pair);
            out[2 * i] = (float)(pair[0] * scale);
            out[2 * i + 1] = (float)(pair[1] * scale);
        }
    }
}

void clfcn_rng_fill_normal(struct clfcn_rng *rng, double scale, float *out, size_t n)
{
    size_t i = 0;
    while (isnan(rng->spare) && n - i >= 2 * (size_t)PAIRS) {
        fill_pairs(rng, scale, out + i);
        i += 2 * (size_t)PAIRS;
    }
    for (; i < n; ++i) {
        out[i] = (float)(clfcn_rng_normal(rng) * scale);
    }
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
