/* samples.c - class colours over photographs, and three panels side by side. */
#include "samples.h"

#include <string.h>

enum { PANELS = 3 };
static const double panel_alpha = 0.6;

/* A sample of an 8 or 16 bit image as 8 bits. */
static uint8_t sample8(const struct clfcn_image *im, size_t i)
{
    return im->depth == 16 ? (uint8_t)(im->px.u16[i] >> 8) : im->px.u8[i];
}

/* One pixel of the overlay: rgb receives the image's colour at pixel `from`, blended. */
static void blend(const struct clfcn_image *image, size_t from, uint8_t label,
                  const struct clfcn_classes *classes, double alpha, uint8_t *rgb)
{
    const double a =
        label < classes->count ? alpha : 0; /* CLFCN_IGNORE is past every class */
    for (int c = 0; c < 3; ++c) {
        const size_t channel = image->channels == 3 ? (size_t)c : 0;
        const double photo = sample8(image, from * (size_t)image->channels + channel);
        const double paint = a > 0 ? classes->list[label].color[c] : 0;
        rgb[c] = (uint8_t)((1 - a) * photo + a * paint + 0.5);
    }
}

int clfcn_overlay(const struct clfcn_image *image, const uint8_t *labels,
                  const struct clfcn_classes *classes, double alpha,
                  struct clfcn_image *out, struct clfcn_err *err)
{
    int rc = clfcn_image_alloc(out, image->width, image->height, 3, 8, err);
    if (rc < 0) {
        return rc;
    }
    const size_t pixels = (size_t)image->width * (size_t)image->height;
    for (size_t i = 0; i < pixels; ++i) {
        blend(image, i, labels[i], classes, alpha, out->px.u8 + 3 * i);
    }
    return CLFCN_OK;
}

/* A side of an image whose longer side is to be at most max_side. */
static int scaled(int side, int longer, int max_side)
{
    const int to = longer > max_side ? (int)((int64_t)side * max_side / longer) : side;
    return to > 0 ? to : 1;
}

int clfcn_sample_write(const char *path, const struct clfcn_image *image,
                       const uint8_t *truth, const uint8_t *predicted,
                       const struct clfcn_classes *classes, int max_side,
                       struct clfcn_err *err)
{
    const int longer = image->width > image->height ? image->width : image->height;
    const int width = scaled(image->width, longer, max_side);
    const int height = scaled(image->height, longer, max_side);
    struct clfcn_image strip;
    int rc = clfcn_image_alloc(&strip, PANELS * width, height, 3, 8, err);
    if (rc < 0) {
        return rc;
    }
    for (int y = 0; y < height; ++y) {
        const int64_t from_y = (int64_t)y * image->height / height;
        uint8_t *row = strip.px.u8 + (size_t)y * PANELS * (size_t)width * 3;
        for (int x = 0; x < width; ++x) {
            const int64_t from_x = (int64_t)x * image->width / width;
            const size_t from = (size_t)(from_y * image->width + from_x);
            uint8_t *rgb = row + 3 * (size_t)x;
            blend(image, from, CLFCN_IGNORE, classes, 0, rgb);
            blend(image, from, truth[from], classes, panel_alpha,
                  rgb + 3 * (size_t)width);
            blend(image, from, predicted[from], classes, panel_alpha,
                  rgb + 6 * (size_t)width);
        }
    }
    rc = clfcn_png_write(path, &strip, err);
    clfcn_image_free(&strip);
    return rc;
}
