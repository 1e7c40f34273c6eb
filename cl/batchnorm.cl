/* batchnorm.cl - batch normalisation over the rows of [C][row], row = N*H*W.
 *
 *   x, y, dx, dy  float [C][row]
 *   skip          float [C][row]  added to the output (SKIP)
 *   gamma, beta   float [C]
 *   state         float [C][2]    mean, 1/sqrt(variance + eps): from forward to backward
 *   partial       float [C][chunks][2]
 *
 * Rows are cut into chunks of CHUNK elements, one work-group each, whose results are
 * combined in a fixed order. -D VW, WGS, CHUNK (a multiple of VW), SKIP, MASK.
 */
#include "vector.clh"
#include "group.clh"

/* Mean and sum of squared deviations of a chunk, in two passes, the first relative to
 * some value of the chunk, so that a large mean costs no precision. Global (chunks * WGS,
 * C). */
__kernel __attribute__((reqd_work_group_size(WGS, 1, 1))) void
bn_partial(__global const float *restrict x, __global float *restrict partial,
           const int row)
{
    GROUP_TMP(tmp);
    const int chunk = get_group_id(0), chunks = get_num_groups(0), c = get_global_id(1);
    const int begin = chunk * CHUNK, end = min(row, begin + CHUNK);
    x += (size_t)c * row;
    const float shift = x[begin];
    vec acc = 0.0f;
    float rest = 0.0f;
    for (int p = begin + get_local_id(0) * VW; p < end; p += WGS * VW) {
        if (p + VW <= end) {
            acc += VLOAD(x + p) - shift;
        } else {
            for (int i = p; i < end; ++i) {
                rest += x[i] - shift;
            }
        }
    }
    const float mean = shift + group_sum(VSUM(acc) + rest, tmp) / (end - begin);
    acc = 0.0f;
    rest = 0.0f;
    for (int p = begin + get_local_id(0) * VW; p < end; p += WGS * VW) {
        if (p + VW <= end) {
            const vec d = VLOAD(x + p) - mean;
            acc += d * d;
        } else {
            for (int i = p; i < end; ++i) {
                rest += (x[i] - mean) * (x[i] - mean);
            }
        }
    }
    const float m2 = group_sum(VSUM(acc) + rest, tmp);
    if (get_local_id(0) == 0) {
        vstore2((float2)(mean, m2), 0, partial + 2 * ((size_t)c * chunks + chunk));
    }
}

/* Combine the chunks (Chan, Golub, LeVeque, 1979), update the running statistics. One
 * item per channel. */
__kernel void bn_finish(__global const float *restrict partial,
                        __global float *restrict state,
                        __global float *restrict running_mean,
                        __global float *restrict running_var, const int C, const int row,
                        const int chunks, const float eps, const float momentum)
{
    const int c = get_global_id(0);
    if (c >= C) {
        return;
    }
    float mean = 0.0f, m2 = 0.0f, n = 0.0f;
    for (int i = 0; i < chunks; ++i) {
        const float2 v = vload2((size_t)c * chunks + i, partial);
        const float k = min(CHUNK, row - i * CHUNK), delta = v.x - mean;
        m2 += v.y + delta * delta * (n * k / (n + k));
        mean += delta * (k / (n + k));
        n += k;
    }
    vstore2((float2)(mean, 1.0f / sqrt(m2 / row + eps)), 0, state + 2 * c);
    running_mean[c] += momentum * (mean - running_mean[c]);
    running_var[c] += momentum * (m2 / max(row - 1, 1) - running_var[c]);
}

/* Inference: the running statistics as state. One item per channel. */
__kernel void bn_running(__global const float *restrict running_mean,
                         __global const float *restrict running_var,
                         __global float *restrict state, const int C, const float eps)
{
    const int c = get_global_id(0);
    if (c < C) {
        vstore2((float2)(running_mean[c], 1.0f / sqrt(running_var[c] + eps)), 0,
                state + 2 * c);
    }
}

/* y = (x - mean) * invstd * gamma + beta, plus skip. One item per VW elements of a row,
 * global (row / VW, C). Without SKIP skip is not read. */
__kernel void
bn_apply(__global const float *restrict x, __global const float *restrict skip,
         __global const float *restrict state, __global const float *restrict gamma,
         __global const float *restrict beta, __global float *restrict y, const int row)
{
    const int p = get_global_id(0) * VW, c = get_global_id(1);
    if (p >= row) {
        return;
    }
    const float2 s = vload2(c, state);
    const float scale = s.y * gamma[c], shift = beta[c];
    const size_t at = (size_t)c * row + p;
    if (p + VW <= row) {
        vec v = (VLOAD(x + at) - s.x) * scale + shift;
#if SKIP
        v += VLOAD(skip + at);
#endif
        VSTORE(v, y + at);
    } else {
        for (size_t i = at; i < at + row - p; ++i) {
            float v = (x[i] - s.x) * scale + shift;
#if SKIP
            v += skip[i];
#endif
            y[i] = v;
        }
    }
}

/* Sums of dy and of dy * normalised x over a chunk. Global (chunks * WGS, C). */
__kernel __attribute__((reqd_work_group_size(WGS, 1, 1))) void
bn_grad_partial(__global const float *restrict x, __global const float *restrict dy,
                __global const float *restrict state, __global float *restrict partial,
                const int row)
{
    GROUP_TMP(tmp);
    const int chunk = get_group_id(0), chunks = get_num_groups(0), c = get_global_id(1);
    const int end = min(row, (chunk + 1) * CHUNK);
    const float2 s = vload2(c, state);
    x += (size_t)c * row;
    dy += (size_t)c * row;
    vec acc = 0.0f, acc_x = 0.0f;
    float rest = 0.0f, rest_x = 0.0f;
    for (int p = chunk * CHUNK + get_local_id(0) * VW; p < end; p += WGS * VW) {
        if (p + VW <= end) {
            const vec g = VLOAD(dy + p);
            acc += g;
            acc_x += g * (VLOAD(x + p) - s.x);
        } else {
            for (int i = p; i < end; ++i) {
                rest += dy[i];
                rest_x += dy[i] * (x[i] - s.x);
            }
        }
    }
    const float sum = group_sum(VSUM(acc) + rest, tmp);
    const float sum_x = group_sum(VSUM(acc_x) + rest_x, tmp) * s.y;
    if (get_local_id(0) == 0) {
        vstore2((float2)(sum, sum_x), 0, partial + 2 * ((size_t)c * chunks + chunk));
    }
}

/* dbeta, dgamma from the partial sums. One item per channel. */
__kernel void bn_grad_finish(__global const float *restrict partial,
                             __global float *restrict dgamma,
                             __global float *restrict dbeta, const int C,
                             const int chunks)
{
    const int c = get_global_id(0);
    if (c >= C) {
        return;
    }
    float2 sum = 0.0f;
    for (int i = 0; i < chunks; ++i) {
        sum += vload2((size_t)c * chunks + i, partial);
    }
    dbeta[c] = sum.x;
    dgamma[c] = sum.y;
}

/* dx = gamma * invstd * (dy - mean(dy) - xhat * mean(dy * xhat)); with MASK times (x >
 * 0): x is a ReLU's output. dgamma and, from its element beta_at on, dbeta are sums over
 * so many values of a channel: row, or those of all ranks. One item per VW elements of a
 * row, global (row / VW, C). */
__kernel void
bn_grad_apply(__global const float *restrict x, __global const float *restrict dy,
              __global const float *restrict state, __global const float *restrict gamma,
              __global const float *restrict dgamma, __global const float *restrict dbeta,
              __global float *restrict dx, const int row, const float values,
              const int beta_at)
{
    const int p = get_global_id(0) * VW, c = get_global_id(1);
    if (p >= row) {
        return;
    }
    const float2 s = vload2(c, state);
    const float scale = gamma[c] * s.y, shift = dbeta[beta_at + c] / values,
                slope = s.y * dgamma[c] / values;
    const size_t at = (size_t)c * row + p;
    if (p + VW <= row) {
        const vec v = VLOAD(x + at);
        const vec g = scale * (VLOAD(dy + at) - shift - (v - s.x) * slope);
        VSTORE(MASK ? (v > 0.0f ? g : (vec)0.0f) : g, dx + at);
    } else {
        for (size_t i = at; i < at + row - p; ++i) {
            const float g = scale * (dy[i] - shift - (x[i] - s.x) * slope);
            dx[i] = MASK && !(x[i] > 0.0f) ? 0.0f : g;
        }
    }
}
