/* part.cl - copy count elements of every channel from one tensor into another, of pitches
 * from_row and to_row, there from elements from_at and to_at on.
 *
 * One item per VW elements, channels in the second dimension. -D VW.
 */
#include "vector.clh"

__kernel void copy_part(__global const float *restrict from, __global float *restrict to,
                        const uint count, const uint from_row, const uint from_at,
                        const uint to_row, const uint to_at)
{
    const size_t c = get_global_id(1), p = get_global_id(0) * VW;
    __global const float *restrict x = from + c * from_row + from_at;
    __global float *restrict y = to + c * to_row + to_at;
    if (p + VW <= count) {
        VSTORE(VLOAD(x + p), y + p);
    } else {
        for (size_t i = p; i < count; ++i) {
            y[i] = x[i];
        }
    }
}
