/* sample.c - one item of a data set at the network's size, and its place in a batch. */
#include "sample.h"
#include "resize.h"
#include "../util/rng.h"
#include <stdlib.h>
#include <string.h>

size_t clfcn_sample_bytes(size_t pixels)
{
    return pixels * (3 * sizeof(float) + 1);
}

bool clfcn_sample_alloc(struct clfcn_sample *s, size_t pixels)
{
    s->image = malloc(clfcn_sample_bytes(pixels));
    s->labels = s->image ? (uint8_t *)(s->image + 3 * pixels) : NULL;
    return s->image != NULL;
}

static size_t pixels_of(const struct clfcn_loader_desc *desc)
{
    return (size_t)desc->width * (size_t)desc->height;
}

int clfcn_sample_read(const struct clfcn_loader_desc *desc, int item,
                      const struct clfcn_sample *to, struct clfcn_err *err)
{
    struct clfcn_pair pair;
    const int rc = clfcn_dataset_read(desc->set, item, &pair, err);
    if (rc == CLFCN_OK) {
        clfcn_resize_to_input(&pair.image, desc->width, desc->height, to->image,
                              pixels_of(desc));
        clfcn_resize_labels(pair.labels, pair.image.width, pair.image.height, to->labels,
                            desc->width, desc->height);
        clfcn_pair_free(&pair);
    }
    return rc;
}

static bool is_flipped(const struct clfcn_loader_desc *desc, int epoch, int item)
{
    struct clfcn_rng rng;
    if (desc->augment != CLFCN_AUGMENT_FLIP) {
        return false;
    }
    clfcn_rng_init(&rng, desc->seed, "augment", (uint64_t)epoch, (uint64_t)item);
    return clfcn_rng_below(&rng, 2) == 1;
}

int64_t clfcn_sample_place(const struct clfcn_loader_desc *desc,
                           const struct clfcn_sample *from, const struct clfcn_batch *b,
                           int at)
{
    const size_t width = (size_t)desc->width, plane = pixels_of(desc);
    const bool flip = is_flipped(desc, b->epoch, b->items[at]);
    uint8_t *labels = b->labels + (size_t)at * plane;
    int64_t labelled = 0;
    for (size_t c = 0; c < 3; ++c) {
        const float *src = from->image + c * plane;
        float *dst = b->images + (c * (size_t)desc->batch + (size_t)at) * plane;
        if (!flip) {
            memcpy(dst, src, plane * sizeof *dst);
            continue;
        }
        for (size_t row = 0; row < plane; row += width) {
            for (size_t x = 0; x < width; ++x) {
                dst[row + x] = src[row + width - 1 - x];
            }
        }
    }
    for (size_t row = 0; row < plane; row += width) {
        for (size_t x = 0; x < width; ++x) {
            labels[row + x] = from->labels[row + (flip ? width - 1 - x : x)];
            labelled += labels[row + x] != CLFCN_IGNORE;
        }
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
