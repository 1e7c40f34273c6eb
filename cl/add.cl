/* add.cl - sum of two tensors of count elements, and the gradient of the first.
 *
 * One item per VW elements. -D VW, MASK (multiply the gradient by (a > 0)).
 */
#include "vector.clh"

__kernel void add_forward(__global const float *restrict a,
                          __global const float *restrict b, __global float *restrict y,
                          const uint count)
{
    const size_t p = get_global_id(0) * VW;
    if (p + VW <= count) {
        VSTORE(VLOAD(a + p) + VLOAD(b + p), y + p);
    } else {
        for (size_t i = p; i < count; ++i) {
            y[i] = a[i] + b[i];
        }
    }
}

__kernel void add_backward(__global const float *restrict a,
                           __global const float *restrict dy, __global float *restrict da,
                           const uint count)
{
    const size_t p = get_global_id(0) * VW;
    if (p + VW <= count) {
        const vec g = VLOAD(dy + p);
        VSTORE(MASK ? (VLOAD(a + p) > 0.0f ? g : (vec)0.0f) : g, da + p);
    } else {
        for (size_t i = p; i < count; ++i) {
            da[i] = MASK && !(a[i] > 0.0f) ? 0.0f : dy[i];
        }
    }
}
