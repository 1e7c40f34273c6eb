/* image.h - decoded pictures, and the codecs behind one front end. */
#ifndef CLFCN_DATA_IMAGE_H
#define CLFCN_DATA_IMAGE_H

#include "../util/err.h"

/* Rows from the top, samples interleaved, no padding. */
struct clfcn_image {
    int width, height;
    int channels;  /* 1: gray value or palette index; 3: RGB */
    int depth;     /* bits a sample: 8 or 16 */
    bool palette;  /* samples are palette indices */
    union {
        uint8_t *u8;
        uint16_t *u16; /* host byte order */
    } px;
};

/* Reading limits: a file that claims more is refused before anything is allocated. */
enum { CLFCN_IMAGE_MAX_SIDE = 32768 };
#define CLFCN_IMAGE_MAX_PIXELS (INT64_C(1) << 28)
#define CLFCN_IMAGE_MAX_BYTES ((size_t)1 << 30) /* of the file */

enum clfcn_image_as {
    CLFCN_AS_RGB, /* gray and palette expanded to RGB, alpha dropped */
    CLFCN_AS_MASK /* gray stays gray (below 8 bits: the stored value, unscaled), palette
                     gives indices, RGB stays RGB, alpha dropped */
};

/* Decode a PNG or JPEG file; its kind is told by its first bytes, not by its name.
 * CLFCN_EDATA names the file and the reason (missing or unreadable, not an image, damaged
 * or truncated, too large, no JPEG support built in). An orientation in EXIF data is not
 * applied. */
int clfcn_image_read(const char *path, enum clfcn_image_as as, struct clfcn_image *out,
                     struct clfcn_err *err);
/* The same from memory; name stands for the file in messages. */
int clfcn_image_decode(const void *data, size_t size, const char *name,
                       enum clfcn_image_as as, struct clfcn_image *out,
                       struct clfcn_err *err);
/* Width and height from the header alone. */
int clfcn_image_size(const char *path, int *width, int *height, struct clfcn_err *err);
/* Allocate pixels, zeroed. */
int clfcn_image_alloc(struct clfcn_image *im, int width, int height, int channels,
                      int depth, struct clfcn_err *err);
void clfcn_image_free(struct clfcn_image *im);

/* Write an 8-bit gray or RGB image as PNG, atomically. */
int clfcn_png_write(const char *path, const struct clfcn_image *im,
                    struct clfcn_err *err);
/* Write an 8-bit one-channel image as an indexed PNG with count colours (r,g,b). */
int clfcn_png_write_indexed(const char *path, const struct clfcn_image *im,
                            const uint8_t (*palette)[3], int count,
                            struct clfcn_err *err);

/* Whether a file name's extension is one this build can read (png, jpg, jpeg), in any
 * case. */
bool clfcn_image_name_ok(const char *name);
/* Whether it is one of JPEG, which this build may not be able to read. */
bool clfcn_image_name_is_jpeg(const char *name);

/* A file of the user's that cannot be read is bad input: turns CLFCN_EIO, in *err too,
 * into CLFCN_EDATA and returns other statuses as they are. */
int clfcn_input_error(int rc, struct clfcn_err *err);

#endif
