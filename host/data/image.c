/* image.c - the front end of the codecs: which one, and within which limits. */
#include "codec.h"
#include "../util/file.h"
#include "../util/path.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct clfcn_codec *const codecs[] = { &clfcn_png_codec, &clfcn_jpeg_codec };

/* Formats that people do have, but that clfcn does not read; only to name them in the
 * message. */
static const struct {
    const char *kind;
    size_t offset;
    const char *magic;
} foreign[] = {
    { "GIF", 0, "GIF8" },     { "BMP", 0, "BM" },       { "TIFF", 0, "II*" },
    { "TIFF", 0, "MM" },      { "WebP", 8, "WEBP" },    { "HEIF or AVIF", 4, "ftyp" },
    { "PDF", 0, "%PDF" },
};

int clfcn_input_error(int rc, struct clfcn_err *err)
{
    if (rc != CLFCN_EIO) {
        return rc;
    }
    if (err) {
        err->code = CLFCN_EDATA;
    }
    return CLFCN_EDATA;
}

int clfcn_image_alloc(struct clfcn_image *im, int width, int height, int channels,
                      int depth, struct clfcn_err *err)
{
    *im = (struct clfcn_image){ .width = width, .height = height, .channels = channels,
                                .depth = depth };
    im->px.u8 =
        calloc((size_t)width * (size_t)height, (size_t)channels * (size_t)depth / 8);
    if (!im->px.u8) {
        *im = (struct clfcn_image){ 0 };
        return clfcn_err_nomem(err);
    }
    return CLFCN_OK;
}

void clfcn_image_free(struct clfcn_image *im)
{
    if (im) {
        free(im->px.u8);
        *im = (struct clfcn_image){ 0 };
    }
}

static int not_an_image(const uint8_t *data, size_t size, const char *name,
                        struct clfcn_err *err)
{
    if (size == 0) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "%s: the file is empty", name);
    }
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; ++i) {
        const size_t n = strlen(foreign[i].magic);
        if (size >= foreign[i].offset + n &&
            memcmp(data + foreign[i].offset, foreign[i].magic, n) == 0) {
            return clfcn_err_set(
                err, CLFCN_EDATA, 0,
                "%s: looks like a %s file, which clfcn does not read; convert it to PNG",
                name, foreign[i].kind);
        }
    }
    return clfcn_err_set(err, CLFCN_EDATA, 0, "%s: not a PNG or JPEG image", name);
}

/* Find the codec and the size, and refuse what is beyond the limits. */
static int open_header(const uint8_t *data, size_t size, const char *name,
                       const struct clfcn_codec **codec, int *width, int *height,
                       struct clfcn_err *err)
{
    *codec = NULL;
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs && !*codec; ++i) {
        if (codecs[i]->sniff(data, size)) {
            *codec = codecs[i];
        }
    }
    if (!*codec) {
        return not_an_image(data, size, name, err);
    }
    const int rc = (*codec)->size(data, size, name, width, height, err);
    if (rc < 0) {
        return rc;
    }
    if (*width > CLFCN_IMAGE_MAX_SIDE || *height > CLFCN_IMAGE_MAX_SIDE) {
        return clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "%s: the image is %dx%d pixels, the limit is %d a side; scale it down",
            name, *width, *height, CLFCN_IMAGE_MAX_SIDE);
    }
    if ((int64_t)*width * *height > CLFCN_IMAGE_MAX_PIXELS) {
        return clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "%s: the image is %dx%d pixels, the limit is %lld in all; scale it down",
            name, *width, *height, (long long)CLFCN_IMAGE_MAX_PIXELS);
    }
    return CLFCN_OK;
}

int clfcn_image_decode(const void *data, size_t size, const char *name,
                       enum clfcn_image_as as, struct clfcn_image *out,
                       struct clfcn_err *err)
{
    const struct clfcn_codec *codec;
    int width, height;
    *out = (struct clfcn_image){ 0 };
    const int rc = open_header(data, size, name, &codec, &width, &height, err);
    return rc < 0 ? rc : codec->decode(data, size, name, as, out, err);
}

int clfcn_image_read(const char *path, enum clfcn_image_as as, struct clfcn_image *out,
                     struct clfcn_err *err)
{
    char *data = NULL;
    size_t size = 0;
    *out = (struct clfcn_image){ 0 };
    int rc = clfcn_file_read(path, CLFCN_IMAGE_MAX_BYTES, &data, &size, err);
    if (rc < 0) {
        return clfcn_input_error(rc, err);
    }
    rc = clfcn_image_decode(data, size, path, as, out, err);
    free(data);
    return rc;
}

int clfcn_image_size(const char *path, int *width, int *height, struct clfcn_err *err)
{
    const struct clfcn_codec *codec;
    char *data = NULL;
    size_t size = 0;
    int rc = clfcn_file_read(path, CLFCN_IMAGE_MAX_BYTES, &data, &size, err);
    if (rc < 0) {
        return clfcn_input_error(rc, err);
    }
    rc = open_header((uint8_t *)data, size, path, &codec, width, height, err);
    free(data);
    return rc;
}

bool clfcn_image_name_ok(const char *name)
{
    const char *ext = clfcn_path_ext(name);
    return strcasecmp(ext, "png") == 0 ||
           (clfcn_jpeg_built_in && clfcn_image_name_is_jpeg(name));
}

bool clfcn_image_name_is_jpeg(const char *name)
{
    const char *ext = clfcn_path_ext(name);
    return strcasecmp(ext, "jpg") == 0 || strcasecmp(ext, "jpeg") == 0;
}
