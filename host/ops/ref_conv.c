/* ref_conv.c - fp64 definitions of the matrix product, convolution and transposed
 * convolution. */
#include "ref.h"
#include <string.h>

int clfcn_ref_conv_out(const struct clfcn_ref_conv *s, int side)
{
    return (side + 2 * s->pad - s->kernel) / s->stride + 1;
}

int clfcn_ref_deconv_out(const struct clfcn_ref_conv *s, int side)
{
    return (side - 1) * s->stride - 2 * s->pad + s->kernel + s->out_pad;
}

void clfcn_ref_gemm(bool trans_a, bool trans_b, int m, int n, int k, const double *a,
                    const double *b, double beta, double *c)
{
    for (int i = 0; i < m; ++i) {
        for (int j = 0; j < n; ++j) {
            double sum = 0.0;
            for (int l = 0; l < k; ++l) {
                const double av = trans_a ? a[(size_t)l * m + i] : a[(size_t)i * k + l];
                const double bv = trans_b ? b[(size_t)j * k + l] : b[(size_t)l * n + j];
                sum += av * bv;
            }
            double *out = &c[(size_t)i * n + j];
            *out = beta == 0.0 ? sum : sum + beta * *out;
        }
    }
}

/* One pixel of a tensor [C][N][H][W]. */
struct pixel {
    int c, n, h, w;
};

/* The images of one side of a convolution: [c][n][h][w]. */
struct images {
    int c, n, h, w;
};

static size_t at(const struct images *t, struct pixel p)
{
    return (((size_t)p.c * t->n + p.n) * t->h + p.h) * t->w + p.w;
}

static size_t image_count(const struct images *t)
{
    return (size_t)t->c * t->n * t->h * t->w;
}

static bool inside(const struct images *t, struct pixel p)
{
    return p.h >= 0 && p.h < t->h && p.w >= 0 && p.w < t->w;
}

/* Step through all pixels in memory order. Start with { 0 }; false at the end. */
static bool next_pixel(const struct images *t, struct pixel *p)
{
    if (++p->w < t->w) {
        return true;
    }
    p->w = 0;
    if (++p->h < t->h) {
        return true;
    }
    p->h = 0;
    if (++p->n < t->n) {
        return true;
    }
    p->n = 0;
    return ++p->c < t->c;
}

/* The pixel that tap (ky, kx) of the window at p touches, in channel c. The window of p
 * is where a convolution reads from for output p, and where a transposed one writes to
 * for input p. */
static struct pixel touched(const struct clfcn_ref_conv *s, struct pixel p, int c, int ky,
                            int kx)
{
    return (struct pixel){ c, p.n, p.h * s->stride - s->pad + ky,
                           p.w * s->stride - s->pad + kx };
}

/* Index into a weight [..][channels][k][k]. */
static size_t weight_at(const struct clfcn_ref_conv *s, int channels, int first,
                        int second, int ky, int kx)
{
    return (((size_t)first * channels + second) * s->kernel + ky) * s->kernel + kx;
}

/* Sum over the window of p of t times the weights of p's own channel. */
static double gather(const struct clfcn_ref_conv *s, const struct images *images,
                     const double *t, const double *w, struct pixel p)
{
    double sum = 0.0;
    for (int c = 0; c < images->c; ++c) {
        for (int ky = 0; ky < s->kernel; ++ky) {
            for (int kx = 0; kx < s->kernel; ++kx) {
                const struct pixel q = touched(s, p, c, ky, kx);
                if (inside(images, q)) {
                    sum += t[at(images, q)] * w[weight_at(s, images->c, p.c, c, ky, kx)];
                }
            }
        }
    }
    return sum;
}

/* Add value times the weights of p's own channel to the window of p. */
static void scatter(const struct clfcn_ref_conv *s, const struct images *images,
                    double *t, const double *w, struct pixel p, double value)
{
    for (int c = 0; c < images->c; ++c) {
        for (int ky = 0; ky < s->kernel; ++ky) {
            for (int kx = 0; kx < s->kernel; ++kx) {
                const struct pixel q = touched(s, p, c, ky, kx);
                if (inside(images, q)) {
                    t[at(images, q)] +=
                        value * w[weight_at(s, images->c, p.c, c, ky, kx)];
                }
            }
        }
    }
}

/* Add value times the window of p to the gradient of the weights of p's own channel. */
static void correlate(const struct clfcn_ref_conv *s, const struct images *images,
                      const double *t, double *dw, struct pixel p, double value)
{
    for (int c = 0; c < images->c; ++c) {
        for (int ky = 0; ky < s->kernel; ++ky) {
            for (int kx = 0; kx < s->kernel; ++kx) {
                const struct pixel q = touched(s, p, c, ky, kx);
                if (inside(images, q)) {
                    dw[weight_at(s, images->c, p.c, c, ky, kx)] +=
                        value * t[at(images, q)];
                }
            }
        }
    }
}

static void zero(double *v, size_t count)
{
    memset(v, 0, count * sizeof(*v));
}

static size_t weight_count(const struct clfcn_ref_conv *s)
{
    return (size_t)s->in_c * s->out_c * s->kernel * s->kernel;
}

/* db[c] = sum of dy over everything but the channel */
static void bias_gradient(const struct images *out, const double *dy, double *db)
{
    const size_t row = (size_t)out->n * out->h * out->w;
    for (int c = 0; c < out->c; ++c) {
        db[c] = 0.0;
        for (size_t i = 0; i < row; ++i) {
            db[c] += dy[c * row + i];
        }
    }
}

static struct images input_of(const struct clfcn_ref_conv *s)
{
    return (struct images){ s->in_c, s->n, s->in_h, s->in_w };
}

static struct images conv_output_of(const struct clfcn_ref_conv *s)
{
    return (struct images){ s->out_c, s->n, clfcn_ref_conv_out(s, s->in_h),
                            clfcn_ref_conv_out(s, s->in_w) };
}

static struct images deconv_output_of(const struct clfcn_ref_conv *s)
{
    return (struct images){ s->out_c, s->n, clfcn_ref_deconv_out(s, s->in_h),
                            clfcn_ref_deconv_out(s, s->in_w) };
}

void clfcn_ref_conv2d(const struct clfcn_ref_conv *s, const double *x, const double *w,
                      const double *b, double *y)
{
    const struct images in = input_of(s), out = conv_output_of(s);
    struct pixel p = { 0 };
    do {
        y[at(&out, p)] = b[p.c] + gather(s, &in, x, w, p);
    } while (next_pixel(&out, &p));
}

void clfcn_ref_conv2d_backward(const struct clfcn_ref_conv *s, const double *x,
                               const double *w, const double *dy, double *dx, double *dw,
                               double *db)
{
    const struct images in = input_of(s), out = conv_output_of(s);
    struct pixel p = { 0 };
    zero(dx, image_count(&in));
    zero(dw, weight_count(s));
    bias_gradient(&out, dy, db);
    do {
        const double g = dy[at(&out, p)];
        scatter(s, &in, dx, w, p, g);
        correlate(s, &in, x, dw, p, g);
    } while (next_pixel(&out, &p));
}

void clfcn_ref_deconv2d(const struct clfcn_ref_conv *s, const double *x, const double *w,
                        const double *b, double *y)
{
    const struct images in = input_of(s), out = deconv_output_of(s);
    struct pixel p = { 0 };
    do {
        y[at(&out, p)] = b[p.c];
    } while (next_pixel(&out, &p));
    p = (struct pixel){ 0 };
    do {
        scatter(s, &out, y, w, p, x[at(&in, p)]);
    } while (next_pixel(&in, &p));
}

void clfcn_ref_deconv2d_backward(const struct clfcn_ref_conv *s, const double *x,
                                 const double *w, const double *dy, double *dx,
                                 double *dw, double *db)
{
    const struct images in = input_of(s), out = deconv_output_of(s);
    struct pixel p = { 0 };
    zero(dw, weight_count(s));
    bias_gradient(&out, dy, db);
    do {
        dx[at(&in, p)] = gather(s, &out, dy, w, p);
        correlate(s, &out, dy, dw, p, x[at(&in, p)]);
    } while (next_pixel(&in, &p));
}
