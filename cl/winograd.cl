/* winograd.cl - 3x3 convolution by Winograd's algorithm, for CPU runtimes: the three
 * passes, blocked so that what a work-group works on stays in its core's cache.
 *
 * Channels are the lanes of vectors. For each of the POINTS of a tile (winograd.clh) the
 * layer is a matrix product over the channels:
 *
 *   forward, input gradient   m[p] = v[p] u[p]   [tile][out] = [tile][in] [in][out]
 *   weight gradient           u[p] = v[p]' d[p]  [in][out] = [in][tile] [tile][out]
 *
 * with v made of the input, u of the weights, d of the output's gradient. A work-group is
 * one item; it takes a block of tiles at a time. -D M, VW.
 *
 *   u  float [POINTS][ceil(out/VW)][in][VW]
 *   v, d, m  in the work-group's part of scratch: float [tile][channel] for each point,
 *            a point's matrices stride_v, stride_m floats apart
 */
#include "strip.clh"
#include "winograd.clh"

#define TAPS 9
#define SEGMENT_IN ((3 * VW - 2) / M) /* tiles whose input makes a strip */
#define SEGMENT_OUT (3 * VW / M)      /* tiles whose output does */

#define ROWS4(X) X(0) X(1) X(2) X(3)
#define ROWS12(X) ROWS4(X) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
/* ROWS rows of c from a, element (i, k) at i*step + k*next, and b [n][next_b]; onto c if
 * add is set. Named accumulators: an array of them would be kept in memory. */
#define MULTIPLY(ROWS)                         \
    {                                          \
        __global const float *ak = a, *bk = b; \
        ROWS(CLEAR)                            \
        for (int k = 0; k < n; ++k) {          \
            const vec bv = VLOAD(bk);          \
            ROWS(STEP)                         \
            ak += next;                        \
            bk += next_b;                      \
        }                                      \
        if (add) {                             \
            ROWS(JOIN)                         \
        }                                      \
        ROWS(WRITE)                            \
    }
#define CLEAR(i) vec acc##i = 0.0f;
#define STEP(i) acc##i = fma((vec)ak[i * step], bv, acc##i);
#define JOIN(i) acc##i += VLOAD(c + i * step_c);
#define WRITE(i) VSTORE(acc##i, c + i * step_c);

/* rows: a multiple of 4. */
static void multiply(__global const float *a, const int step, const int next,
                     __global const float *b, const int next_b, __global float *c,
                     const int step_c, int rows, const int n, const int add)
{
    for (; rows >= 12; rows -= 12) {
        MULTIPLY(ROWS12)
        a += 12 * step;
        c += 12 * step_c;
    }
    for (; rows > 0; rows -= 4) {
        MULTIPLY(ROWS4)
        a += 4 * step;
        c += 4 * step_c;
    }
}

/* Where the images lie, and how they are cut into tiles. */
struct grid {
    size_t stride; /* floats from channel to channel */
    int h, w, across, down;
};

static struct grid grid_of(const int n, const int h, const int w)
{
    const struct grid g = { (size_t)n * h * w, h, w, (w + M - 1) / M, (h + M - 1) / M };
    return g;
}

/* A run of tiles beside each other. */
struct run {
    size_t image; /* first float of its image within a channel */
    int y, x, count;
};

static struct run run_at(const struct grid *g, const int tile, const int end,
                         const int most)
{
    const int row = tile / g->across, column = tile - row * g->across;
    const int image = row / g->down, line = row - image * g->down;
    const struct run r = { (size_t)image * g->h * g->w, line * M, column * M,
                           min(min(g->across - column, end - tile), most) };
    return r;
}

/* Tiles begin .. end-1 of VW channels of the input, at points stride floats apart. */
static void input_points(__global const float *x, const struct grid *g,
                         const int channels, const int all_channels, const int begin,
                         const int end, __global float *to, const size_t stride,
                         const int step)
{
    float strip[A * PITCH * VW];
    vec half_way[POINTS];
    for (int t = begin; t < end;) {
        const struct run r = run_at(g, t, end, SEGMENT_IN);
        load_strip(x + r.image, g->stride, channels, all_channels * g->stride - r.image,
                   g->h, g->w, r.y - 1, r.x - 1, A, r.count * M + 2, strip);
        for (int i = 0; i < r.count; ++i) {
            for (int j = 0; j < A; ++j) {
#define FROM_STRIP(k) VLOAD(strip + (k * PITCH + i * M + j) * VW)
#define KEEP_COLUMN(k, value) half_way[k * A + j] = value
                TO_INPUT(FROM_STRIP, KEEP_COLUMN)
            }
            for (int j = 0; j < A; ++j) {
#define FROM_HALF(k) half_way[j * A + k]
#define TO_POINT(k, value) VSTORE(value, to + (j * A + k) * stride)
                TO_INPUT(FROM_HALF, TO_POINT)
            }
            to += step;
        }
        t += r.count;
    }
}

/* The same of the output's gradient. */
static void gradient_points(__global const float *dy, const struct grid *g,
                            const int channels, const int all_channels, const int begin,
                            const int end, __global float *to, const size_t stride,
                            const int step)
{
    float strip[M * PITCH * VW];
    vec half_way[A * M];
    for (int t = begin; t < end;) {
        const struct run r = run_at(g, t, end, SEGMENT_IN);
        load_strip(dy + r.image, g->stride, channels, all_channels * g->stride - r.image,
                   g->h, g->w, r.y, r.x, M, r.count * M, strip);
        for (int i = 0; i < r.count; ++i) {
            for (int j = 0; j < M; ++j) {
#define KEEP_NARROW(k, value) half_way[k * M + j] = value
                TO_GRADIENT(FROM_STRIP, KEEP_NARROW)
            }
            for (int j = 0; j < A; ++j) {
#define FROM_NARROW(k) half_way[j * M + k]
                TO_GRADIENT(FROM_NARROW, TO_POINT)
            }
            to += step;
        }
        t += r.count;
    }
}

/* Tiles begin .. end-1 of VW channels of the output. */
static void output_tiles(__global const float *from, const size_t stride, const int step,
                         const vec bias, const int relu, __global float *y,
                         const struct grid *g, const int channels, const int begin,
                         const int end, const int add)
{
    float strip[M * PITCH * VW];
    vec half_way[M * A];
    for (int t = begin; t < end;) {
        const struct run r = run_at(g, t, end, SEGMENT_OUT);
        for (int i = 0; i < r.count; ++i) {
            for (int j = 0; j < A; ++j) {
#define FROM_POINT(k) VLOAD(from + (k * A + j) * stride)
                TO_OUTPUT(FROM_POINT, KEEP_COLUMN)
            }
            for (int j = 0; j < M; ++j) {
#define TO_STRIP(k, value)                                                 \
    {                                                                      \
        const vec v = (value) + bias;                                      \
        VSTORE(relu ? (v < 0.0f ? (vec)(0.0f) : v) : v, /* a NaN passes */ \
               strip + (j * PITCH + i * M + k) * VW);                      \
    }
                TO_OUTPUT(FROM_HALF, TO_STRIP)
            }
            from += step;
        }
        store_strip(strip, y + r.image, g->stride, channels, g->h, g->w, r.y, r.x, M,
                    r.count * M, add);
        t += r.count;
    }
}

/* u of weights, of which tap t of input channel k and output channel o is at
 * k*stride_k + o*stride_o + t, or + 8-t if flip is set. One item per KB input channels
 * and VW output channels, global (ceil(in/KB), ceil(out/VW)). */
#define KB 16
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
winograd_weights(__global const float *restrict weight, __global float *restrict u,
                 const int in, const int out, const int stride_k, const int stride_o,
                 const int flip)
{
    const int k0 = get_global_id(0) * KB, panel = get_global_id(1), o0 = panel * VW;
    const size_t stride = (size_t)get_global_size(1) * in * VW;
    const int channels = min(VW, out - o0);
    float taps[TAPS * VW];
    vec half_way[A * 3];
    for (int k = k0; k < min(in, k0 + KB); ++k) {
        for (int o = 0; o < VW; ++o) {
            __global const float *w =
                weight + (size_t)k * stride_k + (size_t)(o0 + o) * stride_o;
            for (int t = 0; t < TAPS; ++t) {
                taps[t * VW + o] = o >= channels ? 0.0f : w[flip ? TAPS - 1 - t : t];
            }
        }
        for (int j = 0; j < 3; ++j) {
#define FROM_TAPS(i) VLOAD(taps + (i * 3 + j) * VW)
#define KEEP_THREE(i, value) half_way[i * 3 + j] = value
            TO_WEIGHT(FROM_TAPS, KEEP_THREE)
        }
        __global float *to = u + ((size_t)panel * in + k) * VW;
        for (int j = 0; j < A; ++j) {
#define FROM_THREE(i) half_way[j * 3 + i]
            TO_WEIGHT(FROM_THREE, TO_POINT)
        }
    }
}

/* y = x * u + bias, and ReLU if relu is set; onto y if add is. A work-group takes its
 * share of the jobs, each a block of tiles and a chunk of output channels, and
 * group_floats floats of scratch. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
winograd_conv(__global const float *restrict x, __global const float *restrict u,
              __global const float *restrict bias, __global float *restrict y,
              __global float *restrict scratch, const ulong group_floats,
              const ulong stride_v, const ulong stride_m, const int in, const int out,
              const int n, const int h, const int w, const int block, const int chunk,
              const int with_bias, const int relu, const int add)
{
    const struct grid g = grid_of(n, h, w);
    const int tiles = n * g.across * g.down, step_v = (in + VW - 1) / VW * VW;
    const int panels = (out + VW - 1) / VW;
    const int chunks = (out + chunk - 1) / chunk;
    const long jobs = (long)((tiles + block - 1) / block) * chunks;
    const long group = get_group_id(0), groups = get_num_groups(0);
    __global float *v = scratch + group * group_floats, *m = v + POINTS * stride_v;
    int ready = -1;
    for (long job = group * jobs / groups; job < (group + 1) * jobs / groups; ++job) {
        const int at = job / chunks, begin = at * block, end = min(tiles, begin + block);
        const int rows = (end - begin + 3) / 4 * 4;
        const int o0 = (job - (long)at * chunks) * chunk, o1 = min(out, o0 + chunk);
        for (int c = 0; ready != at && c < in; c += VW) {
            input_points(x + c * g.stride, &g, min(VW, in - c), in - c, begin, end, v + c,
                         stride_v, step_v);
            for (int i = end - begin; i < rows; ++i) {
                for (int p = 0; p < POINTS; ++p) {
                    VSTORE((vec)(0.0f), v + p * stride_v + (size_t)i * step_v + c);
                }
            }
        }
        ready = at;
        for (int p = 0; p < POINTS; ++p) {
            for (int o = o0; o < o1; o += VW) {
                multiply(v + p * stride_v, step_v, 1,
                         u + ((size_t)p * panels + o / VW) * in * VW, VW,
                         m + p * stride_m + (o - o0), chunk, rows, in, 0);
            }
        }
        for (int o = o0; o < o1; o += VW) {
            const int channels = min(VW, out - o);
            float b[VW];
            for (int i = 0; i < VW; ++i) {
                b[i] = with_bias && i < channels ? bias[o + i] : 0.0f;
            }
            output_tiles(m + (o - o0), stride_m, chunk, VLOAD(b), relu, y + o * g.stride,
                         &g, channels, begin, end, add);
        }
    }
}

/* The points' share of the weight gradient, to be summed over parts by winograd_filter:
 *   sums  float [parts][POINTS][ceil(out/VW)][rows][VW], rows: in rounded up to 4
 * A work-group takes its share of the jobs, each a part of the tiles and a chunk of
 * output channels. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
winograd_correlate(__global const float *restrict x, __global const float *restrict dy,
                   __global float *restrict sums, __global float *restrict scratch,
                   const ulong group_floats, const ulong stride_v, const ulong stride_m,
                   const int in, const int out, const int n, const int h, const int w,
                   const int block, const int chunk, const int parts)
{
    const struct grid g = grid_of(n, h, w);
    const int tiles = n * g.across * g.down, blocks = (tiles + block - 1) / block;
    const int step_v = (in + VW - 1) / VW * VW, rows = (in + 3) / 4 * 4;
    const int panels = (out + VW - 1) / VW;
    const int chunks = (out + chunk - 1) / chunk;
    const long jobs = (long)parts * chunks;
    const long group = get_group_id(0), groups = get_num_groups(0);
    __global float *v = scratch + group * group_floats, *d = v + POINTS * stride_v;
    for (long job = group * jobs / groups; job < (group + 1) * jobs / groups; ++job) {
        const int part = job / chunks, o0 = (job - (long)part * chunks) * chunk;
        const int o1 = min(out, o0 + chunk);
        const int first = (long)part * blocks / parts;
        for (int b = first; b < (long)(part + 1) * blocks / parts; ++b) {
            const int begin = b * block, end = min(tiles, begin + block);
            for (int c = 0; c < in; c += VW) {
                input_points(x + c * g.stride, &g, min(VW, in - c), in - c, begin, end,
                             v + c, stride_v, step_v);
            }
            for (int o = o0; o < o1; o += VW) {
                gradient_points(dy + o * g.stride, &g, min(VW, out - o), out - o, begin,
                                end, d + (o - o0), stride_m, chunk);
            }
            for (int p = 0; p < POINTS; ++p) {
                for (int o = o0; o < o1; o += VW) {
                    const size_t at = ((size_t)part * POINTS + p) * panels + o / VW;
                    multiply(v + p * stride_v, 1, step_v, d + p * stride_m + (o - o0),
                             chunk, sums + at * rows * VW, VW, rows, end - begin,
                             b > first);
                }
            }
        }
    }
}

/* dw [out][in][3][3] from sums. One item per KB input channels and VW output channels,
 * global (ceil(in/KB), ceil(out/VW)). */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
winograd_filter(__global const float *restrict sums, __global float *restrict dw,
                const int in, const int out, const int parts)
{
    const int k0 = get_global_id(0) * KB, panel = get_global_id(1), o0 = panel * VW;
    const int rows = (in + 3) / 4 * 4, channels = min(VW, out - o0);
    const size_t stride = (size_t)get_global_size(1) * rows * VW;
    float taps[TAPS * VW];
    vec half_way[3 * A], point[POINTS];
    for (int k = k0; k < min(in, k0 + KB); ++k) {
        __global const float *from = sums + ((size_t)panel * rows + k) * VW;
        for (int p = 0; p < POINTS; ++p) {
            point[p] = VLOAD(from + p * stride);
            for (int part = 1; part < parts; ++part) {
                point[p] += VLOAD(from + ((size_t)part * POINTS + p) * stride);
            }
        }
        for (int j = 0; j < A; ++j) {
#define POINT_IN_COLUMN(i) point[i * A + j]
            TO_FILTER(POINT_IN_COLUMN, KEEP_COLUMN)
        }
        for (int j = 0; j < 3; ++j) {
#define TO_TAPS(i, value) VSTORE(value, taps + (j * 3 + i) * VW)
            TO_FILTER(FROM_HALF, TO_TAPS)
        }
        for (int o = 0; o < channels; ++o) {
            for (int t = 0; t < TAPS; ++t) {
                dw[((size_t)(o0 + o) * in + k) * TAPS + t] = taps[t * VW + o];
            }
        }
    }
}
