/* winograd_points.cl - 3x3 convolution by Winograd's algorithm, for GPUs: the ways to the
 * POINTS of tiles (winograd.clh) and back. Between them lies, for each point, a matrix
 * product over the channels (gemm.h), or over the tiles for the weights' gradient:
 *
 *   forward, input gradient   m[p] = u[p] v[p]    [to][tile] = [to][from] [from][tile]
 *   weight gradient           u[p] = d[p] v[p]'   [to][from] = [to][tile] [tile][from]
 *
 *   x, dy, y       float [C][N][H][W]
 *   v, d, m        float [POINTS][C][count]  of the tiles first .. first+count-1, which
 *                  are counted along the rows of tiles, and on from image to image
 *   weight, u, du  float taps of each pair of channels; [POINTS][to][from]
 *
 * One item per channel and tile, global (count, C): neighbours read and write neighbours;
 * or per pair of channels, global (from, to). Each keeps its tile in registers, hence the
 * unrolling. -D FORM: 2 or 4.
 */
typedef float vec; /* of winograd.clh */
#include "winograd.clh"

#define TAPS 9

/* Where the outputs of a tile begin. */
struct tile {
    size_t image; /* first float of its image within a channel */
    int y, x;
};

static struct tile tile_at(const int index, const int H, const int W)
{
    const int across = (W + OUT - 1) / OUT, down = (H + OUT - 1) / OUT;
    const int row = index / across, image = row / down;
    const struct tile t = { (size_t)image * H * W, (row - image * down) * OUT,
                            (index - row * across) * OUT };
    return t;
}

/* A pixel of one channel of an image, zero outside. */
static float pixel(__global const float *image, const int y, const int x, const int H,
                   const int W)
{
    return y >= 0 && y < H && x >= 0 && x < W ? image[(size_t)y * W + x] : 0.0f;
}

#define TO_POINT(i, value) to[(j * Q + i) * stride] = value

__kernel void input_to_points(__global const float *restrict x,
                              __global float *restrict v, const int N, const int H,
                              const int W, const int first, const int count)
{
    const int index = get_global_id(0), c = get_global_id(1);
    if (index >= count) {
        return;
    }
    const struct tile t = tile_at(first + index, H, W);
    const size_t stride = get_global_size(1) * count;
    __global const float *image = x + (size_t)c * N * H * W + t.image;
    __global float *to = v + (size_t)c * count + index;
    float half_way[Q * IN];
#pragma unroll
    for (int j = 0; j < IN; ++j) {
#define FROM_INPUT(i) pixel(image, t.y - BEFORE + i, t.x - BEFORE + j, H, W)
#define KEEP_IN(i, value) half_way[i * IN + j] = value
        TO_INPUT(FROM_INPUT, KEEP_IN)
    }
#pragma unroll
    for (int j = 0; j < Q; ++j) {
#define FROM_IN(i) half_way[j * IN + i]
        TO_INPUT(FROM_IN, TO_POINT)
    }
}

__kernel void gradient_to_points(__global const float *restrict dy,
                                 __global float *restrict d, const int N, const int H,
                                 const int W, const int first, const int count)
{
    const int index = get_global_id(0), c = get_global_id(1);
    if (index >= count) {
        return;
    }
    const struct tile t = tile_at(first + index, H, W);
    const size_t stride = get_global_size(1) * count;
    __global const float *image = dy + (size_t)c * N * H * W + t.image;
    __global float *to = d + (size_t)c * count + index;
    float half_way[Q * OUT];
#pragma unroll
    for (int j = 0; j < OUT; ++j) {
#define FROM_GRADIENT(i) pixel(image, t.y + i, t.x + j, H, W)
#define KEEP_OUT(i, value) half_way[i * OUT + j] = value
        TO_GRADIENT(FROM_GRADIENT, KEEP_OUT)
    }
#pragma unroll
    for (int j = 0; j < Q; ++j) {
#define FROM_OUT(i) half_way[j * OUT + i]
        TO_GRADIENT(FROM_OUT, TO_POINT)
    }
}

/* y from m, with a bias if with_bias is set, and ReLU if relu is; onto y if add is. */
__kernel void points_to_output(__global const float *restrict m,
                               __global const float *restrict bias,
                               __global float *restrict y, const int N, const int H,
                               const int W, const int first, const int count,
                               const int with_bias, const int relu, const int add)
{
    const int index = get_global_id(0), c = get_global_id(1);
    if (index >= count) {
        return;
    }
    const struct tile t = tile_at(first + index, H, W);
    const size_t stride = get_global_size(1) * count;
    const float b = with_bias ? bias[c] : 0.0f;
    __global const float *from = m + (size_t)c * count + index;
    __global float *image = y + (size_t)c * N * H * W + t.image;
    float half_way[OUT * Q];
#pragma unroll
    for (int j = 0; j < Q; ++j) {
#define FROM_POINT(i) from[(i * Q + j) * stride]
#define KEEP_Q(i, value) half_way[i * Q + j] = value
        TO_OUTPUT(FROM_POINT, KEEP_Q)
    }
#pragma unroll
    for (int j = 0; j < OUT; ++j) {
#define FROM_Q(i) half_way[j * Q + i]
#define TO_PIXEL(i, value)                                                  \
    if (t.y + j < H && t.x + i < W) {                                       \
        __global float *at = image + (size_t)(t.y + j) * W + t.x + i;       \
        const float sum = (value) + b;                                      \
        const float out = relu && sum < 0.0f ? 0.0f : sum; /* NaN passes */ \
        *at = add ? *at + out : out;                                        \
    }
        TO_OUTPUT(FROM_Q, TO_PIXEL)
    }
}

/* Tap t of channels (k, o) is at k*stride_k + o*stride_o + t, or + 8-t if flip is set. */
__kernel void weights_to_points(__global const float *restrict weight,
                                __global float *restrict u, const int from_channels,
                                const int stride_k, const int stride_o, const int flip)
{
    const int k = get_global_id(0), o = get_global_id(1);
    if (k >= from_channels) {
        return;
    }
    const size_t stride = get_global_size(1) * from_channels;
    __global const float *taps = weight + (size_t)k * stride_k + (size_t)o * stride_o;
    __global float *to = u + (size_t)o * from_channels + k;
    float half_way[Q * 3];
#pragma unroll
    for (int j = 0; j < 3; ++j) {
#define FROM_TAPS(i) taps[flip ? TAPS - 1 - (i * 3 + j) : i * 3 + j]
#define KEEP_3(i, value) half_way[i * 3 + j] = value
        TO_WEIGHT(FROM_TAPS, KEEP_3)
    }
#pragma unroll
    for (int j = 0; j < Q; ++j) {
#define FROM_3(i) half_way[j * 3 + i]
        TO_WEIGHT(FROM_3, TO_POINT)
    }
}

/* dw [to][from][3][3] */
__kernel void points_to_weights(__global const float *restrict du,
                                __global float *restrict dw, const int from_channels)
{
    const int k = get_global_id(0), o = get_global_id(1);
    if (k >= from_channels) {
        return;
    }
    const size_t pair = (size_t)o * from_channels + k;
    const size_t stride = get_global_size(1) * from_channels;
    __global const float *from = du + pair;
    __global float *taps = dw + pair * TAPS;
    float half_way[3 * Q];
#pragma unroll
    for (int j = 0; j < Q; ++j) {
        TO_FILTER(FROM_POINT, KEEP_Q)
    }
#pragma unroll
    for (int j = 0; j < 3; ++j) {
#define TO_TAPS(i, value) taps[j * 3 + i] = value
        TO_FILTER(FROM_Q, TO_TAPS)
    }
}
