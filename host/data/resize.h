/* resize.h - sampling images, masks and logits at another size; pixel centres aligned. */
#ifndef CLFCN_DATA_RESIZE_H
#define CLFCN_DATA_RESIZE_H

#include "image.h"
#include <clfcn/data.h>

/* The network's input: RGB in [0,1], resized bilinear (as PyTorch's interpolate with
 * align_corners=False, no antialias), minus the ImageNet mean, over its deviation.
 * out float [3][height][width], planes plane_stride floats apart. im is RGB, 8 or 16 bit.
 * An image that has the size already is converted, not sampled. */
void clfcn_resize_to_input(const struct clfcn_image *im, int width, int height,
                           float *out, size_t plane_stride);

/* The same, and with CLFCN_RESIZE_AREA along each axis that shrinks: the mean over what a
 * pixel covers. (resize_area.c) */
void clfcn_resize_to_input_as(const struct clfcn_image *im, enum clfcn_resize how,
                              int width, int height, float *out, size_t plane_stride);
/* An RGB picture of another size and the same depth, likewise. (resize_area.c) */
int clfcn_resize_image(const struct clfcn_image *im, enum clfcn_resize how, int width,
                       int height, struct clfcn_image *out, struct clfcn_err *err);

/* Nearest neighbour by pixel centres: source x = floor((x + 0.5) * from / to). */
void clfcn_resize_labels(const uint8_t *src, int from_w, int from_h, uint8_t *dst,
                         int to_w, int to_h);

/* Class of each pixel at another size: bilinear logits, then the largest; ties go to the
 * lower class. logits float, class planes plane_stride floats apart, each
 * [from_h][from_w]. */
void clfcn_resize_argmax(const float *logits, int classes, size_t plane_stride,
                         int from_w, int from_h, uint8_t *dst, int to_w, int to_h);

int clfcn_resize_parse(const char *s, enum clfcn_resize *out, struct clfcn_err *err);

extern const float clfcn_imagenet_mean[3], clfcn_imagenet_std[3];

#endif
