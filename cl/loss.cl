/* loss.cl - the losses per pixel, their sum, and their gradient in the same pass.
 *
 *   x, dx    float [C][row]   logits; dLoss/dx, already multiplied by scale
 *   label    uchar [row]      < C, or IGNORE: no loss, no gradient
 *   weight   float [C]        of the classes
 *   partial  float [groups]   sum of the loss over a chunk of pixels
 *   loss     float [..]       loss[index] = scale * sum of the partial sums
 *
 * One work-group per chunk of pixels, global (groups * WGS). -D C, WGS, IGNORE.
 */
#include "group.clh"
#include "slice.clh"

/* Binary cross-entropy of sigmoid(x) against the one-hot label, from the logit:
 * max(x, 0) - x*t + log(1 + exp(-|x|)). Summed over classes. */
__kernel __attribute__((reqd_work_group_size(WGS, 1, 1))) void
loss_bce(__global const float *restrict x, __global const uchar *restrict label,
         __global const float *restrict weight, __global float *restrict dx,
         __global float *restrict partial, const int row, const int chunk,
         const float scale)
{
    GROUP_TMP(tmp);
    const int begin = GROUP_ID(0) * chunk, end = min(row, begin + chunk);
    float sum = 0.0f;
    for (int p = begin + get_local_id(0); p < end; p += WGS) {
        const int t = label[p], on = t != IGNORE;
        for (int c = 0; c < C; ++c) {
            const size_t at = (size_t)c * row + p;
            const float v = x[at], e = exp(-fabs(v)), w = weight[c];
            const float sigmoid = (v >= 0.0f ? 1.0f : e) / (1.0f + e);
            sum += on ? w * (fmax(v, 0.0f) - (c == t ? v : 0.0f) + log1p(e)) : 0.0f;
            dx[at] = on ? scale * w * (sigmoid - (c == t ? 1.0f : 0.0f)) : 0.0f;
        }
    }
    sum = group_sum(sum, tmp);
    if (get_local_id(0) == 0) {
        partial[GROUP_ID(0)] = sum;
    }
}

/* Cross-entropy of softmax over classes, with the largest logit taken out first. */
__kernel __attribute__((reqd_work_group_size(WGS, 1, 1))) void
loss_ce(__global const float *restrict x, __global const uchar *restrict label,
        __global const float *restrict weight, __global float *restrict dx,
        __global float *restrict partial, const int row, const int chunk,
        const float scale)
{
    GROUP_TMP(tmp);
    const int begin = GROUP_ID(0) * chunk, end = min(row, begin + chunk);
    float sum = 0.0f;
    for (int p = begin + get_local_id(0); p < end; p += WGS) {
        const int t = label[p], on = t != IGNORE;
        const float w = weight[on ? t : 0];
        float top = x[p];
        for (int c = 1; c < C; ++c) {
            top = fmax(top, x[(size_t)c * row + p]);
        }
        float total = 0.0f, own = 0.0f;
        for (int c = 0; c < C; ++c) {
            const float v = x[(size_t)c * row + p] - top;
            total += exp(v);
            own = c == t ? v : own;
        }
        sum += on ? w * (log(total) - own) : 0.0f;
        const float inverse = 1.0f / total;
        for (int c = 0; c < C; ++c) {
            const size_t at = (size_t)c * row + p;
            const float q = exp(x[at] - top) * inverse;
            dx[at] = on ? scale * w * (q - (c == t ? 1.0f : 0.0f)) : 0.0f;
        }
    }
    sum = group_sum(sum, tmp);
    if (get_local_id(0) == 0) {
        partial[GROUP_ID(0)] = sum;
    }
}

/* Focal loss (Lin, Goyal, Girshick, He, Dollar, 2017) of softmax over classes:
 * -rest^gamma * log(1 - rest), rest being what softmax gives the classes that are not the
 * label's. It is added up from those classes, since near 0 it matters, and the smallest
 * normal number in its place keeps its power and its quotient finite at 0. */
__kernel __attribute__((reqd_work_group_size(WGS, 1, 1))) void
loss_focal(__global const float *restrict x, __global const uchar *restrict label,
           __global const float *restrict weight, __global float *restrict dx,
           __global float *restrict partial, const int row, const int chunk,
           const float scale, const float gamma)
{
    GROUP_TMP(tmp);
    const int begin = GROUP_ID(0) * chunk, end = min(row, begin + chunk);
    float sum = 0.0f;
    for (int p = begin + get_local_id(0); p < end; p += WGS) {
        const int t = label[p], on = t != IGNORE;
        const float w = weight[on ? t : 0];
        float top = x[p];
        for (int c = 1; c < C; ++c) {
            top = fmax(top, x[(size_t)c * row + p]);
        }
        float others = 0.0f, own = 0.0f;
        for (int c = 0; c < C; ++c) {
            const float v = x[(size_t)c * row + p] - top;
            others += c == t ? 0.0f : exp(v);
            own = c == t ? v : own;
        }
        const float hit = exp(own), total = others + hit, inverse = 1.0f / total;
        const float rest = others * inverse, safe = fmax(rest, FLT_MIN);
        const float entropy = rest < 0.5f ? -log1p(-rest) : log(total) - own;
        const float focus = pow(safe, gamma);
        const float slope = focus * (1.0f + gamma * hit * inverse * (entropy / safe));
        sum += on ? w * focus * entropy : 0.0f;
        for (int c = 0; c < C; ++c) {
            const size_t at = (size_t)c * row + p;
            const float q = exp(x[at] - top) * inverse;
            dx[at] = on ? scale * w * slope * (c == t ? -rest : q) : 0.0f;
        }
    }
    sum = group_sum(sum, tmp);
    if (get_local_id(0) == 0) {
        partial[GROUP_ID(0)] = sum;
    }
}

/* One item in all. */
__kernel void loss_finish(__global const float *restrict partial,
                          __global float *restrict loss, const int groups,
                          const int index, const float scale)
{
    float sum = 0.0f;
    for (int i = 0; i < groups; ++i) {
        sum += partial[i];
    }
    loss[index] = sum * scale;
}
