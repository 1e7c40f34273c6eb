/* clip.cl - gradients made shorter, all by one factor, if their norm is above a limit.
 *
 *   g        float [count]    gradients; count is a multiple of VW, and chunk too
 *   partial  float [groups]   sum of their squares over a chunk
 *   result   float [..]       result[index] = their norm, result[index + 1] = the factor
 *
 * -D VW, WGS.
 */
#include "vector.clh"
#include "group.clh"
#include "slice.clh"

/* One work-group per chunk, global (groups * WGS). */
__kernel __attribute__((reqd_work_group_size(WGS, 1, 1))) void
clip_squares(__global const float *restrict g, __global float *restrict partial,
             const uint count, const uint chunk)
{
    GROUP_TMP(tmp);
    const uint begin = GROUP_ID(0) * chunk, end = min(count, begin + chunk);
    vec sum = 0.0f;
    for (uint i = begin + get_local_id(0) * VW; i < end; i += WGS * VW) {
        const vec v = VLOAD(g + i);
        sum += v * v;
    }
    const float all = group_sum(VSUM(sum), tmp);
    if (get_local_id(0) == 0) {
        partial[GROUP_ID(0)] = all;
    }
}

/* As torch.nn.utils.clip_grad_norm_. One item in all. */
__kernel void clip_factor(__global const float *restrict partial,
                          __global float *restrict result, const int groups,
                          const int index, const float limit)
{
    float sum = 0.0f;
    for (int i = 0; i < groups; ++i) {
        sum += partial[i];
    }
    const float norm = sqrt(sum);
    result[index] = norm;
    result[index + 1] = fmin(limit / (norm + 1e-6f), 1.0f);
}

/* One item per VW elements. */
__kernel void clip_scale(__global float *restrict g,
                         __global const float *restrict result, const uint count,
                         const int index)
{
    const size_t i = get_global_id(0) * VW;
    const float factor = result[index + 1];
    if (i < count && factor < 1.0f) {
        VSTORE(VLOAD(g + i) * factor, g + i);
    }
}
