/* resize_area.c - pictures at another size, by the mean over the area of each pixel.
 *
 * Along an axis that shrinks, a destination pixel covers whole samples and two cut ones;
 * elsewhere, and where bilinear samples are wanted, it lies between two. Either way it is
 * a run of samples with one weight for the first, one for the last and one for all
 * between. */
#include "resize.h"
#include <string.h>

enum { STRIP = 256 };

/* The weights of first, last and what is between; they sum to 1. */
struct run {
    int first, last;
    double w_first, w_between, w_last;
};

static struct run run_at(int dst, int from, int to, enum clfcn_resize how)
{
    struct run r = { dst, dst, 1, 0, 0 };
    if (from > to && how == CLFCN_RESIZE_AREA) {
        /* in units of a to-th of a sample */
        const int64_t begin = (int64_t)dst * from, end = begin + from;
        r.first = (int)(begin / to);
        r.last = (int)((end - 1) / to);
        r.w_first = (double)((int64_t)(r.first + 1) * to - begin) / from;
        r.w_between = (double)to / from;
        r.w_last = (double)(end - (int64_t)r.last * to) / from;
    } else if (from != to) {
        const double at = (dst + 0.5) * from / to - 0.5, pos = at > 0 ? at : 0;
        r.first = (int)pos < from - 1 ? (int)pos : from - 1;
        r.last = r.first + (r.first < from - 1);
        r.w_last = r.last > r.first ? pos - r.first : 0;
        r.w_first = 1 - r.w_last;
    }
    return r;
}

static uint32_t sample(const struct clfcn_image *im, size_t i)
{
    return im->depth == 8 ? im->px.u8[i] : im->px.u16[i];
}

/* Add weight times the mean of a row's run, in each channel. A row has at most
 * CLFCN_IMAGE_MAX_SIDE samples of 16 bits: their sum fits. */
static void add_row(const struct clfcn_image *im, int y, const struct run *x,
                    double weight, double mean[3])
{
    const size_t row = 3 * (size_t)y * (size_t)im->width;
    const size_t first = row + 3 * (size_t)x->first, last = row + 3 * (size_t)x->last;
    uint32_t between[3] = { 0 };
    for (size_t i = first + 3; i < last; i += 3) {
        for (size_t c = 0; c < 3; ++c) {
            between[c] += sample(im, i + c);
        }
    }
    for (size_t c = 0; c < 3; ++c) {
        mean[c] +=
            weight * (x->w_first * sample(im, first + c) + x->w_between * between[c] +
                      x->w_last * sample(im, last + c));
    }
}

static void pixel_mean(const struct clfcn_image *im, const struct run *x,
                       const struct run *y, double mean[3])
{
    mean[0] = mean[1] = mean[2] = 0;
    add_row(im, y->first, x, y->w_first, mean);
    for (int row = y->first + 1; row < y->last; ++row) {
        add_row(im, row, x, y->w_between, mean);
    }
    if (y->last > y->first) {
        add_row(im, y->last, x, y->w_last, mean);
    }
}

/* Where results go: planes of the network's input, or an image of im's depth. */
struct target {
    int width, height;
    float *planes;
    size_t plane_stride;
    struct clfcn_image *image;
};

static void put(const struct target *t, size_t at, double top, const double mean[3])
{
    for (size_t c = 0; c < 3; ++c) {
        if (t->planes) {
            t->planes[c * t->plane_stride + at] =
                ((float)(mean[c] / top) - clfcn_imagenet_mean[c]) / clfcn_imagenet_std[c];
        } else if (t->image->depth == 8) {
            t->image->px.u8[3 * at + c] = (uint8_t)(mean[c] + 0.5);
        } else {
            t->image->px.u16[3 * at + c] = (uint16_t)(mean[c] + 0.5);
        }
    }
}

static void resize(const struct clfcn_image *im, enum clfcn_resize how,
                   const struct target *t)
{
    const double top = im->depth == 8 ? 255 : 65535;
    struct run xs[STRIP];
    for (int x0 = 0; x0 < t->width; x0 += STRIP) {
        const int n = t->width - x0 < STRIP ? t->width - x0 : STRIP;
        for (int i = 0; i < n; ++i) {
            xs[i] = run_at(x0 + i, im->width, t->width, how);
        }
        for (int y = 0; y < t->height; ++y) {
            const struct run ys = run_at(y, im->height, t->height, how);
            const size_t at = (size_t)y * (size_t)t->width + (size_t)x0;
            for (int i = 0; i < n; ++i) {
                double mean[3];
                pixel_mean(im, &xs[i], &ys, mean);
                put(t, at + (size_t)i, top, mean);
            }
        }
    }
}

void clfcn_resize_to_input_as(const struct clfcn_image *im, enum clfcn_resize how,
                              int width, int height, float *out, size_t plane_stride)
{
    const bool shrinks = im->width > width || im->height > height;
    if (how == CLFCN_RESIZE_AREA && shrinks) {
        resize(im, how, &(struct target){ width, height, out, plane_stride, NULL });
    } else {
        clfcn_resize_to_input(im, width, height, out, plane_stride);
    }
}

int clfcn_resize_image(const struct clfcn_image *im, enum clfcn_resize how, int width,
                       int height, struct clfcn_image *out, struct clfcn_err *err)
{
    const int rc = clfcn_image_alloc(out, width, height, 3, im->depth, err);
    if (rc == CLFCN_OK) {
        resize(im, how, &(struct target){ width, height, NULL, 0, out });
    }
    return rc;
}

static const char *const names[] = {
    [CLFCN_RESIZE_BILINEAR] = "bilinear",
    [CLFCN_RESIZE_AREA] = "area",
};
enum { NAMES = sizeof(names) / sizeof(names[0]) };

const char *clfcn_resize_name(enum clfcn_resize resize)
{
    return (unsigned)resize < NAMES ? names[resize] : NULL;
}

int clfcn_resize_parse(const char *s, enum clfcn_resize *out, struct clfcn_err *err)
{
    for (int i = 0; i < NAMES; ++i) {
        if (strcmp(names[i], s) == 0) {
            *out = (enum clfcn_resize)i;
            return CLFCN_OK;
        }
    }
    return clfcn_err_set(err, CLFCN_EINVAL, 0, "no resizing '%s': bilinear or area", s);
}
