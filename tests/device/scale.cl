/* scale.cl - y = FACTOR * x, for the tests of the host's side of kernels. -D FACTOR. */
#include "bounds.clh"

__kernel void scale(__global const float *restrict x, __global float *restrict y,
                    const int n)
{
    const int i = get_global_id(0);
    if (IN_BOUNDS(i, n)) {
        y[i] = FACTOR * x[i];
    }
}

/* Each work-group writes the sum of its items' indices, by way of local memory. */
__kernel void group_sum(__global int *restrict y, __local int *tmp)
{
    const int l = get_local_id(0);
    tmp[l] = get_global_id(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    if (l == 0) {
        int sum = 0;
        for (int i = 0; i < (int)get_local_size(0); ++i) {
            sum += tmp[i];
        }
        y[get_group_id(0)] = sum;
    }
}
