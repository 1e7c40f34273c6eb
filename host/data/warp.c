/* warp.c - sampling a picture through an affine map. */
#include "warp.h"
#include "classes.h"
#include "resize.h"
#include <math.h>
#include <string.h>

struct clfcn_warp clfcn_warp_of(const struct clfcn_draw *d, int full_width,
                                int full_height, int from_width, int from_height,
                                int width, int height)
{
    static const double pi = 3.14159265358979323846;
    /* The zoomed picture is wide x high in the frame's pixels. */
    const double wide = d->zoom * width, high = d->zoom * height;
    const double mid_x = d->left * (wide - width) + width / 2.0;
    const double mid_y = d->top * (high - height) + height / 2.0;
    /* A frame's pixel in pixels of the full picture. */
    const double step_x = (d->flip ? -1 : 1) * full_width / wide;
    const double step_y = (d->vflip ? -1 : 1) * full_height / high;
    const double c = cos(d->degrees * pi / 180), s = sin(d->degrees * pi / 180);
    const double shrink_x = (double)from_width / full_width;
    const double shrink_y = (double)from_height / full_height;
    struct clfcn_warp w = {
        .x = { c * step_x * shrink_x, -s * step_y * shrink_x, mid_x * from_width / wide },
        .y = { s * step_x * shrink_y, c * step_y * shrink_y, mid_y * from_height / high },
        .from_width = from_width,
        .from_height = from_height,
        .width = width,
        .height = height,
    };
    /* Turned and mirrored about the frame's centre. */
    w.x[2] -= w.x[0] * width / 2.0 + w.x[1] * height / 2.0;
    w.y[2] -= w.y[0] * width / 2.0 + w.y[1] * height / 2.0;
    return w;
}

static double along(const double k[3], double x, double y)
{
    return k[0] * x + (k[1] * y + k[2]);
}

/* Keep of *begin .. *end the pixels i with 0 <= slope * (i + 0.5) + at < limit. */
static void narrow(double slope, double at, int limit, double *begin, double *end)
{
    if (slope == 0) {
        *end = at < 0 || at >= limit ? *begin : *end;
        return;
    }
    const double zero = (0 - at) / slope - 0.5, most = (limit - at) / slope - 0.5;
    if (slope > 0) {
        *begin = fmax(*begin, ceil(zero));
        *end = fmin(*end, ceil(most));
    } else {
        *begin = fmax(*begin, floor(most) + 1);
        *end = fmin(*end, floor(zero) + 1);
    }
}

void clfcn_warp_row(const struct clfcn_warp *w, int y, int *begin, int *end)
{
    double first = 0, last = w->width;
    narrow(w->x[0], along(w->x, 0, y + 0.5), w->from_width, &first, &last);
    narrow(w->y[0], along(w->y, 0, y + 0.5), w->from_height, &first, &last);
    *begin = (int)fmin(first, w->width);
    *end = last > first ? (int)last : *begin;
}

/* Between which two samples of a line of n the place at lies, the outer ones going on
 * outside, and how near the second. */
static float tap(double at, int n, int *first, int *second)
{
    const double pos = at - 0.5 < 0 ? 0 : at - 0.5;
    *first = pos < n - 1 ? (int)pos : n - 1;
    *second = *first < n - 1 ? *first + 1 : *first;
    return *first < n - 1 ? (float)(pos - *first) : 0;
}

/* Add the colour at (x, y), bilinear, in 0 .. 1; 8-bit samples go through unit[256]. */
static void add_sample(const struct clfcn_image *im, double x, double y,
                       const float *unit, float sum[3])
{
    int x0, x1, y0, y1;
    const float tx = tap(x, im->width, &x0, &x1), ty = tap(y, im->height, &y0, &y1);
    const size_t r0 = (size_t)y0 * (size_t)im->width, r1 = (size_t)y1 * (size_t)im->width;
    const size_t at[4] = { 3 * (r0 + (size_t)x0), 3 * (r0 + (size_t)x1),
                           3 * (r1 + (size_t)x0), 3 * (r1 + (size_t)x1) };
    for (size_t c = 0; c < 3; ++c) {
        float v[4];
        for (int k = 0; k < 4; ++k) {
            v[k] = im->depth == 8 ? unit[im->px.u8[at[k] + c]]
                                  : (float)im->px.u16[at[k] + c] / 65535.0f;
        }
        sum[c] +=
            (1 - ty) * ((1 - tx) * v[0] + tx * v[1]) + ty * ((1 - tx) * v[2] + tx * v[3]);
    }
}

/* A bilinear sample sees two pixels a side: how many it takes for a step of so many. */
static int samples_for(double dx, double dy, enum clfcn_resize how)
{
    const double step = sqrt(dx * dx + dy * dy);
    const int n = (int)ceil(step / (how == CLFCN_RESIZE_AREA ? 1 : 2) - 1e-9);
    return n > 1 ? n : 1;
}

void clfcn_warp_to_input(const struct clfcn_warp *w, const struct clfcn_image *im,
                         enum clfcn_resize how, float *out, size_t plane_stride)
{
    const int nx = samples_for(w->x[0], w->y[0], how);
    const int ny = samples_for(w->x[1], w->y[1], how);
    const float share = 1.0f / (float)(nx * ny);
    float unit[256];
    for (int i = 0; i < 256; ++i) {
        unit[i] = (float)i / 255.0f;
    }
    for (size_t c = 0; c < 3; ++c) {
        memset(out + c * plane_stride, 0,
               (size_t)w->width * (size_t)w->height * sizeof *out);
    }
    for (int y = 0; y < w->height; ++y) {
        int begin, end;
        clfcn_warp_row(w, y, &begin, &end);
        for (int x = begin; x < end; ++x) {
            float sum[3] = { 0 };
            for (int k = 0; k < nx * ny; ++k) {
                const int column = k % nx, row = k / nx;
                const double fx = x + (column + 0.5) / nx, fy = y + (row + 0.5) / ny;
                add_sample(im, along(w->x, fx, fy), along(w->y, fx, fy), unit, sum);
            }
            float *o = out + (size_t)y * (size_t)w->width + x;
            for (size_t c = 0; c < 3; ++c) {
                o[c * plane_stride] =
                    (sum[c] * share - clfcn_imagenet_mean[c]) / clfcn_imagenet_std[c];
            }
        }
    }
}

/* The pixel that holds a place in the picture, at most rounding away from it. */
static int pixel_at(double at, int n)
{
    return at < 0 ? 0 : at < n ? (int)at : n - 1;
}

void clfcn_warp_labels(const struct clfcn_warp *w, const uint8_t *labels, uint8_t *out)
{
    memset(out, CLFCN_IGNORE, (size_t)w->width * (size_t)w->height);
    for (int y = 0; y < w->height; ++y) {
        uint8_t *row = out + (size_t)y * (size_t)w->width;
        int begin, end;
        clfcn_warp_row(w, y, &begin, &end);
        for (int x = begin; x < end; ++x) {
            const int sx = pixel_at(along(w->x, x + 0.5, y + 0.5), w->from_width);
            const int sy = pixel_at(along(w->y, x + 0.5, y + 0.5), w->from_height);
            row[x] = labels[(size_t)sy * (size_t)w->from_width + (size_t)sx];
        }
    }
}
