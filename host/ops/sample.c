#include "sample.h"

#include <math.h>

enum {
    SAMPLES_MIN = 48,
    EDGES = 3, /* first, middle and last of a side */
};

/* Multiplications that the samples of a layer may take: a tenth of a second. */
static const double WORK = 3e7;

/* The images of one side of a convolution: [c][n][h][w]. */
struct images {
    int c, n, h, w;
};

/* Pixel (h, w) of small and tap (ky, kx) meet pixel (h * stride - pad + ky, w * stride -
 * pad + kx) of big. A convolution makes small, y, from big, x; a transposed one makes
 * big, y, from small, x. The weights are [small.c][big.c][kernel][kernel]. */
struct geometry {
    struct images big, small;
    int kernel, stride, pad;
};

static struct geometry geometry_of(const struct clfcn_conv_shape *s)
{
    const int stride = s->transposed ? 2 : 1;
    const struct images x = { s->in, s->n, s->h, s->w };
    const struct images y = { s->out, s->n, stride * s->h, stride * s->w };
    return (struct geometry){ .big = s->transposed ? y : x,
                              .small = s->transposed ? x : y,
                              .kernel = s->kernel,
                              .stride = stride,
                              .pad = (s->kernel - 1) / 2 };
}

static size_t count_of(const struct images *t)
{
    return (size_t)t->c * (size_t)t->n * (size_t)t->h * (size_t)t->w;
}

size_t clfcn_sample_count_x(const struct clfcn_conv_shape *shape)
{
    const struct geometry g = geometry_of(shape);
    return count_of(shape->transposed ? &g.small : &g.big);
}

size_t clfcn_sample_count_y(const struct clfcn_conv_shape *shape)
{
    const struct geometry g = geometry_of(shape);
    return count_of(shape->transposed ? &g.big : &g.small);
}

size_t clfcn_sample_count_weight(const struct clfcn_conv_shape *s)
{
    return (size_t)s->in * (size_t)s->out * (size_t)(s->kernel * s->kernel);
}

/* The index of a pixel; false if it lies outside. */
static bool locate(const struct images *t, int c, int n, int h, int w, size_t *at)
{
    if (h < 0 || h >= t->h || w < 0 || w >= t->w) {
        return false;
    }
    *at = (((size_t)c * (size_t)t->n + (size_t)n) * (size_t)t->h + (size_t)h) *
              (size_t)t->w +
          (size_t)w;
    return true;
}

static size_t weight_at(const struct geometry *g, int small_c, int big_c, int ky, int kx)
{
    return (((size_t)small_c * (size_t)g->big.c + (size_t)big_c) * (size_t)g->kernel +
            (size_t)ky) *
               (size_t)g->kernel +
           (size_t)kx;
}

/* A place in an output: a pixel of images, or a weight as (c, n) = channels of small and
 * big, (h, w) = the tap. */
struct place {
    int c, n, h, w;
};

/* A sum of products, and of their magnitudes. */
struct sum {
    double value, size;
};

static void add(struct sum *sum, double product)
{
    sum->value += product;
    sum->size += fabs(product);
}

/* The value of small at p. */
static struct sum small_value(const struct geometry *g, const float *big,
                              const float *weight, struct place p)
{
    struct sum sum = { 0.0, 0.0 };
    for (int c = 0; c < g->big.c; ++c) {
        for (int ky = 0; ky < g->kernel; ++ky) {
            for (int kx = 0; kx < g->kernel; ++kx) {
                size_t at;
                if (locate(&g->big, c, p.n, p.h * g->stride - g->pad + ky,
                           p.w * g->stride - g->pad + kx, &at)) {
                    add(&sum, (double)big[at] * weight[weight_at(g, p.c, c, ky, kx)]);
                }
            }
        }
    }
    return sum;
}

/* The value of big at p: the taps of those pixels of small that meet it. */
static struct sum big_value(const struct geometry *g, const float *small,
                            const float *weight, struct place p)
{
    struct sum sum = { 0.0, 0.0 };
    for (int ky = 0; ky < g->kernel; ++ky) {
        for (int kx = 0; kx < g->kernel; ++kx) {
            const int h = p.h + g->pad - ky, w = p.w + g->pad - kx;
            if (h % g->stride != 0 || w % g->stride != 0) {
                continue;
            }
            for (int c = 0; c < g->small.c; ++c) {
                size_t at;
                if (locate(&g->small, c, p.n, h / g->stride, w / g->stride, &at)) {
                    add(&sum, (double)small[at] * weight[weight_at(g, c, p.c, ky, kx)]);
                }
            }
        }
    }
    return sum;
}

/* The gradient of one weight. */
static struct sum weight_value(const struct geometry *g, const float *big,
                               const float *small, struct place p)
{
    struct sum sum = { 0.0, 0.0 };
    for (int n = 0; n < g->small.n; ++n) {
        for (int h = 0; h < g->small.h; ++h) {
            for (int w = 0; w < g->small.w; ++w) {
                size_t at_big, at_small;
                if (locate(&g->big, p.n, n, h * g->stride - g->pad + p.h,
                           w * g->stride - g->pad + p.w, &at_big) &&
                    locate(&g->small, p.c, n, h, w, &at_small)) {
                    add(&sum, (double)big[at_big] * small[at_small]);
                }
            }
        }
    }
    return sum;
}

/* What a pass makes: pixels of small or of big, or weights, which are planes of taps. */
enum kind { SMALL, BIG, WEIGHT };

static enum kind kind_of(const struct clfcn_conv_shape *shape, enum clfcn_pass pass)
{
    if (pass == CLFCN_PASS_WEIGHT) {
        return WEIGHT;
    }
    return (pass == CLFCN_PASS_FORWARD) == shape->transposed ? BIG : SMALL;
}

static struct images images_of(const struct geometry *g, enum kind kind)
{
    const struct images taps = { g->small.c, g->big.c, g->kernel, g->kernel };
    return kind == SMALL ? g->small : kind == BIG ? g->big : taps;
}

static struct sum value_at(const struct clfcn_conv_shape *shape, const struct geometry *g,
                           enum kind kind, const struct clfcn_sample_data *d,
                           struct place p)
{
    const float *big = shape->transposed ? d->y : d->x;
    const float *small = shape->transposed ? d->x : d->y;
    switch (kind) {
    case SMALL:
        return small_value(g, big, d->weight, p);
    case BIG:
        return big_value(g, small, d->weight, p);
    default:
        return weight_value(g, big, small, p);
    }
}

static int edge(int i, int side)
{
    return i == 0 ? 0 : i == 1 ? side / 2 : side - 1;
}

/* Every other sample is at a corner or an edge, in turn, and now and then in the last
 * plane, where tiles of channels end; the others are anywhere. */
static struct place choose(const struct images *made, int i, struct clfcn_rng *rng)
{
    struct place p = { .c = (int)clfcn_rng_below(rng, (uint32_t)made->c),
                       .n = (int)clfcn_rng_below(rng, (uint32_t)made->n) };
    if (i % 2 == 0) {
        p.h = edge(i / 2 % EDGES, made->h);
        p.w = edge(i / 2 / EDGES % EDGES, made->w);
    } else {
        p.h = (int)clfcn_rng_below(rng, (uint32_t)made->h);
        p.w = (int)clfcn_rng_below(rng, (uint32_t)made->w);
    }
    if (i % 10 == 0) {
        p.c = made->c - 1;
        p.n = made->n - 1;
    }
    return p;
}

static struct place nth(const struct images *made, int i)
{
    struct place p;
    p.w = i % made->w;
    p.h = (i /= made->w) % made->h;
    p.n = (i /= made->h) % made->n;
    p.c = i / made->n;
    return p;
}

void clfcn_samples_make(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                        const struct clfcn_sample_data *data, struct clfcn_rng *rng,
                        struct clfcn_samples *out)
{
    const struct geometry g = geometry_of(shape);
    const enum kind kind = kind_of(shape, pass);
    const struct images made = images_of(&g, kind);
    const float *bias = pass == CLFCN_PASS_FORWARD ? data->bias : NULL;
    out->total = count_of(&made);
    const double fit = WORK / (clfcn_conv_flop(shape) / 2 / (double)out->total);
    const bool all = out->total <= CLFCN_SAMPLES_ALL && (double)out->total <= fit;
    out->count = all                       ? (int)out->total
                 : fit < SAMPLES_MIN       ? SAMPLES_MIN
                 : fit > CLFCN_SAMPLES_MAX ? CLFCN_SAMPLES_MAX
                                           : (int)fit;
    for (int i = 0; i < out->count; ++i) {
        const struct place p = all ? nth(&made, i) : choose(&made, i, rng);
        locate(&made, p.c, p.n, p.h, p.w, &out->at[i]);
        const struct sum sum = value_at(shape, &g, kind, data, p);
        out->want[i] = bias ? fmax(0.0, sum.value + bias[p.c]) : sum.value;
        out->size[i] = sum.size;
    }
}

double clfcn_sample_value(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                          const struct clfcn_sample_data *data, size_t at, double *size)
{
    const struct geometry g = geometry_of(shape);
    const enum kind kind = kind_of(shape, pass);
    const struct images made = images_of(&g, kind);
    const size_t w = (size_t)made.w, h = (size_t)made.h, n = (size_t)made.n;
    const struct place p = { .c = (int)(at / w / h / n),
                             .n = (int)(at / w / h % n),
                             .h = (int)(at / w % h),
                             .w = (int)(at % w) };
    const struct sum sum = value_at(shape, &g, kind, data, p);
    if (size) {
        *size = sum.size;
    }
    return sum.value;
}

double clfcn_samples_error(const struct clfcn_samples *samples, const float *got)
{
    double distance = 0.0, norm = 0.0;
    for (size_t i = 0; i < samples->total; ++i) {
        if (!isfinite(got[i])) {
            return NAN;
        }
    }
    for (int i = 0; i < samples->count; ++i) {
        const double want = samples->want[i], off = got[samples->at[i]] - want;
        distance += off * off;
        norm += want * want;
    }
    return norm > 0 ? sqrt(distance / norm) : distance > 0 ? INFINITY : 0.0;
}
