/* codec.h - what one file format provides to the front end in image.c. */
#ifndef CLFCN_DATA_CODEC_H
#define CLFCN_DATA_CODEC_H

#include "image.h"

/* One static table a format; every slot is required. Messages begin with name. */
struct clfcn_codec {
    const char *kind; /* "PNG" */
    bool (*sniff)(const uint8_t *data, size_t size);
    /* Width and height from the header, not yet checked against the limits. */
    int (*size)(const uint8_t *data, size_t size, const char *name, int *width,
                int *height, struct clfcn_err *err);
    /* Decode a picture whose size has been found to be within the limits. */
    int (*decode)(const uint8_t *data, size_t size, const char *name,
                  enum clfcn_image_as as, struct clfcn_image *out, struct clfcn_err *err);
};

extern const struct clfcn_codec clfcn_png_codec;  /* png.c */
extern const struct clfcn_codec clfcn_jpeg_codec; /* jpeg.c */

/* Whether the JPEG codec decodes, or only says that it cannot. */
extern const bool clfcn_jpeg_built_in;

#endif
