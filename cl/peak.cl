/* peak.cl - what a device can do at best: multiply-adds, memory traffic, launches.
 *
 *   out      float [items]   peak_fma: the sum of all lanes of all chains, so that the
 *                            work has a use
 *   x, y, z  float [n * VW]  peak_triad: z = x + scale * y
 *
 * peak_fma has 12 chains of vectors, independent, so that the latency of one hides behind
 * the others; named, since compilers keep an array of them in memory. Chain i begins at i
 * and becomes chain * scale + shift, rounds times. In peak_triad item i takes the vectors
 * i * first + j * step, j < count, that are below n. peak_empty does nothing.
 *
 * Any work-group. -D VW.
 */
#include "vector.clh"

#define STEP(i) c##i = fma(c##i, s, t)

__kernel void peak_fma(__global float *restrict out, const float scale, const float shift,
                       const int rounds)
{
    const vec s = (vec)scale, t = (vec)shift;
    vec c0 = (vec)0.0f, c1 = (vec)1.0f, c2 = (vec)2.0f, c3 = (vec)3.0f;
    vec c4 = (vec)4.0f, c5 = (vec)5.0f, c6 = (vec)6.0f, c7 = (vec)7.0f;
    vec c8 = (vec)8.0f, c9 = (vec)9.0f, c10 = (vec)10.0f, c11 = (vec)11.0f;
    for (int r = 0; r < rounds; ++r) {
        STEP(0);
        STEP(1);
        STEP(2);
        STEP(3);
        STEP(4);
        STEP(5);
        STEP(6);
        STEP(7);
        STEP(8);
        STEP(9);
        STEP(10);
        STEP(11);
    }
    const vec sum =
        PLUS(SUM4(c0, c1, c2, c3), PLUS(SUM4(c4, c5, c6, c7), SUM4(c8, c9, c10, c11)));
    out[get_global_id(0)] = VSUM(sum);
}

__kernel void peak_triad(__global const float *restrict x,
                         __global const float *restrict y, __global float *restrict z,
                         const float scale, const uint first, const uint step,
                         const uint count, const uint n)
{
    size_t v = get_global_id(0) * first;
    for (uint j = 0; j < count && v < n; ++j, v += step) {
        VSTORE(fma((vec)scale, VLOAD(y + v * VW), VLOAD(x + v * VW)), z + v * VW);
    }
}

__kernel void peak_empty(const int nothing)
{
}
