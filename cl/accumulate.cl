/* accumulate.cl - sum += x, of count elements each. One item per VW of them. -D VW. */
#include "vector.clh"

__kernel void accumulate(__global float *restrict sum, __global const float *restrict x,
                         const uint count)
{
    const size_t p = get_global_id(0) * VW;
    if (p + VW <= count) {
        VSTORE(VLOAD(sum + p) + VLOAD(x + p), sum + p);
    } else {
        for (size_t i = p; i < count; ++i) {
            sum[i] += x[i];
        }
    }
}
