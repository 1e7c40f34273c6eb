/* bias_relu.cl - bias and ReLU after a matrix product, and their gradients.
 *
 *   y, dy    float [C][row]   in place
 *   bias     float [C]
 *   partial  float [C][chunks]  sums of dy over chunks of CHUNK elements
 *   dbias    float [C]
 *
 * -D VW, WGS, CHUNK (a multiple of VW), RELU (0: no activation), MASK (0: dy is masked
 * already).
 */
#include "vector.clh"
#include "group.clh"

/* A NaN passes, as in PyTorch, so that it is seen in the loss. */
#define ACTIVATE(v, zero) (RELU ? ((v) < 0.0f ? (zero) : (v)) : (v))

/* y = relu(y + bias). One item per VW elements of a row, global (row / VW, C). */
__kernel void bias_relu(__global float *restrict y, __global const float *restrict bias,
                        const int row)
{
    const int p = get_global_id(0) * VW, c = get_global_id(1);
    if (p >= row) {
        return;
    }
    y += (size_t)c * row + p;
    const float b = bias[c];
    if (p + VW <= row) {
        const vec v = VLOAD(y) + b;
        VSTORE(ACTIVATE(v, (vec)0.0f), y);
    } else {
        for (int i = 0; i < row - p; ++i) {
            const float v = y[i] + b;
            y[i] = ACTIVATE(v, 0.0f);
        }
    }
}

/* dy *= (y > 0), and its sums. One work-group per chunk and row, global (chunks * WGS,
 * C). */
__kernel __attribute__((reqd_work_group_size(WGS, 1, 1))) void
bias_relu_grad(__global const float *restrict y, __global float *restrict dy,
               __global float *restrict partial, const int row)
{
    GROUP_TMP(tmp);
    const int chunk = get_group_id(0), chunks = get_num_groups(0), c = get_global_id(1);
    const int end = min(row, (chunk + 1) * CHUNK);
    y += (size_t)c * row;
    dy += (size_t)c * row;
    vec acc = 0.0f;
    float rest = 0.0f;
    for (int p = chunk * CHUNK + get_local_id(0) * VW; p < end; p += WGS * VW) {
        if (p + VW <= end) {
            vec g = VLOAD(dy + p);
#if MASK
            g = VLOAD(y + p) > 0.0f ? g : (vec)0.0f;
            VSTORE(g, dy + p);
#endif
            acc += g;
        } else {
            for (int i = p; i < end; ++i) {
                float g = dy[i];
#if MASK
                g = y[i] > 0.0f ? g : 0.0f;
                dy[i] = g;
#endif
                rest += g;
            }
        }
    }
    const float sum = group_sum(VSUM(acc) + rest, tmp);
    if (get_local_id(0) == 0) {
        partial[(size_t)c * chunks + chunk] = sum;
    }
}

/* dbias[c] = sum of its partial sums. One item per channel. */
__kernel void bias_grad_finish(__global const float *restrict partial,
                               __global float *restrict dbias, const int C,
                               const int chunks)
{
    const int c = get_global_id(0);
    if (c >= C) {
        return;
    }
    float sum = 0.0f;
    for (int i = 0; i < chunks; ++i) {
        sum += partial[(size_t)c * chunks + i];
    }
    dbias[c] = sum;
}
