/* samples.h - pictures of what the network sees: image, truth and prediction side by
 * side. */
#ifndef CLFCN_TRAIN_SAMPLES_H
#define CLFCN_TRAIN_SAMPLES_H

#include "../data/dataset.h"

/* Blend class colours over an RGB image: out 8-bit RGB, allocated here, of the image's
 * size. Pixels CLFCN_IGNORE stay as they are. alpha 0 .. 1. */
int clfcn_overlay(const struct clfcn_image *image, const uint8_t *labels,
                  const struct clfcn_classes *classes, double alpha,
                  struct clfcn_image *out, struct clfcn_err *err);

/* Write image | truth | prediction as one PNG; no side of a panel is longer than
 * max_side. */
int clfcn_sample_write(const char *path, const struct clfcn_image *image,
                       const uint8_t *truth, const uint8_t *predicted,
                       const struct clfcn_classes *classes, int max_side,
                       struct clfcn_err *err);

#endif
