/* implicit.cl - convolution of stride 1 as a matrix product, for CPU runtimes: its
 * columns are made only in the panels that the product reads, straight from the image.
 *
 *   x   float [C][P], P = n*h*w pixels
 *   dy  float [M][P]
 *
 * Row (c, t) of the columns X is channel c of x, shifted by tap t of K x K, with 0 where
 * that is outside of the image: VW neighbouring pixels lie side by side in memory, and
 * some of them are masked. A work-group is one item, and packs what it needs into its own
 * part of the scratch memory. -D K, VW.
 */
#include "panel.clh"

#define PAD ((K - 1) / 2)
#define TAPS (K * K)

typedef CAT(int, VW) ivec;

/* Where VW pixels that follow each other in memory lie in their images. */
struct run {
    ivec x, y;
};

/* count: those that are there; the others lie outside of any image. */
static struct run run_at(const int pixel, const int count, const int h, const int w)
{
    const int line = pixel / w;
    struct run r;
    for (int i = 0; i < VW; ++i) {
        ((int *)&r.x)[i] = i;
    }
    const ivec missing = r.x >= count;
    r.x += pixel - line * w;
    r.y = line - line / h * h;
    for (int last = pixel - line * w + VW - 1; last >= w; last -= w) {
        const ivec over = r.x >= w; /* -1 where it is so */
        r.x -= over & w;
        r.y -= over;
        r.y = r.y == h ? 0 : r.y;
    }
    r.y = missing ? -K : r.y;
    return r;
}

/* Which of them, moved by (dx, dy), are still in their images. */
static ivec inside(const struct run *r, const int dx, const int dy, const int h,
                   const int w)
{
    return (CAT(as_uint, VW)(r->x + dx) < (uint)w) &
           (CAT(as_uint, VW)(r->y + dy) < (uint)h);
}

/* VW floats of x, which has size of them, from at on; 0 where mask is not set. */
static vec load_run(__global const float *x, const long at, const long size,
                    const ivec mask)
{
    if (at >= 0 && at + VW <= size) {
        return mask ? LOOSE_CONST(x + at) : (vec)(0.0f);
    }
    vec v = 0.0f;
    for (int i = 0; i < VW; ++i) {
        if (((const int *)&mask)[i]) {
            ((float *)&v)[i] = x[at + i];
        }
    }
    return v;
}

/* Rows of channels c0 .. c1-1 of X, columns pixel .. pixel+count-1, to [(c, t)][VW]. A
 * line of each channel, ahead pixels further on, is fetched for later. */
static void pack_pixels(__global const float *x, const long size, const int row,
                        const int c0, const int c1, const int pixel, const int count,
                        const int h, const int w, const int ahead, __global float *to)
{
    const struct run r = run_at(pixel, count, h, w);
    for (int t = 0; t < TAPS; ++t) {
        const int dy = t / K - PAD, dx = t - t / K * K - PAD;
        const ivec mask = inside(&r, dx, dy, h, w);
        const bool fetch = dy == PAD && dx == 0;
        long at = (long)c0 * row + pixel + dy * w + dx;
        for (int c = 0; c < c1 - c0; ++c) {
            if (fetch) {
                PREFETCH(x + at + ahead);
            }
            FULL(to + (c * TAPS + t) * VW) = load_run(x, at, size, mask);
            at += row;
        }
    }
}

/* y = weights * x + bias, and ReLU if relu is set; onto y if add is. y [m][P]. The
 * weights [m][C*TAPS], packed (gemm_pack.cl), at the beginning of scratch; behind them,
 * from float panels on, each work-group has block * span * TAPS floats. It takes its
 * share of the blocks of columns, and span channels at a time. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
implicit_conv(__global const float *restrict x, __global const float *restrict bias,
              __global float *restrict y, __global float *scratch, const ulong panels,
              const int channels, const int m, const int n, const int h, const int w,
              const int block, const int span, const int with_bias, const int relu,
              const int add)
{
    const int row = n * h * w, k = channels * TAPS;
    const long size = (long)channels * row;
    const long blocks = (row + block - 1) / block;
    const long group = get_group_id(0), groups = get_num_groups(0);
    const bool whole = ((size_t)y | row * sizeof(float)) % sizeof(vec) == 0;
    __global float *packed = scratch + panels + group * block * span * TAPS;
    for (long at = group * blocks / groups; at < (group + 1) * blocks / groups; ++at) {
        const int begin = at * block, end = min(row, begin + block);
        for (int c0 = 0; c0 < channels; c0 += span) {
            const int c1 = min(channels, c0 + span), kc = (c1 - c0) * TAPS;
            const bool last = c1 == channels;
            for (int j = begin; j < end; j += VW) {
                pack_pixels(x, size, row, c0, c1, j, min(VW, row - j), h, w, block,
                            packed + (size_t)(j - begin) * kc);
            }
            for (int i = 0; i < m; i += MR) {
                const struct ending ending = {
                    .add = add || c0 > 0,
                    .bias = last && with_bias ? bias + i : 0,
                    .relu = last && relu,
                    .stream = whole && !add && span >= channels,
                };
                for (int j = begin; j < end; j += VW) {
                    tile(scratch + (size_t)i * k + (size_t)c0 * TAPS * MR,
                         packed + (size_t)(j - begin) * kc, kc, scratch, 0,
                         y + (size_t)i * row + j, row, m - i, min(VW, row - j), &ending);
                }
            }
        }
    }
}

/* The next row of X to be read. */
struct cursor {
    int left; /* rows to come, this one included */
    int x, y; /* its tap */
    long at;  /* of its first pixel */
};

static vec take_row(struct cursor *cursor, __global const float *x, const long size,
                    const int row, const struct run *r, const int h, const int w)
{
    vec v = 0.0f;
    if (cursor->left > 0) {
        v = load_run(x, cursor->at + (long)cursor->y * w + cursor->x, size,
                     inside(r, cursor->x, cursor->y, h, w));
    }
    --cursor->left;
    if (++cursor->x > PAD) {
        cursor->x = -PAD;
        if (++cursor->y > PAD) {
            cursor->y = -PAD;
            cursor->at += row;
        }
    }
    return v;
}

/* The next VW rows of X, of VW pixels, turned so that the rows are the lanes. */
static void pack_rows(struct cursor *cursor, __global const float *x, const long size,
                      const int row, const struct run *r, const int h, const int w,
                      __global float *to)
{
    vec rows[VW]; /* one loop: a copy of take_row() each takes compilers seconds */
    for (int i = 0; i < VW; ++i) {
        rows[i] = take_row(cursor, x, size, row, r, h, w);
    }
#ifdef SHUFFLE
#define TAKE_ROW(i) const vec row##i = rows[i];
    EACH(TAKE_ROW)
    TRANSPOSE
#define KEEP_LANE(i) FULL(to + i * VW) = lane##i;
    EACH(KEEP_LANE)
#else
    for (int i = 0; i < VW; ++i) {
        for (int j = 0; j < VW; ++j) {
            to[j * VW + i] = ((const float *)(rows + i))[j];
        }
    }
#endif
}

/* dw [part][m][C*TAPS] = dy X', each part of the pixels summed apart. A job is a block of
 * columns of dw and a part; a work-group takes its share of the jobs, and part_pixels
 * pixels at a time. scratch: block + MR floats for each of these. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
implicit_filter(__global const float *restrict x, __global const float *restrict dy,
                __global float *restrict dw, __global float *restrict scratch,
                const int channels, const int m, const int n, const int h, const int w,
                const int block, const int slice, const int parts)
{
    const int row = n * h * w, columns = channels * TAPS;
    const int blocks = (columns + block - 1) / block, slices = (row + slice - 1) / slice;
    const long size = (long)channels * row, jobs = (long)blocks * parts;
    const long group = get_group_id(0), groups = get_num_groups(0);
    __global float *packed = scratch + group * slice * (block + MR);
    __global float *left = packed + slice * block;
    for (long job = group * jobs / groups; job < (group + 1) * jobs / groups; ++job) {
        const int part = job / blocks, begin = (job - (long)part * blocks) * block;
        const int end = min(columns, begin + block);
        const int first = (long)part * slices / parts,
                  stop = (part + 1l) * slices / parts;
        __global float *sums = dw + (size_t)part * m * columns;
        for (int s = first; s < stop; ++s) {
            const int p0 = s * slice, count = min(slice, row - p0);
            for (int p = 0; p < count; p += VW) {
                const struct run r = run_at(p0 + p, min(VW, count - p), h, w);
                const int c = begin / TAPS, tap = begin - c * TAPS, line = tap / K;
                struct cursor cursor = { .left = end - begin,
                                         .x = tap - line * K - PAD,
                                         .y = line - PAD,
                                         .at = (long)c * row + p0 + p };
                for (int j = 0; j < end - begin; j += VW) {
                    pack_rows(&cursor, x, size, row, &r, h, w,
                              packed + (size_t)j * slice + (size_t)p * VW);
                }
            }
            const struct ending ending = { .add = s > first };
            for (int i = 0; i < m; i += MR) {
                pack_left(dy + (size_t)i * row + p0, row, 1, min(MR, m - i), 0, count,
                          left);
                for (int j = begin; j < end; j += VW) {
                    tile(left, packed + (size_t)(j - begin) * slice, count, dy, 0,
                         sums + (size_t)i * columns + j, columns, m - i,
                         min(VW, columns - j), &ending);
                }
            }
        }
    }
}

/* dw = the sum of its parts, of count floats each. One item per VW floats. */
__kernel void implicit_sum(__global const float *restrict from,
                           __global float *restrict dw, const int parts, const int count)
{
    const int begin = get_global_id(0) * VW;
    for (int i = begin; i < min(count, begin + VW); ++i) {
        float sum = from[i];
        for (int part = 1; part < parts; ++part) {
            sum += from[(size_t)part * count + i];
        }
        dw[i] = sum;
    }
}
