/* thumb.c - labelled pictures, small, on a sheet to look at. */
#include "thumb.h"
#include "resize.h"
#include <stdlib.h>
#include <string.h>

static uint8_t *pixel(struct clfcn_image *im, int x, int y)
{
    return im->px.u8 + 3 * ((size_t)y * (size_t)im->width + (size_t)x);
}

void clfcn_sheet_fill(struct clfcn_image *sheet, int x, int y, int width, int height,
                      const uint8_t color[3])
{
    for (int j = y; j < y + height; ++j) {
        for (int i = x; i < x + width; ++i) {
            memcpy(pixel(sheet, i, j), color, 3);
        }
    }
}

/* The mean of the picture's pixels that fall on pixel (x, y) of the thumb. */
static void shrink(const struct clfcn_thumb *t, int x, int y, uint8_t out[3])
{
    const struct clfcn_image *im = t->from;
    const int x0 = (int)((int64_t)x * im->width / t->width);
    const int y0 = (int)((int64_t)y * im->height / t->height);
    int x1 = (int)((int64_t)(x + 1) * im->width / t->width);
    int y1 = (int)((int64_t)(y + 1) * im->height / t->height);
    uint64_t sum[3] = { 0 };
    x1 = x1 > x0 ? x1 : x0 + 1;
    y1 = y1 > y0 ? y1 : y0 + 1;
    for (int j = y0; j < y1; ++j) {
        for (int i = x0; i < x1; ++i) {
            const size_t at = 3 * ((size_t)j * (size_t)im->width + (size_t)i);
            for (size_t c = 0; c < 3; ++c) {
                sum[c] += im->depth == 16 ? im->px.u16[at + c] >> 8u
                                          : (unsigned)im->px.u8[at + c];
            }
        }
    }
    for (int c = 0; c < 3; ++c) {
        out[c] = (uint8_t)(sum[c] / (uint64_t)((x1 - x0) * (y1 - y0)));
    }
}

/* Whether a pixel's right or lower neighbour has another label. */
static bool at_edge(const struct clfcn_thumb *t, int x, int y)
{
    const uint8_t *label = t->labels + (size_t)y * (size_t)t->width + (size_t)x;
    return (x + 1 < t->width && label[1] != *label) ||
           (y + 1 < t->height && label[t->width] != *label);
}

/* Lay the class's colour half transparent over a pixel, whole at the classes' borders;
 * what is ignored is striped. */
static void tint(const struct clfcn_classes *classes, const struct clfcn_thumb *t, int x,
                 int y, uint8_t rgb[3])
{
    const int label = t->labels[(size_t)y * (size_t)t->width + (size_t)x];
    uint8_t stripe[3];
    memset(stripe, (x + y) % 8 < 4 ? 255 : 0, 3);
    const uint8_t *over = label == CLFCN_IGNORE ? stripe : classes->list[label].color;
    const int part = at_edge(t, x, y) ? 4 : 2;
    for (int c = 0; c < 3; ++c) {
        rgb[c] = (uint8_t)((rgb[c] * (4 - part) + over[c] * part) / 4);
    }
}

void clfcn_thumb_draw(struct clfcn_image *sheet, const struct clfcn_thumb *t,
                      const struct clfcn_classes *classes, int left, int top)
{
    for (int y = 0; y < t->height; ++y) {
        for (int x = 0; x < t->width; ++x) {
            uint8_t rgb[3];
            shrink(t, x, y, rgb);
            if (classes) {
                tint(classes, t, x, y, rgb);
            }
            memcpy(pixel(sheet, left + x, top + y), rgb, 3);
        }
    }
}

int clfcn_thumb_init(const struct clfcn_pair *pair, int box_width, int box_height,
                     struct clfcn_thumb *t, struct clfcn_err *err)
{
    const int64_t w = pair->image.width, h = pair->image.height;
    const bool wide = w * box_height > h * box_width;
    t->from = &pair->image;
    t->width = wide ? box_width : (int)(w * box_height / h);
    t->height = wide ? (int)(h * box_width / w) : box_height;
    t->width = t->width > 0 ? t->width : 1;
    t->height = t->height > 0 ? t->height : 1;
    t->labels = malloc((size_t)t->width * (size_t)t->height);
    if (!t->labels) {
        return clfcn_err_nomem(err);
    }
    clfcn_resize_labels(pair->labels, pair->image.width, pair->image.height, t->labels,
                        t->width, t->height);
    return CLFCN_OK;
}

void clfcn_thumb_finish(struct clfcn_thumb *t)
{
    free(t->labels);
    *t = (struct clfcn_thumb){ 0 };
}
