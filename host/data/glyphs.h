/* glyphs.h - a few words on a picture, in a raster font of 5x8 dots. */
#ifndef CLFCN_DATA_GLYPHS_H
#define CLFCN_DATA_GLYPHS_H

#include "image.h"

/* Of one character with the gap behind it, in dots. */
enum { CLFCN_GLYPH_WIDTH = 6, CLFCN_GLYPH_HEIGHT = 8 };

/* Draw text with its upper left corner at (x, y), a dot being scale x scale pixels, into
 * an 8-bit RGB image; what lies outside is cut off. A text wider than `width` pixels ends
 * in
 * "..". A character beyond ASCII is a box. */
void clfcn_text_draw(struct clfcn_image *im, int x, int y, int scale, int width,
                     const uint8_t color[3], const char *text);

#endif
