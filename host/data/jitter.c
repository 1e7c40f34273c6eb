/* jitter.c - changes of colour, and noise, on a picture in the network's frame. */
#include "jitter.h"
#include "resize.h"

enum { STRIP = 256 };

/* The part of a picture that is changed, intensities 0 .. 1 while it is. */
struct view {
    float *plane[3];
    int width, height;
    const struct clfcn_warp *warp; /* NULL: all of it */
};

/* Part of one row. */
struct row {
    float *c[3];
    int n;
};

static struct row row_of(const struct view *v, int y)
{
    int begin = 0, end = v->width;
    struct row row;
    if (v->warp) {
        clfcn_warp_row(v->warp, y, &begin, &end);
    }
    for (int c = 0; c < 3; ++c) {
        row.c[c] = v->plane[c] + (size_t)y * (size_t)v->width + begin;
    }
    row.n = end - begin;
    return row;
}

static float cut(float v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

/* Luma by ITU-R BT.601, with torchvision's digits. */
static float gray(const struct row *row, int i)
{
    return 0.2989f * row->c[0][i] + 0.587f * row->c[1][i] + 0.114f * row->c[2][i];
}

/* v <- scale * v + offset, uncut. */
static void scale_rows(const struct view *v, const float scale[3], const float offset[3])
{
    for (int y = 0; y < v->height; ++y) {
        const struct row row = row_of(v, y);
        for (int c = 0; c < 3; ++c) {
            for (int i = 0; i < row.n; ++i) {
                row.c[c][i] = row.c[c][i] * scale[c] + offset[c];
            }
        }
    }
}

/* v <- factor * v + offset, cut. */
static void change_levels(const struct view *v, float factor, float offset)
{
    for (int y = 0; y < v->height; ++y) {
        const struct row row = row_of(v, y);
        for (int c = 0; c < 3; ++c) {
            for (int i = 0; i < row.n; ++i) {
                row.c[c][i] = cut(factor * row.c[c][i] + offset);
            }
        }
    }
}

static void change_saturation(const struct view *v, float factor)
{
    for (int y = 0; y < v->height; ++y) {
        const struct row row = row_of(v, y);
        for (int i = 0; i < row.n; ++i) {
            const float rest = (1 - factor) * gray(&row, i);
            for (int c = 0; c < 3; ++c) {
                row.c[c][i] = cut(factor * row.c[c][i] + rest);
            }
        }
    }
}

static float mean_gray(const struct view *v)
{
    double sum = 0;
    int64_t n = 0;
    for (int y = 0; y < v->height; ++y) {
        const struct row row = row_of(v, y);
        for (int i = 0; i < row.n; ++i) {
            sum += gray(&row, i);
        }
        n += row.n;
    }
    return n > 0 ? (float)(sum / (double)n) : 0;
}

/* Blend with black, with the picture's mean gray, or with each pixel's own gray. */
static void change_color(const struct view *v, int what, float factor)
{
    if (what == CLFCN_SATURATION) {
        change_saturation(v, factor);
    } else {
        const float with = what == CLFCN_CONTRAST ? mean_gray(v) : 0;
        change_levels(v, factor, (1 - factor) * with);
    }
}

static void add_noise(const struct view *v, double deviation, struct clfcn_rng *rng)
{
    float noise[STRIP];
    for (int y = 0; y < v->height; ++y) {
        const struct row row = row_of(v, y);
        for (int c = 0; c < 3; ++c) {
            for (int x = 0; x < row.n; x += STRIP) {
                const int n = row.n - x < STRIP ? row.n - x : STRIP;
                clfcn_rng_fill_normal(rng, deviation, noise, (size_t)n);
                for (int i = 0; i < n; ++i) {
                    row.c[c][x + i] = cut(row.c[c][x + i] + noise[i]);
                }
            }
        }
    }
}

bool clfcn_augment_jitters(const struct clfcn_augment *a)
{
    return a->brightness != 0 || a->contrast != 0 || a->saturation != 0 || a->noise != 0;
}

void clfcn_jitter(const struct clfcn_augment *a, const struct clfcn_draw *draw,
                  const struct clfcn_warp *warp, struct clfcn_rng *rng, int width,
                  int height, float *image, size_t plane_stride)
{
    const struct view v = {
        { image, image + plane_stride, image + 2 * plane_stride }, width, height, warp
    };
    float scale[3], offset[3];
    scale_rows(&v, clfcn_imagenet_std, clfcn_imagenet_mean);
    for (int k = 0; k < CLFCN_COLOR_CHANGES; ++k) {
        const int what = draw->order[k];
        const float factor = (float)draw->factor[what];
        if (factor != 1) {
            change_color(&v, what, factor);
        }
    }
    if (a->noise != 0) {
        add_noise(&v, a->noise, rng);
    }
    for (int c = 0; c < 3; ++c) {
        scale[c] = 1 / clfcn_imagenet_std[c];
        offset[c] = -clfcn_imagenet_mean[c] / clfcn_imagenet_std[c];
    }
    scale_rows(&v, scale, offset);
}
