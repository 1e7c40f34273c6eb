/* thumb.h - labelled pictures, small, on a sheet to look at. */
#ifndef CLFCN_DATA_THUMB_H
#define CLFCN_DATA_THUMB_H

#include "dataset.h"

/* A picture at the size of its place on the sheet. */
struct clfcn_thumb {
    int width, height;
    uint8_t *labels;                /* [height][width] */
    const struct clfcn_image *from; /* borrowed from the pair */
};

/* At the largest size that fits the box. Free with clfcn_thumb_finish(), before the pair.
 */
int clfcn_thumb_init(const struct clfcn_pair *pair, int box_width, int box_height,
                     struct clfcn_thumb *t, struct clfcn_err *err);
void clfcn_thumb_finish(struct clfcn_thumb *t);

/* Draw it onto an 8-bit RGB sheet, under the classes' colours: half transparent, whole at
 * the classes' borders, striped where pixels are ignored. classes NULL: as it is. */
void clfcn_thumb_draw(struct clfcn_image *sheet, const struct clfcn_thumb *t,
                      const struct clfcn_classes *classes, int left, int top);

/* Fill a rectangle within the sheet. */
void clfcn_sheet_fill(struct clfcn_image *sheet, int x, int y, int width, int height,
                      const uint8_t color[3]);

#endif
