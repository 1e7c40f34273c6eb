/* preview.h - what training will make of pictures, to look at before. */
#ifndef CLFCN_DATA_PREVIEW_H
#define CLFCN_DATA_PREVIEW_H

#include "loader.h"

enum { CLFCN_PREVIEW_MAX = 50 };

/* Draw `pictures` of a set, evenly spread over it, into a PNG file: each in a row, as
 * the network gets it without augmentation and then in the first epochs of a training
 * with desc->seed, above the same under the classes' colours. Of desc set, width, height,
 * resize, augment and seed count. pictures is 1 .. CLFCN_PREVIEW_MAX and at most the
 * set's; *drawn receives it. */
int clfcn_preview_draw(const struct clfcn_loader_desc *desc, int pictures,
                       const char *path, int *drawn, struct clfcn_err *err);

#endif
