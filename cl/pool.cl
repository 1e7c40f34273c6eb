/* pool.cl - max pooling 2x2, stride 2.
 *
 *   x, dx  float [planes][H][W]       planes = C*N
 *   y, dy  float [planes][H/2][W/2]   an odd last row or column is dropped
 */

/* The larger; a NaN wins, as in PyTorch, so that it is seen in the loss. */
#define LARGER(a, b) ((b) > (a) || (b) != (b) ? (b) : (a))

/* One item per output, global (W/2, H/2, planes). */
__kernel void pool_forward(__global const float *restrict x, __global float *restrict y,
                           const int H, const int W)
{
    const int OH = H / 2, OW = W / 2;
    const int ox = get_global_id(0), oy = get_global_id(1), plane = get_global_id(2);
    if (ox >= OW || oy >= OH) {
        return;
    }
    __global const float *src = x + ((size_t)plane * H + 2 * oy) * W + 2 * ox;
    const float2 a = vload2(0, src), b = vload2(0, src + W);
    y[((size_t)plane * OH + oy) * OW + ox] = LARGER(LARGER(LARGER(a.x, a.y), b.x), b.y);
}

/* The gradient goes to the first largest of each window, in row order as PyTorch does it;
 * to none if that is not positive and MASK is set (x is the output of a ReLU). One item
 * per window, partial ones included, global ((W+1)/2, (H+1)/2, planes). -D MASK. */
__kernel void pool_backward(__global const float *restrict x,
                            __global const float *restrict dy,
                            __global float *restrict dx, const int H, const int W)
{
    const int OH = H / 2, OW = W / 2;
    const int ox = get_global_id(0), oy = get_global_id(1), plane = get_global_id(2);
    if (2 * ox >= W || 2 * oy >= H) {
        return;
    }
    const size_t at = ((size_t)plane * H + 2 * oy) * W + 2 * ox;
    if (ox >= OW || oy >= OH) {
        for (int i = 0; i < min(2, H - 2 * oy); ++i) {
            for (int j = 0; j < min(2, W - 2 * ox); ++j) {
                dx[at + i * W + j] = 0.0f;
            }
        }
        return;
    }
    const float2 a = vload2(0, x + at), b = vload2(0, x + at + W);
    const float best = LARGER(LARGER(LARGER(a.x, a.y), b.x), b.y);
    float g = dy[((size_t)plane * OH + oy) * OW + ox];
    if (MASK && best <= 0.0f) {
        g = 0.0f;
    }
    const int is00 = a.x == best, is01 = !is00 && a.y == best;
    const int is10 = !is00 && !is01 && b.x == best, is11 = !is00 && !is01 && !is10;
    vstore2((float2)(is00 ? g : 0.0f, is01 ? g : 0.0f), 0, dx + at);
    vstore2((float2)(is10 ? g : 0.0f, is11 ? g : 0.0f), 0, dx + at + W);
}
