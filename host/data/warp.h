/* warp.h - a picture and its labels, zoomed, turned and mirrored into the network's frame
 * by one affine map. */
#ifndef CLFCN_DATA_WARP_H
#define CLFCN_DATA_WARP_H

#include "augment.h"
#include "image.h"

/* From the network's frame to a picture, in pixels; the centre of a pixel (i, j) is at
 * (i + 0.5, j + 0.5): x_picture = x[0] * x_frame + x[1] * y_frame + x[2]. */
struct clfcn_warp {
    double x[3], y[3];
    int from_width, from_height; /* of the picture */
    int width, height;           /* of the frame */
};

/* The map of a draw onto a picture of from_width x from_height, which shows at a possibly
 * lower resolution what was full_width x full_height: turning keeps the right angles of
 * the latter. */
struct clfcn_warp clfcn_warp_of(const struct clfcn_draw *draw, int full_width,
                                int full_height, int from_width, int from_height,
                                int width, int height);

/* Which pixels of a row of the frame have their centre in the picture: begin .. end -
 * 1. */
void clfcn_warp_row(const struct clfcn_warp *warp, int y, int *begin, int *end);

/* The network's input, as clfcn_resize_to_input() has it: bilinear samples, several to a
 * pixel where a pixel spans more than two of the picture's (`area`: more than one), and
 * 0, the mean colour, where the picture does not reach. */
void clfcn_warp_to_input(const struct clfcn_warp *warp, const struct clfcn_image *im,
                         enum clfcn_resize how, float *out, size_t plane_stride);

/* The nearest label, CLFCN_IGNORE where there is none: [height][width]. */
void clfcn_warp_labels(const struct clfcn_warp *warp, const uint8_t *labels, uint8_t *out);

#endif
