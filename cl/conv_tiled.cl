/* conv_tiled.cl - convolution as a matrix product whose columns are never stored, for
 * GPUs.
 *
 * A work-group of SIDE x SIDE items makes a tile of SIDE*TM rows by SIDE*TN columns, each
 * item TM x TN of it in registers. KT values of the sum at a time lie in local memory;
 * while they are multiplied the next ones are on their way from global memory. Both
 * operands are gathered as they are read, so that im2col.cl's columns exist in local
 * memory only.
 *
 * The grid of pixels is [N][H][W] throughout. A source [C][N][STRIDE*H][STRIDE*W] is read
 * around pixel (y, x) at (STRIDE*y + dy, STRIDE*x + dx), with one (dy, dx) for each tap,
 * and is zero outside.
 *
 * The sum is cut into parts, one a work-group, where tiles are too few for the device.
 * Each part then has its own copy of the result, and conv_tiled_sum adds them up.
 *
 * -D K (odd), STRIDE, UP (0 or 1), SIDE, TM, TN (multiples of 4, TN dividing SIDE), KT.
 */
#include "slice.clh"

#define BM (SIDE * TM)
#define BN (SIDE * TN)
#define ITEMS (SIDE * SIDE)
#define TAPS (K * K)
#define PAD ((K - 1) / 2)
#define OUTSIDE (-(1 << 29))

/* Without it an array that is handed to a function could not live in registers. Such a
 * function must not say restrict: Oclgrind 21.10 ends on what becomes of that. */
#define INLINE static inline __attribute__((always_inline))

/* Vectors from one row of a local tile to the next: one more than it has, so that items
 * that write a column of it meet other banks. */
#define ROW_A (BM / 4 + 1)
#define ROW_B (BN / 4 + 1)
/* Values of each tile that one item brings. */
#define LOADS_A (BM * KT / ITEMS)
#define LOADS_B (BN * KT / ITEMS)

struct grid {
    int n, h, w;
};

/* A pixel of the grid in the source: its row and column, and its place in a channel. */
struct pixel {
    int y, x, at;
};

INLINE struct pixel pixel_of(const int p, const int exists, const struct grid g)
{
    const int q = p / g.w, n = q / g.h;
    const int y = (q - n * g.h) * STRIDE, x = (p - q * g.w) * STRIDE;
    const int at = (n * STRIDE * g.h + y) * STRIDE * g.w + x;
    return (struct pixel){ exists ? y : OUTSIDE, x, at };
}

/* A row of the columns: the tap of a channel, and its index in the KxK weights. */
struct tap {
    int c, dy, dx, index;
};

/* A transposed convolution 3x3 of stride 2 (UP) has four classes of output pixels, by the
 * parity of row and column; odd.y and odd.x are 1 where it is odd. An even row sees the
 * middle tap row at dy = 0, an odd one the last at 0 and the first at 1; so do columns.
 */
INLINE struct tap tap_of(const int row, const int2 odd)
{
#if UP
    const int dx = row & odd.x, dy = row >> odd.x & odd.y;
    const int ky = odd.y ? 2 - 2 * dy : 1, kx = odd.x ? 2 - 2 * dx : 1;
    return (struct tap){ row >> (odd.y + odd.x), dy, dx, ky * 3 + kx };
#else
    const int c = row / TAPS, index = row - c * TAPS, ky = index / K;
    return (struct tap){ c, ky - PAD, index - ky * K - PAD, index };
#endif
}

/* Taps of a channel. */
static int taps_of(const int2 odd)
{
    return UP ? 1 << (odd.y + odd.x) : TAPS;
}

/* What a tap sees at a pixel; 0 outside the image. */
INLINE float see(__global const float *src, const struct tap t, const struct pixel p,
                 const struct grid g)
{
    const int y = p.y + t.dy, x = p.x + t.dx;
    const int inside = y >= 0 && y < STRIDE * g.h && x >= 0 && x < STRIDE * g.w;
    const int row = g.n * g.h * g.w * STRIDE * STRIDE;
    const int at = p.at + t.dy * STRIDE * g.w + t.dx;
    return inside ? src[(size_t)t.c * row + at] : 0.0f;
}

/* The range of the sum that a part has, in whole tiles; it may be empty. */
static int2 range_of(const int part, const int parts, const int depth)
{
    const int tiles = (depth + KT - 1) / KT, each = (tiles + parts - 1) / parts * KT;
    return (int2)(min(depth, part * each), min(depth, (part + 1) * each));
}

/* What an item fetched into its places in a local tile. */
INLINE void put(__local float *to, const float *from, const int count, const int step)
{
#pragma unroll
    for (int r = 0; r < count; ++r) {
        to[r * step] = from[r];
    }
}

/* acc += the product of what lies in local memory. An item has rows and columns four by
 * four, so that it reads them as vectors. */
INLINE void multiply(__local const float4 *ta, __local const float4 *tb,
                     float4 acc[TM][TN / 4])
{
    ta += get_local_id(1);
    tb += get_local_id(0);
    for (int k = 0; k < KT; ++k) {
        float4 b[TN / 4];
#pragma unroll
        for (int j = 0; j < TN / 4; ++j) {
            b[j] = tb[k * ROW_B + j * SIDE];
        }
#pragma unroll
        for (int i = 0; i < TM; i += 4) {
            const float4 a = ta[k * ROW_A + i / 4 * SIDE];
#pragma unroll
            for (int j = 0; j < TN / 4; ++j) {
                acc[i][j] = fma((float4)(a.x), b[j], acc[i][j]);
                acc[i + 1][j] = fma((float4)(a.y), b[j], acc[i + 1][j]);
                acc[i + 2][j] = fma((float4)(a.z), b[j], acc[i + 2][j]);
                acc[i + 3][j] = fma((float4)(a.w), b[j], acc[i + 3][j]);
            }
        }
    }
}

/* Where a pixel of the grid lies in a row of the result, which with UP has four for each,
 * one in every class. */
INLINE int offset_of(const int p, const int2 odd, const struct grid g)
{
#if UP
    const int q = p / g.w, x = p - q * g.w;
    return (2 * q + odd.y) * (2 * g.w) + 2 * x + odd.x;
#else
    return p;
#endif
}

/* How a sum becomes a result. */
struct finish {
    int relu, add;
};

/* A NaN passes the ReLU, as in PyTorch, so that it is seen in the loss. */
INLINE void store_one(__global float *at, const float sum, const struct finish f)
{
    const float v = f.add ? *at + sum : sum;
    *at = f.relu && v < 0.0f ? 0.0f : v;
}

INLINE void store_four(__global float4 *at, const float4 sum, const struct finish f)
{
    const float4 v = f.add ? *at + sum : sum;
    *at = f.relu ? select(v, (float4)(0.0f), v < 0.0f) : v;
}

/* Write an item's part of the tile at row m0 and column n0 of a result whose rows lie row
 * floats apart. */
INLINE void store(float4 acc[TM][TN / 4], __global float *dst, const size_t row,
                  const int m0, const int rows, const int n0, const int columns,
                  const int2 odd, const struct grid g, __global const float *bias,
                  const int with_bias, const struct finish f)
{
    const int whole = !UP && columns % 4 == 0; /* then vectors are aligned */
#pragma unroll
    for (int j = 0; j < TN / 4; ++j) {
        const int n = n0 + (j * SIDE + (int)get_local_id(0)) * 4;
        const int at[] = { offset_of(n, odd, g), offset_of(n + 1, odd, g),
                           offset_of(n + 2, odd, g), offset_of(n + 3, odd, g) };
#pragma unroll
        for (int i = 0; i < TM; ++i) {
            const int m = m0 + (i / 4 * SIDE + (int)get_local_id(1)) * 4 + i % 4;
            if (m >= rows || n >= columns) {
                continue;
            }
            __global float *out = dst + m * row;
            const float4 sum = acc[i][j] + (with_bias ? bias[m] : 0.0f);
            if (whole) {
                store_four((__global float4 *)(out + n), sum, f);
                continue;
            }
            store_one(out + at[0], sum.x, f);
            if (n + 1 < columns) {
                store_one(out + at[1], sum.y, f);
            }
            if (n + 2 < columns) {
                store_one(out + at[2], sum.z, f);
            }
            if (n + 3 < columns) {
                store_one(out + at[3], sum.w, f);
            }
        }
    }
}

/* Where the weights of a tap lie: that of channel c for channel m at m*to + c*from + tap,
 * or with flip TAPS-1-tap in its place. */
struct strides {
    int from, to, flip;
};

/* Fetch row k of the tile of weights: channels m, m + ITEMS/KT, ... Neighbouring items
 * have neighbouring k. */
INLINE void fetch_weights(float next[LOADS_A], __global const float *weight,
                          const struct strides s, const int m, const int to, const int k,
                          const int end, const int2 odd)
{
    const struct tap t = tap_of(k, odd);
    weight += (size_t)t.c * s.from + (s.flip ? TAPS - 1 - t.index : t.index);
#pragma unroll
    for (int r = 0; r < LOADS_A; ++r) {
        const int row = m + r * (ITEMS / KT);
        next[r] = k < end && row < to ? weight[(size_t)row * s.to] : 0.0f;
    }
}

/* Fetch one pixel's rows k, k + ITEMS/BN, ... of the columns. Neighbouring items have
 * neighbouring pixels. */
INLINE void fetch_taps(float next[LOADS_B], __global const float *src,
                       const struct pixel p, const int k, const int end, const int2 odd,
                       const struct grid g)
{
#pragma unroll
    for (int r = 0; r < LOADS_B; ++r) {
        const int row = k + r * (ITEMS / BN);
        next[r] = row < end ? see(src, tap_of(row, odd), p, g) : 0.0f;
    }
}

/* y[m] = relu(bias[m] + sum over the taps of all channels), pixels as columns.
 *
 *   src     float [from][N][STRIDE*H][STRIDE*W]
 *   weight  as struct strides says
 *   bias    float [to], read if with_bias is not 0
 *   dst     float [parts][to][N][H][W], or of 2H by 2W with UP; added to if add is not 0
 *
 * Global (tiles of N*H*W * SIDE, tiles of to * SIDE, parts), parts for each class with
 * UP.
 */
__kernel __attribute__((reqd_work_group_size(SIDE, SIDE, 1))) void
conv_tiled_pixels(__global const float *restrict src,
                  __global const float *restrict weight,
                  __global const float *restrict bias, __global float *restrict dst,
                  const int from, const int to, const int N, const int H, const int W,
                  const int stride_from, const int stride_to, const int flip,
                  const int parts, const int with_bias, const int relu, const int add)
{
    __local float4 ta[KT * ROW_A], tb[KT * ROW_B];
    const struct grid g = { N, H, W };
    const struct strides s = { stride_from, stride_to, flip };
    const struct finish f = { relu, add };
    const int class = GROUP_ID(2) / parts, part = GROUP_ID(2) - class * parts;
    const int2 odd = (int2)(class & 1, class >> 1);
    const int2 range = range_of(part, parts, from * taps_of(odd));
    const int m0 = GROUP_ID(1) * BM, n0 = GROUP_ID(0) * BN, columns = N * H * W;

    const uint l = get_local_id(1) * SIDE + get_local_id(0);
    const int ka = l % KT, ma = l / KT, kb = l / BN, nb = l % BN;
    const struct pixel p = pixel_of(n0 + nb, n0 + nb < columns, g);
    float4 acc[TM][TN / 4] = { { (float4)(0.0f) } };
    float next_a[LOADS_A], next_b[LOADS_B];
    /* Fetched here for the round after, so that the loads pass behind the products. */
    for (int k = range.x; k < range.y + KT; k += KT) {
        fetch_weights(next_a, weight, s, m0 + ma, to, k + ka, range.y, odd);
        fetch_taps(next_b, src, p, k + kb, range.y, odd, g);
        if (k > range.x) {
            multiply(ta, tb, acc);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        put((__local float *)(ta + ka * ROW_A) + ma, next_a, LOADS_A, ITEMS / KT);
        put((__local float *)(tb + kb * ROW_B) + nb, next_b, LOADS_B,
            ITEMS / BN * ROW_B * 4);
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    const size_t row = (size_t)columns * (UP ? 4 : 1);
    store(acc, dst + part * (size_t)to * row, row, m0, to, n0, columns, odd, g, bias,
          with_bias, f);
}

#if !UP /* nobody reads upwards for the weights */
/* Fetch pixel k of channels m, m + ITEMS/KT, ... of dy. Neighbouring items have
 * neighbouring pixels, here and below. */
INLINE void fetch_channels(float next[LOADS_A], __global const float *dy,
                           const int pixels, const int m, const int to, const int k,
                           const int end)
{
#pragma unroll
    for (int r = 0; r < LOADS_A; ++r) {
        const int row = m + r * (ITEMS / KT);
        next[r] = row < to && k < end ? dy[(size_t)row * pixels + k] : 0.0f;
    }
}

/* Fetch what columns n, n + ITEMS/KT, ... see at pixel k. */
INLINE void fetch_seen(float next[LOADS_B], __global const float *src, const int n,
                       const int columns, const int k, const int end, const struct grid g)
{
    const struct pixel p = pixel_of(k, k < end, g);
#pragma unroll
    for (int r = 0; r < LOADS_B; ++r) {
        const int column = n + r * (ITEMS / KT);
        next[r] = column < columns ? see(src, tap_of(column, (int2)(0)), p, g) : 0.0f;
    }
}

/* dw[m][c][tap] = sum of dy[m][p] times what the tap sees at p, over all pixels.
 *
 *   dy   float [to][N*H*W]
 *   src  float [from][N][STRIDE*H][STRIDE*W]
 *   dw   float [parts][to][from*TAPS]
 *
 * Global (tiles of from*TAPS * SIDE, tiles of to * SIDE, parts).
 */
__kernel __attribute__((reqd_work_group_size(SIDE, SIDE, 1))) void
conv_tiled_weights(__global const float *restrict dy, __global const float *restrict src,
                   __global float *restrict dw, const int from, const int to, const int N,
                   const int H, const int W, const int parts)
{
    __local float4 ta[KT * ROW_A], tb[KT * ROW_B];
    const struct grid g = { N, H, W };
    const struct finish f = { 0, 0 };
    const int part = GROUP_ID(2), pixels = N * H * W, columns = from * TAPS;
    const int2 range = range_of(part, parts, pixels);
    const int m0 = GROUP_ID(1) * BM, n0 = GROUP_ID(0) * BN;

    const uint l = get_local_id(1) * SIDE + get_local_id(0);
    const int kl = l % KT, il = l / KT;
    float4 acc[TM][TN / 4] = { { (float4)(0.0f) } };
    float next_a[LOADS_A], next_b[LOADS_B];
    for (int k = range.x; k < range.y + KT; k += KT) {
        fetch_channels(next_a, dy, pixels, m0 + il, to, k + kl, range.y);
        fetch_seen(next_b, src, n0 + il, columns, k + kl, range.y, g);
        if (k > range.x) {
            multiply(ta, tb, acc);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        put((__local float *)(ta + kl * ROW_A) + il, next_a, LOADS_A, ITEMS / KT);
        put((__local float *)(tb + kl * ROW_B) + il, next_b, LOADS_B, ITEMS / KT);
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    store(acc, dw + part * (size_t)to * columns, columns, m0, to, n0, columns, (int2)(0),
          g, dy, 0, f);
}
#endif

/* dst[m] = relu(bias[m] + the sum of the parts, in their order), added to dst if add is
 * not 0.
 *
 *   partial  float [parts][to][row]
 *   bias     float [to], read if with_bias is not 0
 *   dst      float [to][row]
 *
 * One item an element, global (row, to).
 */
__kernel void conv_tiled_sum(__global const float *restrict partial,
                             __global const float *restrict bias,
                             __global float *restrict dst, const int row, const int parts,
                             const int with_bias, const int relu, const int add)
{
    const int p = get_global_id(0), m = get_global_id(1);
    if (p >= row) {
        return;
    }
    const struct finish f = { relu, add };
    const size_t at = (size_t)m * row + p, step = (size_t)get_global_size(1) * row;
    float sum = with_bias ? bias[m] : 0.0f;
    for (int i = 0; i < parts; ++i) {
        sum += partial[i * step + at];
    }
    store_one(dst + at, sum, f);
}
