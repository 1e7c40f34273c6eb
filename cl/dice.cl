/* dice.cl - soft Dice loss of softmax over classes, summed over a batch.
 *
 *   x        float [C][row]   logits
 *   label    uchar [row]      < C, or IGNORE: no loss, no gradient
 *   weight   float [C]        of the classes, whose sum is 1
 *   dx       float [C][row]   first p - t (0 where ignored), then dLoss/dx
 *   scratch  float [C]             each class's part of the loss,
 *                  [C][2]          what its gradient takes: dice_slopes,
 *                  [C][groups][2]  its sums over chunks of pixels: dice_sums
 *
 * With p the probabilities, t the one-hot labels and sums over labelled pixels, the loss
 * is the weighted sum over classes of 1 - (2*sum(p*t) + 1) / (sum(p) + sum(t) + 1).
 * Written as sum(|p - t|) / (sum(p) + sum(t) + 1), with p - 1 added up from the other
 * classes, it loses no digits where it is small.
 * -D C, WGS, IGNORE.
 */
#include "group.clh"
#include "slice.clh"

#define SLOPES C
#define SUMS (3 * C)

/* One item per pixel. */
__kernel void dice_softmax(__global const float *restrict x,
                           __global const uchar *restrict label,
                           __global float *restrict dx, const int row)
{
    const int p = get_global_id(0);
    if (p >= row) {
        return;
    }
    const int t = label[p];
    float top = x[p], own = 0.0f, others = 0.0f;
    for (int c = 1; c < C; ++c) {
        top = fmax(top, x[(size_t)c * row + p]);
    }
    for (int c = 0; c < C; ++c) {
        const float e = exp(x[(size_t)c * row + p] - top);
        own = c == t ? e : own;
        others += c == t ? 0.0f : e;
    }
    const float inverse = 1.0f / (own + others);
    for (int c = 0; c < C; ++c) {
        const size_t at = (size_t)c * row + p;
        const float e = c == t ? -others : exp(x[at] - top);
        dx[at] = t != IGNORE ? e * inverse : 0.0f;
    }
}

/* sum(|p - t|) and sum(p) + sum(t) of a class over a chunk of pixels. One work-group per
 * chunk and class, global (groups * WGS, C). */
__kernel __attribute__((reqd_work_group_size(WGS, 1, 1))) void
dice_sums(__global const float *restrict dx, __global const uchar *restrict label,
          __global float *restrict scratch, const int row, const int chunk,
          const int groups)
{
    GROUP_TMP(tmp);
    const int c = get_global_id(1), group = GROUP_ID(0);
    const int begin = group * chunk, end = min(row, begin + chunk);
    float apart = 0.0f, size = 0.0f;
    for (int p = begin + get_local_id(0); p < end; p += WGS) {
        const float v = dx[(size_t)c * row + p];
        apart += fabs(v);
        size += label[p] == c ? v + 2.0f : v;
    }
    apart = group_sum(apart, tmp);
    size = group_sum(size, tmp);
    if (get_local_id(0) == 0) {
        vstore2((float2)(apart, size), (size_t)c * groups + group, scratch + SUMS);
    }
}

/* Each class's part of the loss, and its derivatives by p where t is 0, and what is added
 * to that where t is 1. One item per class. */
__kernel void dice_slopes(__global float *scratch, __global const float *restrict weight,
                          const int groups)
{
    const int c = get_global_id(0);
    if (c >= C) {
        return;
    }
    float2 sum = 0.0f;
    for (int i = 0; i < groups; ++i) {
        sum += vload2((size_t)c * groups + i, scratch + SUMS);
    }
    const float inverse = 1.0f / (sum.y + 1.0f), share = weight[c] * inverse;
    const float overlap = (sum.y - sum.x + 1.0f) * inverse;
    scratch[c] = share * sum.x;
    scratch[SLOPES + 2 * c] = share * overlap;
    scratch[SLOPES + 2 * c + 1] = -2.0f * share;
}

/* p * (slope - mean of the slopes), slopes being counted from the label's, which is all
 * but the mean where the pixel is right. One item per pixel. */
__kernel void dice_gradient(__global const uchar *restrict label,
                            __global const float *restrict scratch,
                            __global float *restrict dx, const int row)
{
    const int p = get_global_id(0);
    if (p >= row) {
        return;
    }
    const int t = label[p];
    const int own = SLOPES + 2 * (t != IGNORE ? t : 0);
    const float base = scratch[own] + scratch[own + 1];
    float mean = 0.0f;
    for (int c = 0; c < C; ++c) {
        const float slope = c == t ? 0.0f : scratch[SLOPES + 2 * c] - base;
        mean += dx[(size_t)c * row + p] * slope;
    }
    for (int c = 0; c < C; ++c) {
        const size_t at = (size_t)c * row + p;
        const float slope = c == t ? 0.0f : scratch[SLOPES + 2 * c] - base;
        dx[at] = (c == t ? 1.0f + dx[at] : dx[at]) * (slope - mean);
    }
}
