/* im2col.cl - the patches a KxK convolution reads, as matrix columns.
 *
 *   x    float [C][N][H][W]
 *   col  float [C*K*K][count]  from offset on, for the output pixels first ..
 * first+count-1 of N*OH*OW
 *
 * Zero outside the image. -D K, STRIDE, PAD.
 */

/* One item per column and channel, global (count, C): neighbours write neighbouring
 * columns. */
__kernel void im2col_pixels(__global const float *restrict x,
                            __global float *restrict col, const ulong offset, const int N,
                            const int H, const int W, const int OH, const int OW,
                            const int first, const int count)
{
    const int j = get_global_id(0), c = get_global_id(1);
    if (j >= count) {
        return;
    }
    const int p = first + j, q = p / OW, n = q / OH, ox = p - q * OW, oy = q - n * OH;
    __global const float *src = x + ((size_t)c * N + n) * H * W;
    __global float *dst = col + offset + (size_t)c * K * K * count + j;
    for (int ky = 0; ky < K; ++ky) {
        const int iy = oy * STRIDE + ky - PAD;
        for (int kx = 0; kx < K; ++kx) {
            const int ix = ox * STRIDE + kx - PAD;
            const int inside = iy >= 0 && iy < H && ix >= 0 && ix < W;
            *dst = inside ? src[(size_t)iy * W + ix] : 0.0f;
            dst += count;
        }
    }
}

/* One item per output row and channel, global (count / OW, C): for CPUs, where copying
 * runs of a row is fastest. first and count must be multiples of OW. */
__kernel void im2col_rows(__global const float *restrict x, __global float *restrict col,
                          const ulong offset, const int N, const int H, const int W,
                          const int OH, const int OW, const int first, const int count)
{
    const int r = get_global_id(0), c = get_global_id(1);
    if (r >= count / OW) {
        return;
    }
    const int q = first / OW + r, n = q / OH, oy = q - n * OH;
    __global const float *src = x + ((size_t)c * N + n) * H * W;
    for (int ky = 0; ky < K; ++ky) {
        const int iy = oy * STRIDE + ky - PAD;
        for (int kx = 0; kx < K; ++kx) {
            __global float *dst =
                col + offset + (size_t)(c * K * K + ky * K + kx) * count + r * OW;
            if (iy < 0 || iy >= H) {
                for (int o = 0; o < OW; ++o) {
                    dst[o] = 0.0f;
                }
                continue;
            }
            /* Outputs o whose source o*STRIDE + kx - PAD lies in [0, W). */
            const int low = min(OW, max(0, (PAD - kx + STRIDE - 1) / STRIDE));
            const int high = min(OW, (W - 1 + PAD - kx + STRIDE) / STRIDE);
            __global const float *row = src + (size_t)iy * W + kx - PAD;
            for (int o = 0; o < low; ++o) {
                dst[o] = 0.0f;
            }
            for (int o = low; o < high; ++o) {
                dst[o] = row[o * STRIDE];
            }
            for (int o = max(low, high); o < OW; ++o) {
                dst[o] = 0.0f;
            }
        }
    }
}
