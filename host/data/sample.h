/* sample.h - one item of a data set at the network's size, and its place in a batch. */
#ifndef CLFCN_DATA_SAMPLE_H
#define CLFCN_DATA_SAMPLE_H

#include "loader.h"

/* A resized item before augmentation. One allocation, at image; free with free(image). */
struct clfcn_sample {
    float *image;    /* [3][height][width], normalised */
    uint8_t *labels; /* [height][width] */
};

/* Bytes that a sample of so many pixels takes. */
size_t clfcn_sample_bytes(size_t pixels);
/* False, and image NULL, if memory is exhausted. */
bool clfcn_sample_alloc(struct clfcn_sample *s, size_t pixels);

/* Decode and resize an item of desc->set. */
int clfcn_sample_read(const struct clfcn_loader_desc *desc, int item,
                      const struct clfcn_sample *to, struct clfcn_err *err);

/* Copy a sample to place `at` of a batch, mirrored if the augmentation of (seed, epoch,
 * item) says so. Returns its number of labelled pixels. */
int64_t clfcn_sample_place(const struct clfcn_loader_desc *desc,
                           const struct clfcn_sample *from, const struct clfcn_batch *b,
                           int at);

/* Fill the places past count: the first image again, with labels that count nowhere. */
void clfcn_batch_pad(const struct clfcn_loader_desc *desc, const struct clfcn_batch *b);

#endif
