/* window.h - a part of a picture as the network's input. */
#ifndef CLFCN_DATA_WINDOW_H
#define CLFCN_DATA_WINDOW_H

#include "image.h"

/* Which part, in pixels of the picture at the size it is resized to beforehand. What lies
 * outside the picture is its mirror image, the border's pixels doubled. */
struct clfcn_window {
    int picture_width, picture_height;
    int x, y; /* upper left corner */
    int width, height;
};

/* As clfcn_resize_to_input(), of the window alone: out [3][w->height][w->width]. */
void clfcn_window_to_input(const struct clfcn_image *im, const struct clfcn_window *w,
                           float *out, size_t plane_stride);

#endif
