/* window.c - a part of a picture as the network's input. The resized picture is never
 * made: each pixel is sampled from where it would come from. */
#include "window.h"
#include "tap.h"

enum { STRIP = 256 };

/* Where a position, inside or outside, lies in a row of n pixels that is mirrored at both
 * ends for ever. */
static int mirrored(int i, int n)
{
    const int64_t period = 2 * (int64_t)n, at = ((int64_t)i % period + period) % period;
    return (int)(at < n ? at : period - 1 - at);
}

static struct tap window_tap(int i, int picture, int from)
{
    return tap_at(mirrored(i, picture), from, (float)from / (float)picture);
}

void clfcn_window_to_input(const struct clfcn_image *im, const struct clfcn_window *w,
                           float *out, size_t plane_stride)
{
    struct tap xs[STRIP];
    float unit[256];
    for (int i = 0; i < 256; ++i) {
        unit[i] = (float)i / 255.0f;
    }
    for (int x = 0; x < w->width; x += STRIP) {
        const int n = w->width - x < STRIP ? w->width - x : STRIP;
        for (int i = 0; i < n; ++i) {
            xs[i] = window_tap(w->x + x + i, w->picture_width, im->width);
        }
        for (int y = 0; y < w->height; ++y) {
            clfcn_input_row(im, xs, n,
                            window_tap(w->y + y, w->picture_height, im->height), unit,
                            out + (size_t)y * (size_t)w->width + x, plane_stride);
        }
    }
}
