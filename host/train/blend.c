/* blend.c - the probabilities of overlapping tiles, put together row by row. */
#include "blend.h"
#include <stdlib.h>
#include <string.h>

int clfcn_blend_init(struct clfcn_blend *b, const struct clfcn_blend_desc *d,
                     struct clfcn_err *err)
{
    *b = (struct clfcn_blend){ .desc = *d };
    int rc = clfcn_tiles_init(&b->x, d->cut_width, d->tile_width, d->overlap_x, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_tiles_init(&b->y, d->cut_height, d->tile_height, d->overlap_y, err);
    }
    if (rc < 0) {
        clfcn_blend_finish(b);
        return rc;
    }
    /* A row of the result may lie between the last row that is final and the next. */
    b->rows = d->tile_height + 1;
    b->band = calloc((size_t)d->classes * (size_t)b->rows * (size_t)d->cut_width,
                     sizeof(*b->band));
    b->row = malloc((size_t)d->classes * (size_t)d->width * sizeof(*b->row));
    b->taps = malloc((size_t)d->width * sizeof(*b->taps));
    if (!b->band || !b->row || !b->taps) {
        clfcn_blend_finish(b);
        return clfcn_err_nomem(err);
    }
    for (int x = 0; x < d->width; ++x) {
        b->taps[x] = tap_at(x, d->cut_width, (float)d->cut_width / (float)d->width);
    }
    return CLFCN_OK;
}

void clfcn_blend_finish(struct clfcn_blend *b)
{
    clfcn_tiles_finish(&b->x);
    clfcn_tiles_finish(&b->y);
    free(b->band);
    free(b->row);
    free(b->taps);
    *b = (struct clfcn_blend){ 0 };
}

/* Row y of the cut picture, of class c. */
static float *band_row(const struct clfcn_blend *b, int c, int y)
{
    const size_t row = (size_t)c * (size_t)b->rows + (size_t)(y - b->first);
    return b->band + row * (size_t)b->desc.cut_width;
}

/* Add one row of a tile: src, from the right end if mirrored, times weight and scale. */
static void add_row(float *dst, const float *src, const float *weight, float scale, int n,
                    bool mirrored)
{
    if (mirrored) {
        for (int k = 0; k < n; ++k) {
            dst[k] += scale * weight[k] * src[-k];
        }
    } else {
        for (int k = 0; k < n; ++k) {
            dst[k] += scale * weight[k] * src[k];
        }
    }
}

void clfcn_blend_add(struct clfcn_blend *b, int i, int j, const float *probs,
                     size_t plane_stride, float share, bool mirrored)
{
    const int tile = b->x.tile, left = b->x.origin[i], top = b->y.origin[j];
    const int begin = left < 0 ? -left : 0; /* of the columns inside the picture */
    const int end = tile < b->x.length - left ? tile : b->x.length - left;
    const float *across = b->x.weight + (size_t)i * (size_t)tile + begin;
    const float *down = b->y.weight + (size_t)j * (size_t)b->y.tile;
    for (int c = 0; c < b->desc.classes; ++c) {
        for (int k = 0; k < b->y.tile; ++k) {
            const int y = top + k;
            if (y < 0 || y >= b->y.length) {
                continue;
            }
            const float *src =
                probs + (size_t)c * plane_stride + (size_t)k * (size_t)tile;
            add_row(band_row(b, c, y) + left + begin,
                    src + (mirrored ? tile - 1 - begin : begin), across, share * down[k],
                    end - begin, mirrored);
        }
    }
}

static void sample_row(const struct clfcn_blend *b, struct tap y)
{
    for (int c = 0; c < b->desc.classes; ++c) {
        const float *r0 = band_row(b, c, y.i0), *r1 = band_row(b, c, y.i1);
        float *out = b->row + (size_t)c * (size_t)b->desc.width;
        for (int x = 0; x < b->desc.width; ++x) {
            const struct tap *t = &b->taps[x];
            out[x] = mix(t, &y, r0[t->i0], r0[t->i1], r1[t->i0], r1[t->i1]);
        }
    }
}

/* Let the band begin with row `first` of the cut picture. */
static void advance(struct clfcn_blend *b, int first)
{
    const size_t width = (size_t)b->desc.cut_width, gone = (size_t)(first - b->first);
    const size_t kept = (size_t)b->rows - gone;
    for (int c = 0; c < b->desc.classes; ++c) {
        float *plane = b->band + (size_t)c * (size_t)b->rows * width;
        memmove(plane, plane + gone * width, kept * width * sizeof(*plane));
        memset(plane + kept * width, 0, gone * width * sizeof(*plane));
    }
    b->first = first;
}

int clfcn_blend_take(struct clfcn_blend *b, int j, clfcn_predict_row_fn row, void *user,
                     struct clfcn_err *err)
{
    const struct clfcn_blend_desc *d = &b->desc;
    const float scale = (float)d->cut_height / (float)d->height;
    const int final = j + 1 < b->y.count ? b->y.origin[j + 1] : d->cut_height;
    int keep = final; /* the first row that is needed again */
    for (; b->next < d->height; ++b->next) {
        const struct tap y = tap_at(b->next, d->cut_height, scale);
        if (y.i1 >= final) {
            keep = y.i0 < final ? y.i0 : final;
            break;
        }
        sample_row(b, y);
        const int rc = row(user, b->next, b->row, err);
        if (rc < 0) {
            return rc;
        }
    }
    advance(b, keep);
    return CLFCN_OK;
}
