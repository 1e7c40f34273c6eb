/* resize.c - sampling at another size, bilinear as tap.h says.
 *
 * Columns are done in strips, so that their taps fit a small table on the stack and
 * nothing needs to be allocated. */
#include "resize.h"
#include "tap.h"
#include <string.h>

const float clfcn_imagenet_mean[3] = { 0.485f, 0.456f, 0.406f };
const float clfcn_imagenet_std[3] = { 0.229f, 0.224f, 0.225f };

enum { STRIP = 256 };

/* Taps of the destination columns x0 .. x0+n-1. */
static void strip_taps(struct tap *taps, int x0, int n, int from, int to)
{
    const float scale = (float)from / (float)to;
    for (int i = 0; i < n; ++i) {
        taps[i] = tap_at(x0 + i, from, scale);
    }
}

void clfcn_input_row(const struct clfcn_image *im, const struct tap *xs, int n,
                     struct tap y, const float *unit, float *out, size_t plane_stride)
{
    const size_t r0 = (size_t)y.i0 * (size_t)im->width;
    const size_t r1 = (size_t)y.i1 * (size_t)im->width;
    for (int c = 0; c < 3; ++c) {
        float *o = out + (size_t)c * plane_stride;
        const float mean = clfcn_imagenet_mean[c], std = clfcn_imagenet_std[c];
        for (int i = 0; i < n; ++i) {
            const size_t a = 3 * (r0 + (size_t)xs[i].i0) + (size_t)c;
            const size_t b = 3 * (r0 + (size_t)xs[i].i1) + (size_t)c;
            const size_t d = 3 * (r1 + (size_t)xs[i].i0) + (size_t)c;
            const size_t e = 3 * (r1 + (size_t)xs[i].i1) + (size_t)c;
            float v;
            if (im->depth == 8) {
                const uint8_t *p = im->px.u8;
                v = mix(&xs[i], &y, unit[p[a]], unit[p[b]], unit[p[d]], unit[p[e]]);
            } else {
                const uint16_t *p = im->px.u16;
                v = mix(&xs[i], &y, (float)p[a] / 65535.0f, (float)p[b] / 65535.0f,
                        (float)p[d] / 65535.0f, (float)p[e] / 65535.0f);
            }
            o[i] = (v - mean) / std;
        }
    }
}

void clfcn_resize_to_input(const struct clfcn_image *im, int width, int height,
                           float *out, size_t plane_stride)
{
    const float y_scale = (float)im->height / (float)height;
    struct tap xs[STRIP];
    float unit[256];
    for (int i = 0; i < 256; ++i) {
        unit[i] = (float)i / 255.0f;
    }
    for (int x = 0; x < width; x += STRIP) {
        const int n = width - x < STRIP ? width - x : STRIP;
        strip_taps(xs, x, n, im->width, width);
        for (int y = 0; y < height; ++y) {
            clfcn_input_row(im, xs, n, tap_at(y, im->height, y_scale), unit,
                            out + (size_t)y * (size_t)width + x, plane_stride);
        }
    }
}

void clfcn_resize_labels(const uint8_t *src, int from_w, int from_h, uint8_t *dst,
                         int to_w, int to_h)
{
    for (int y = 0; y < to_h; ++y) {
        const int64_t sy = (2 * (int64_t)y + 1) * from_h / (2 * (int64_t)to_h);
        const uint8_t *s = src + sy * from_w;
        uint8_t *d = dst + (size_t)y * (size_t)to_w;
        if (from_w == to_w) {
            memcpy(d, s, (size_t)to_w);
            continue;
        }
        for (int x = 0; x < to_w; ++x) {
            d[x] = s[(2 * (int64_t)x + 1) * from_w / (2 * (int64_t)to_w)];
        }
    }
}

void clfcn_resize_argmax(const float *logits, int classes, size_t plane_stride,
                         int from_w, int from_h, uint8_t *dst, int to_w, int to_h)
{
    const float y_scale = (float)from_h / (float)to_h;
    struct tap xs[STRIP];
    float best[STRIP];
    for (int x = 0; x < to_w; x += STRIP) {
        const int n = to_w - x < STRIP ? to_w - x : STRIP;
        strip_taps(xs, x, n, from_w, to_w);
        for (int y = 0; y < to_h; ++y) {
            const struct tap ty = tap_at(y, from_h, y_scale);
            uint8_t *d = dst + (size_t)y * (size_t)to_w + x;
            memset(d, 0, (size_t)n);
            for (int c = 0; c < classes; ++c) {
                const float *plane = logits + (size_t)c * plane_stride;
                const float *r0 = plane + (size_t)ty.i0 * (size_t)from_w;
                const float *r1 = plane + (size_t)ty.i1 * (size_t)from_w;
                for (int i = 0; i < n; ++i) {
                    const float v = mix(&xs[i], &ty, r0[xs[i].i0], r0[xs[i].i1],
                                        r1[xs[i].i0], r1[xs[i].i1]);
                    if (c == 0 || v > best[i]) {
                        best[i] = v;
                        d[i] = (uint8_t)c;
                    }
                }
            }
        }
    }
}
