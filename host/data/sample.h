/* sample.h - one item of a data set as the loader keeps it, and its place in a batch. */
#ifndef CLFCN_DATA_SAMPLE_H
#define CLFCN_DATA_SAMPLE_H

#include "loader.h"

/* An item before augmentation. Where that only mirrors it or changes its colours, the
 * item is at the network's size already; where it zooms or turns, it is the decoded
 * picture, but no larger than the largest zoom can show. Zero-initialised is empty. */
struct clfcn_sample {
    size_t bytes;    /* of memory, 0: empty */
    float *image;    /* [3][height][width], normalised; NULL: it is pair */
    uint8_t *labels; /* [height][width] */
    struct clfcn_pair pair;
    int full_width, full_height; /* of the picture, before it was made smaller */
};

void clfcn_sample_free(struct clfcn_sample *s);

/* Decode an item of desc->set. Free with clfcn_sample_free(); empty on error. */
int clfcn_sample_read(const struct clfcn_loader_desc *desc, int item,
                      struct clfcn_sample *out, struct clfcn_err *err);

/* Put a sample into place `at` of a batch, changed as the augmentation of (seed, epoch,
 * item) says. Returns its number of labelled pixels. */
int64_t clfcn_sample_place(const struct clfcn_loader_desc *desc,
                           const struct clfcn_sample *from, const struct clfcn_batch *b,
                           int at);

/* Fill the places past count: the first image again, with labels that count nowhere. */
void clfcn_batch_pad(const struct clfcn_loader_desc *desc, const struct clfcn_batch *b);

#endif
