/* winograd.cl - 3x3 convolution by Winograd's algorithm, for CPU runtimes: plain and
 * transposed, all passes, blocked so that what a work-group works on stays in its core's
 * cache.
 *
 * Channels are the lanes of vectors. For each of the POINTS of a tile (winograd.clh) the
 * layer is a matrix product over the channels:
 *
 *   forward, input gradient   m[p] = v[p] u[p]   [tile][out] = [tile][in] [in][out]
 *   weight gradient           u[p] = v[p]' d[p]  [in][out] = [in][tile] [tile][out]
 *
 * with v made of the input, u of the weights, d of the output's gradient. A work-group is
 * one item; it takes a block of tiles at a time. -D FORM, VW.
 *
 *   v, d, m  float [POINTS][tile][channel], the points stride_v, stride_m floats apart
 *   u        float [POINTS][panel][in][VW], a panel being VW channels of the output
 *   weights  tap t of input channel k and output channel o at k*stride_k + o*stride_o +
 * t, or + 8-t where flip is set; one of the strides is 9
 */
#include "jobs.clh"
#include "strip.clh"
#include "winograd.clh"

#define TAPS 9
#define KB 16        /* input channels of which an item transforms the weights */
#define OWN_SPAN 256 /* or a job at a time: few enough for the second cache */
#define SEGMENT_IN ((3 * VW - (IN - STEP)) / STEP) /* tiles whose input is a strip */
#define SEGMENT_OUT (3 * VW / OUT)                 /* tiles whose output is one */

#define ROWS4(X) X(0) X(1) X(2) X(3)
#define ROWS12(X) ROWS4(X) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
/* ROWS rows of c from a, element (i, k) at i*step + k*next, and b [n][next_b]; onto c if
 * add is set. Named accumulators: an array of them would be kept in memory. */
#define MULTIPLY(ROWS)                \
    {                                 \
        __global const float *ak = a; \
        __global const float *bk = b; \
        ROWS(CLEAR)                   \
        for (int k = 0; k < n; ++k) { \
            const vec bv = FULL(bk);  \
            PREFETCH(ak + VW);        \
            ROWS(ACCUMULATE)          \
            ak += next;               \
            bk += next_b;             \
        }                             \
        if (add) {                    \
            ROWS(JOIN)                \
        }                             \
        ROWS(WRITE)                   \
    }
#define CLEAR(i) vec acc##i = 0.0f;
#define ACCUMULATE(i) acc##i = fma((vec)ak[i * step], bv, acc##i);
#define JOIN(i) acc##i += FULL(c + i * step_c);
#define WRITE(i) FULL(c + i * step_c) = acc##i;

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

/* Images of one side of the layer, cut into tiles of step pixels. */
struct grid {
    size_t stride; /* floats from channel to channel */
    int h, w, step, across, down;
};

static struct grid grid_of(const int n, const int h, const int w, const int step)
{
    const struct grid g = { (size_t)n * h * w,    h, w, step, (w + step - 1) / step,
                            (h + step - 1) / step };
    return g;
}

/* Floats from tile to tile in v, and from point to point in u. A vector more than there
 * is, so that a power of two does not put them all into the same set of a cache. */
#define STEP_V(in) (((in) + VW - 1) / VW * VW + VW)
#define STRIDE_U(panels, in) ((size_t)(panels) * (in)*VW + VW)

/* The input's sides are given; with STEP inputs for OUT outputs they fix the output's. */
#define GRID_IN(n, h, w) grid_of(n, h, w, STEP)
#define GRID_OUT(n, h, w) grid_of(n, (h)*OUT / STEP, (w)*OUT / STEP, OUT)

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
    const struct run r = { (size_t)image * g->h * g->w, line * g->step, column * g->step,
                           min(min(g->across - column, end - tile), most) };
    return r;
}

#define FROM_STRIP(k) strip[k * PITCH + at + j]
#define TO_POINT(k, value) FULL(to + (j * Q + k) * stride) = value

/* v of tiles begin .. end-1 of VW channels, of which channels are there. */
static void input_points(__global const float *x, const struct grid *g,
                         const int channels, const int channels_left, const int begin,
                         const int end, __global float *to, const size_t stride,
                         const int step)
{
    vec strip[(IN > Q ? IN : Q) * PITCH];
    for (int t = begin; t < end;) {
        const struct run r = run_at(g, t, end, SEGMENT_IN);
        const int width = r.count * STEP + IN - STEP;
        load_strip(x + r.image, g->stride, channels, channels_left * g->stride - r.image,
                   g->h, g->w, r.y - BEFORE, r.x - BEFORE, IN, width, strip);
        for (int i = 0; i < width; ++i) { /* neighbouring tiles share columns */
#define COLUMN(k) strip[k * PITCH + i]
#define KEEP_COLUMN(k, value) COLUMN(k) = value
            TO_INPUT(COLUMN, KEEP_COLUMN)
        }
        for (int at = 0; at < r.count * STEP; at += STEP) {
            for (int j = 0; j < Q; ++j) {
#define FROM_ROW(k) strip[j * PITCH + at + k]
                TO_INPUT(FROM_ROW, TO_POINT)
            }
            to += step;
        }
        t += r.count;
    }
}

/* The larger; a NaN wins, as in pool.cl. */
#define LARGER(a, b) ((((b) > (a)) | ((b) != (b))) ? (b) : (a))

/* Max pooling 2x2 of OUT rows of width pixels, in place. */
static void pool_strip(vec *strip, const int width)
{
    for (int j = 0; j < OUT / 2; ++j) {
        for (int i = 0; i < width / 2; ++i) {
            const vec *at = strip + 2 * j * PITCH + 2 * i;
            const vec up = LARGER(at[0], at[1]), left = LARGER(up, at[PITCH]);
            strip[j * PITCH + i] = LARGER(left, at[PITCH + 1]);
        }
    }
}

/* What batch normalisation with known statistics does to VW channels. */
struct norm {
    vec mean, scale, shift;
};

static void norm_strip(vec *strip, const int width, const struct norm *norm)
{
    for (int j = 0; j < OUT; ++j) {
        for (int i = 0; i < width; ++i) {
            strip[j * PITCH + i] =
                (strip[j * PITCH + i] - norm->mean) * norm->scale + norm->shift;
        }
    }
}

/* y of tiles begin .. end-1 of VW channels from m; if add is set, the sum with other. g:
 * of y, pooled or not. norm and pool may be 0. */
static void output_tiles(__global const float *from, const size_t stride, const int step,
                         const vec bias, const int relu, __global float *y,
                         __global const float *other, const struct grid *g,
                         const int channels, const int begin, const int end,
                         const int add, const struct norm *norm, const int pool)
{
    vec strip[OUT * PITCH];
    vec half_way[OUT * Q];
    for (int t = begin; t < end;) {
        const struct run r = run_at(g, t, end, SEGMENT_OUT);
        for (int i = 0; i < r.count; ++i) {
            for (int j = 0; j < Q; ++j) {
#define FROM_POINT(k) FULL(from + (k * Q + j) * stride)
#define KEEP_Q(k, value) half_way[k * Q + j] = value
                TO_OUTPUT(FROM_POINT, KEEP_Q)
            }
            for (int j = 0; j < OUT; ++j) {
#define FROM_Q(k) half_way[j * Q + k]
#define TO_STRIP(k, value)                                              \
    {                                                                   \
        const vec v = (value) + bias;                                   \
        strip[j * PITCH + i * OUT + k] =                                \
            relu ? (v < 0.0f ? (vec)(0.0f) : v) : v; /* a NaN passes */ \
    }
                TO_OUTPUT(FROM_Q, TO_STRIP)
            }
            from += step;
        }
        if (norm) {
            norm_strip(strip, r.count * OUT, norm);
        }
        if (pool) {
            pool_strip(strip, r.count * OUT);
        }
        store_strip(strip, y + r.image, other + r.image, g->stride, channels, g->h, g->w,
                    r.y, r.x, g->step, r.count * g->step, add);
        t += r.count;
    }
}

/* u of input channels k0 .. k1-1 and VW output channels, of which channels are there.
 * weight: of output channel o0, size floats before the end of all. */
static void weight_points(__global const float *weight, const size_t size, const int k0,
                          const int k1, const int channels, const size_t stride_k,
                          const size_t stride_o, const int flip, __global float *to,
                          const size_t stride)
{
    vec taps[KB * TAPS + VW];
    vec half_way[Q * 3];
    for (int k = k0; k < k1; ++k) {
        const int in_strip = stride_k == TAPS ? (k - k0) % KB : 0;
        const int count = stride_k == TAPS ? TAPS * min(KB, k1 - k) : TAPS;
        const int first = in_strip * TAPS;
        for (int i = 0; in_strip == 0 && i < count; i += VW) {
            const size_t at = k * stride_k + i;
            load_chunk(weight + at, stride_o, channels, size - at, min(VW, count - i),
                       taps + i);
        }
        for (int j = 0; j < 3; ++j) {
#define TAP(i) (first + (flip ? TAPS - 1 - (i * 3 + j) : i * 3 + j))
#define FROM_TAPS(i) taps[TAP(i)]
#define KEEP_3(i, value) half_way[i * 3 + j] = value
            TO_WEIGHT(FROM_TAPS, KEEP_3)
        }
        for (int j = 0; j < Q; ++j) {
#define FROM_3(i) half_way[j * 3 + i]
            TO_WEIGHT(FROM_3, TO_POINT)
        }
        to += VW;
    }
}

/* All of u, ahead of winograd_conv. Global (ceil(in/KB), ceil(out/VW)). */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
winograd_weights(__global const float *restrict weight, __global float *restrict u,
                 const int in, const int out, const int stride_k, const int stride_o,
                 const int flip)
{
    const int k0 = get_global_id(0) * KB, panel = get_global_id(1), o = panel * VW;
    weight_points(weight + (size_t)o * stride_o,
                  (size_t)in * out * TAPS - (size_t)o * stride_o, k0, min(in, k0 + KB),
                  min(VW, out - o), stride_k, stride_o, flip,
                  u + ((size_t)panel * in + k0) * VW, STRIDE_U(get_global_size(1), in));
}

/* y = weights * x + bias, and ReLU if relu is set, plus other if add is, which may be y.
 * n images of h x w. If with_norm is set, batch normalisation comes between, by state,
 * gamma and beta of batchnorm.cl. If pool is set, y is 2x2 max-pooled; h and w are even
 * then, and FORM is 2 or 4.
 * Jobs are a block of tiles and a chunk of output channels each. A work-group has
 * group_floats floats of scratch. u: what winograd_weights made of all
 * weights; or, if own_u is set, nothing: a job makes the u it needs in scratch. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void winograd_conv(
    __global const float *restrict x, __global const float *restrict weight,
    __global const float *restrict u, __global const float *restrict bias,
    __global float *y, __global const float *other, __global const float *restrict state,
    __global const float *restrict gamma, __global const float *restrict beta,
    __global float *restrict scratch, const ulong group_floats, const ulong stride_v,
    const ulong stride_m, const int in, const int out, const int n, const int h,
    const int w, const int block, const int chunk, const int stride_k, const int stride_o,
    const int flip, const int own_u, const int with_bias, const int relu, const int add,
    const int with_norm, const int pool, volatile __global int *queue)
{
    const struct grid gi = GRID_IN(n, h, w);
    const struct grid go = pool ? grid_of(n, h / 2, w / 2, OUT / 2) : GRID_OUT(n, h, w);
    const int tiles = n * gi.across * gi.down, step_v = STEP_V(in);
    const int chunks = (out + chunk - 1) / chunk;
    const int span = own_u ? min(in, OWN_SPAN) : in;
    const size_t stride_u = STRIDE_U(own_u ? chunk / VW : (out + VW - 1) / VW, span);
    struct jobs jobs = jobs_of(queue, (tiles + block - 1) / block * chunks);
    __global float *v = scratch + get_group_id(0) * group_floats,
                   *m = v + POINTS * stride_v;
    __global float *mine = m + POINTS * stride_m;
    int ready = -1;
    for (int job = next_job(&jobs); job >= 0; job = next_job(&jobs)) {
        const int at = job / chunks, begin = at * block, end = min(tiles, begin + block);
        const int rows = (end - begin + 3) / 4 * 4;
        const int o0 = (job - at * chunks) * chunk, o1 = min(out, o0 + chunk);
        for (int c = 0; ready != at && c < in; c += VW) {
            input_points(x + c * gi.stride, &gi, min(VW, in - c), in - c, begin, end,
                         v + c, stride_v, step_v);
            for (int i = end - begin; i < rows; ++i) {
                for (int p = 0; p < POINTS; ++p) {
                    FULL(v + p * stride_v + (size_t)i * step_v + c) = (vec)(0.0f);
                }
            }
        }
        ready = at;
        for (int k0 = 0; k0 < in; k0 += span) {
            const int k1 = min(in, k0 + span);
            for (int o = o0; own_u && o < o1; o += VW) {
                const size_t before = (size_t)o * stride_o;
                weight_points(weight + before, (size_t)in * out * TAPS - before, k0, k1,
                              min(VW, out - o), stride_k, stride_o, flip,
                              mine + (size_t)(o - o0) * span, stride_u);
            }
            __global const float *from = own_u ? mine : u + (size_t)(o0 / VW) * in * VW;
            for (int p = 0; p < POINTS; ++p) {
                for (int o = o0; o < o1; o += VW) {
                    multiply(v + p * stride_v + k0, step_v, 1,
                             from + p * stride_u + (size_t)(o - o0) * span, VW,
                             m + p * stride_m + (o - o0), chunk, rows, k1 - k0, k0 > 0);
                }
            }
        }
        for (int o = o0; o < o1; o += VW) {
            const int channels = min(VW, out - o);
            vec b = (vec)(0.0f);
            struct norm norm = { b, b, b };
            for (int i = 0; with_bias && i < channels; ++i) {
                ((float *)&b)[i] = bias[o + i];
            }
            for (int i = 0; with_norm && i < channels; ++i) {
                ((float *)&norm.mean)[i] = state[2 * (o + i)];
                ((float *)&norm.scale)[i] = state[2 * (o + i) + 1] * gamma[o + i];
                ((float *)&norm.shift)[i] = beta[o + i];
            }
            output_tiles(m + (o - o0), stride_m, chunk, b, relu, y + o * go.stride,
                         other + o * go.stride, &go, channels, begin, end, add,
                         with_norm ? &norm : 0, pool);
        }
    }
}

#if FORM != 21
/* d of tiles begin .. end-1 of VW channels. */
static void gradient_points(__global const float *dy, const struct grid *g,
                            const int channels, const int channels_left, const int begin,
                            const int end, __global float *to, const size_t stride,
                            const int step)
{
    vec strip[OUT * PITCH];
    vec half_way[Q * OUT];
    for (int t = begin; t < end;) {
        const struct run r = run_at(g, t, end, SEGMENT_OUT);
        load_strip(dy + r.image, g->stride, channels, channels_left * g->stride - r.image,
                   g->h, g->w, r.y, r.x, OUT, r.count * OUT, strip);
        for (int at = 0; at < r.count * OUT; at += OUT) {
            for (int j = 0; j < OUT; ++j) {
#define KEEP_OUT(k, value) half_way[k * OUT + j] = value
                TO_GRADIENT(FROM_STRIP, KEEP_OUT)
            }
            for (int j = 0; j < Q; ++j) {
#define FROM_OUT(k) half_way[j * OUT + k]
                TO_GRADIENT(FROM_OUT, TO_POINT)
            }
            to += step;
        }
        t += r.count;
    }
}

/* The weights' gradient of input channels k0 .. k1-1 and VW output channels, of which
 * channels are there, from the sums over tiles: parts of them, part_stride apart. dw: of
 * the first of the output channels. */
static void filter_taps(__global const float *sums, const size_t stride, const int parts,
                        const size_t part_stride, const int k0, const int k1,
                        const int channels, __global float *dw, const size_t stride_k,
                        const size_t stride_o)
{
    vec taps[KB * TAPS];
    vec half_way[3 * Q], point[POINTS];
    for (int k = k0; k < k1; ++k) {
        const int in_strip = stride_k == TAPS ? (k - k0) % KB : 0;
        for (int p = 0; p < POINTS; ++p) {
            __global const float *from = sums + p * stride + (size_t)(k - k0) * VW;
            point[p] = FULL(from);
            for (int part = 1; part < parts; ++part) {
                point[p] += FULL(from + part * part_stride);
            }
        }
        for (int j = 0; j < Q; ++j) {
#define FROM_SUM(i) point[i * Q + j]
            TO_FILTER(FROM_SUM, KEEP_Q)
        }
        for (int j = 0; j < 3; ++j) {
#define TO_TAPS(i, value) taps[in_strip * TAPS + j * 3 + i] = value
            TO_FILTER(FROM_Q, TO_TAPS)
        }
        if (stride_k == TAPS && in_strip < KB - 1 && k < k1 - 1) {
            continue;
        }
        const int count = (in_strip + 1) * TAPS;
        for (int i = 0; i < count; i += VW) {
            __global float *to = dw + (k - in_strip) * stride_k + i;
            store_chunk(taps + i, to, to, stride_o, channels, min(VW, count - i), 0);
        }
    }
}

/* The weights' gradient: sums over the tiles for each point, to be finished by
 * winograd_filter:
 *   sums  float [parts][POINTS][panel][rows][VW], rows: in rounded up to 4; the points
 *         STRIDE_U apart
 * Jobs are a part of the tiles and a chunk of output channels each. If own_sums is set,
 * there is one block of tiles, and a job keeps its sums in scratch and finishes them
 * itself, OWN_SPAN input channels at a time. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
winograd_correlate(__global const float *restrict x, __global const float *restrict dy,
                   __global float *restrict sums, __global float *restrict dw,
                   __global float *restrict scratch, const ulong group_floats,
                   const ulong stride_v, const ulong stride_m, const int in,
                   const int out, const int n, const int h, const int w, const int block,
                   const int chunk, const int parts, const int stride_k,
                   const int stride_o, const int own_sums, volatile __global int *queue)
{
    const struct grid gi = GRID_IN(n, h, w), go = GRID_OUT(n, h, w);
    const int tiles = n * gi.across * gi.down, blocks = (tiles + block - 1) / block;
    const int step_v = STEP_V(in), rows = (in + 3) / 4 * 4;
    const int span = own_sums ? min(rows, OWN_SPAN) : rows;
    const int chunks = (out + chunk - 1) / chunk;
    struct jobs jobs = jobs_of(queue, parts * chunks);
    __global float *v = scratch + get_group_id(0) * group_floats,
                   *d = v + POINTS * stride_v;
    const size_t panel = (size_t)span * VW;
    const size_t stride = STRIDE_U(own_sums ? chunk / VW : (out + VW - 1) / VW, span);
    int ready = -1;
    for (int job = next_job(&jobs); job >= 0; job = next_job(&jobs)) {
        const int part = job / chunks, o0 = (job - part * chunks) * chunk;
        const int o1 = min(out, o0 + chunk), first = (long)part * blocks / parts;
        __global float *to = own_sums ? d + POINTS * stride_m
                                      : sums + part * POINTS * stride + o0 / VW * panel;
        for (int b = first; b < (long)(part + 1) * blocks / parts; ++b) {
            const int begin = b * block, end = min(tiles, begin + block);
            for (int c = 0; ready != b && c < in; c += VW) {
                input_points(x + c * gi.stride, &gi, min(VW, in - c), in - c, begin, end,
                             v + c, stride_v, step_v);
            }
            ready = b;
            for (int o = o0; o < o1; o += VW) {
                gradient_points(dy + o * go.stride, &go, min(VW, out - o), out - o, begin,
                                end, d + (o - o0), stride_m, chunk);
            }
            for (int k0 = 0; k0 < in; k0 += span) {
                const int k1 = min(in, k0 + span);
                for (int p = 0; p < POINTS; ++p) {
                    for (int o = o0; o < o1; o += VW) {
                        multiply(v + p * stride_v + k0, 1, step_v,
                                 d + p * stride_m + (o - o0), chunk,
                                 to + p * stride + (o - o0) / VW * panel, VW,
                                 (k1 - k0 + 3) / 4 * 4, end - begin, b > first);
                    }
                }
                for (int o = o0; own_sums && o < o1; o += VW) {
                    filter_taps(to + (o - o0) / VW * panel, stride, 1, 0, k0, k1,
                                min(VW, out - o), dw + (size_t)o * stride_o, stride_k,
                                stride_o);
                }
            }
        }
    }
}

/* The weights' gradient from sums. Global (ceil(in/KB), ceil(out/VW)). */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
winograd_filter(__global const float *restrict sums, __global float *restrict dw,
                const int in, const int out, const int parts, const int stride_k,
                const int stride_o)
{
    const int k0 = get_global_id(0) * KB, index = get_global_id(1), o = index * VW;
    const int rows = (in + 3) / 4 * 4;
    const size_t stride = STRIDE_U(get_global_size(1), rows);
    filter_taps(sums + ((size_t)index * rows + k0) * VW, stride, parts, POINTS * stride,
                k0, min(in, k0 + KB), min(VW, out - o), dw + (size_t)o * stride_o,
                stride_k, stride_o);
}
#endif
