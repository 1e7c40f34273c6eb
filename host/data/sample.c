/* sample.c - one item of a data set, decoded, and its place in a batch. */
#include "sample.h"
#include "../util/rng.h"
#include "jitter.h"
#include "resize.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t pixels_of(const struct clfcn_loader_desc *desc)
{
    return (size_t)desc->width * (size_t)desc->height;
}

void clfcn_sample_free(struct clfcn_sample *s)
{
    free(s->image); /* with its labels */
    clfcn_pair_free(&s->pair);
    *s = (struct clfcn_sample){ 0 };
}

/* Keep the pair at the network's size. */
static int keep_resized(const struct clfcn_loader_desc *desc, struct clfcn_pair *pair,
                        struct clfcn_sample *out, struct clfcn_err *err)
{
    const size_t plane = pixels_of(desc);
    out->bytes = plane * (3 * sizeof *out->image + 1);
    out->image = malloc(out->bytes);
    if (!out->image) {
        return clfcn_err_nomem(err);
    }
    out->labels = (uint8_t *)(out->image + 3 * plane);
    clfcn_resize_to_input_as(&pair->image, desc->resize, desc->width, desc->height,
                             out->image, plane);
    clfcn_resize_labels(pair->labels, pair->image.width, pair->image.height, out->labels,
                        desc->width, desc->height);
    return CLFCN_OK;
}

/* The side of a picture of which no draw shows more than `shown` pixels. */
static int side_for(int side, double shown)
{
    return side > shown ? (int)ceil(shown) : side;
}

/* Keep the pair's pixels, made fewer where no zoom shows them all, which bounds the
 * cache. That is done by desc->resize, as for validation: pictures should look alike in
 * both. */
static int keep_picture(const struct clfcn_loader_desc *desc, struct clfcn_pair *pair,
                        struct clfcn_sample *out, struct clfcn_err *err)
{
    const double zoom = clfcn_augment_max_zoom(&desc->augment);
    const int width = side_for(pair->image.width, zoom * desc->width);
    const int height = side_for(pair->image.height, zoom * desc->height);
    const size_t pixels = (size_t)width * (size_t)height;
    out->full_width = pair->image.width;
    out->full_height = pair->image.height;
    out->bytes = pixels * (3 * (size_t)pair->image.depth / 8 + 1);
    if (width == out->full_width && height == out->full_height) {
        out->pair = *pair;
        *pair = (struct clfcn_pair){ 0 };
        return CLFCN_OK;
    }
    out->pair.labels = malloc(pixels);
    if (!out->pair.labels) {
        return clfcn_err_nomem(err);
    }
    clfcn_resize_labels(pair->labels, out->full_width, out->full_height, out->pair.labels,
                        width, height);
    return clfcn_resize_image(&pair->image, desc->resize, width, height, &out->pair.image,
                              err);
}

int clfcn_sample_read(const struct clfcn_loader_desc *desc, int item,
                      struct clfcn_sample *out, struct clfcn_err *err)
{
    struct clfcn_pair pair;
    *out = (struct clfcn_sample){ 0 };
    int rc = clfcn_dataset_read(desc->set, item, &pair, err);
    if (rc < 0) {
        return rc;
    }
    rc = clfcn_augment_warps(&desc->augment) ? keep_picture(desc, &pair, out, err)
                                             : keep_resized(desc, &pair, out, err);
    clfcn_pair_free(&pair);
    if (rc < 0) {
        clfcn_sample_free(out);
    }
    return rc;
}

static void copy_row(const float *from, float *to, size_t n, bool flip)
{
    for (size_t x = 0; x < n; ++x) {
        to[x] = from[flip ? n - 1 - x : x];
    }
}

static void copy_labels(const uint8_t *from, uint8_t *to, size_t n, bool flip)
{
    for (size_t x = 0; x < n; ++x) {
        to[x] = from[flip ? n - 1 - x : x];
    }
}

/* Copy a sample that has the network's size, mirrored if need be. */
static void place_resized(const struct clfcn_loader_desc *desc,
                          const struct clfcn_sample *from, const struct clfcn_draw *draw,
                          float *image, size_t stride, uint8_t *labels)
{
    const size_t plane = pixels_of(desc), width = (size_t)desc->width;
    for (size_t row = 0; row < plane; row += width) {
        const size_t src = draw->vflip ? plane - width - row : row;
        for (size_t c = 0; c < 3; ++c) {
            copy_row(from->image + c * plane + src, image + c * stride + row, width,
                     draw->flip);
        }
        copy_labels(from->labels + src, labels + row, width, draw->flip);
    }
}

int64_t clfcn_sample_place(const struct clfcn_loader_desc *desc,
                           const struct clfcn_sample *from, const struct clfcn_batch *b,
                           int at)
{
    const size_t plane = pixels_of(desc), stride = (size_t)desc->batch * plane;
    const int item = b->items[at];
    const struct clfcn_draw draw =
        clfcn_augment_draw(&desc->augment, desc->seed, b->epoch, item);
    const bool warps = from->image == NULL;
    float *image = b->images + (size_t)at * plane;
    uint8_t *labels = b->labels + (size_t)at * plane;
    struct clfcn_warp warp;
    if (warps) {
        warp = clfcn_warp_of(&draw, from->full_width, from->full_height,
                             from->pair.image.width, from->pair.image.height, desc->width,
                             desc->height);
        clfcn_warp_to_input(&warp, &from->pair.image, desc->resize, image, stride);
        clfcn_warp_labels(&warp, from->pair.labels, labels);
    } else {
        place_resized(desc, from, &draw, image, stride, labels);
    }
    if (clfcn_augment_jitters(&desc->augment)) {
        struct clfcn_rng rng;
        clfcn_rng_init(&rng, desc->seed, "noise", (uint64_t)b->epoch, (uint64_t)item);
        clfcn_jitter(&desc->augment, &draw, warps ? &warp : NULL, &rng, desc->width,
                     desc->height, image, stride);
    }
    int64_t labelled = 0;
    for (size_t i = 0; i < plane; ++i) {
        labelled += labels[i] != CLFCN_IGNORE;
    }
    return labelled;
}

void clfcn_batch_pad(const struct clfcn_loader_desc *desc, const struct clfcn_batch *b)
{
    const size_t batch = (size_t)desc->batch, plane = pixels_of(desc);
    for (size_t i = (size_t)b->count; i < batch; ++i) {
        for (size_t c = 0; c < 3; ++c) {
            float *images = b->images + c * batch * plane;
            memcpy(images + i * plane, images, plane * sizeof *images);
        }
        memset(b->labels + i * plane, CLFCN_IGNORE, plane);
    }
}
