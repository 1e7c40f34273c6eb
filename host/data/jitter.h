/* jitter.h - changes of colour, and noise, on a picture in the network's frame. */
#ifndef CLFCN_DATA_JITTER_H
#define CLFCN_DATA_JITTER_H

#include "../util/rng.h"
#include "warp.h"

/* Whether an augmentation changes values at all. */
bool clfcn_augment_jitters(const struct clfcn_augment *augment);

/* Change a normalised picture in place, planes [height][width] plane_stride floats apart:
 * brightness, contrast and saturation by the draw's factors in the draw's order, as
 * torchvision's ColorJitter defines them, intensities being cut at 0 and 1 after each,
 * then noise of the deviation augment->noise from rng. Only what the warp's rows cover;
 * NULL: all of it. */
void clfcn_jitter(const struct clfcn_augment *augment, const struct clfcn_draw *draw,
                  const struct clfcn_warp *warp, struct clfcn_rng *rng, int width,
                  int height, float *image, size_t plane_stride);

#endif
