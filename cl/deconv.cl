/* deconv.cl - the scatter of a transposed convolution 3x3, stride 2, padding 1, output
 * padding 1, written as a gather, with bias and ReLU.
 *
 *   col   float [channels*9][N*H*W]  products of weight taps and input pixels
 *   bias  float [C]
 *   y     float [C][N][2H][2W], of which channels from first_channel on are written
 *
 * Output (2h+i, 2w+j) receives the taps whose parity fits: an even row the middle tap row
 * of input row h, an odd one the last tap row of h and the first of h+1. One item per
 * input pixel and channel, writing 2x2 outputs; global (N*H*W, channels).
 */
__kernel void deconv_gather(__global const float *restrict col,
                            __global const float *restrict bias,
                            __global float *restrict y, const int NHW, const int H,
                            const int W, const int first_channel)
{
    const int p = get_global_id(0), k = get_global_id(1);
    if (p >= NHW) {
        return;
    }
    const int q = p / W, w = p - q * W, h = q - q / H * H;
    const int right = w + 1 < W, below = h + 1 < H;
    __global const float *t = col + (size_t)k * 9 * NHW + p;
#define TAP(ky, kx, step) t[(size_t)((ky)*3 + (kx)) * NHW + (step)]
    const float b = bias[first_channel + k];
    const float y00 = TAP(1, 1, 0);
    float y01 = TAP(1, 2, 0), y10 = TAP(2, 1, 0), y11 = TAP(2, 2, 0);
    if (right) {
        y01 += TAP(1, 0, 1);
        y11 += TAP(2, 0, 1);
    }
    if (below) {
        y10 += TAP(0, 1, W);
        y11 += TAP(0, 2, W);
    }
    if (right && below) {
        y11 += TAP(0, 0, W + 1);
    }
    /* Input row q of all N*H rows becomes output rows 2q and 2q+1. */
    __global float *out =
        y + (size_t)(first_channel + k) * NHW * 4 + (size_t)q * 4 * W + 2 * w;
    const float2 top = (float2)(y00, y01) + b, bottom = (float2)(y10, y11) + b;
    vstore2(top < 0.0f ? (float2)0.0f : top, 0, out); /* a NaN passes */
    vstore2(bottom < 0.0f ? (float2)0.0f : bottom, 0, out + 2 * W);
}
