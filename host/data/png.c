/* png.c - PNG in and out, through libpng.
 *
 * libpng reports errors by longjmp. Everything that must survive one lives in a job
 * struct, which the function that calls setjmp only points to: no local variable can be
 * clobbered. */
#include "codec.h"
#include "../util/file.h"
#include "../util/log.h"
#include "../util/strbuf.h"
#include <errno.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IHDR_END = 8 + 8 + 13 }; /* signature, chunk length and name, IHDR's content */

struct png_job {
    png_structp png;
    png_infop info;
    const char *name;
    struct clfcn_err *err;
    char reason[256]; /* libpng's message, once it has failed */
    bool no_memory;
    /* reading */
    const uint8_t *data;
    size_t size, pos;
    enum clfcn_image_as as;
    struct clfcn_image im;
    png_bytep *rows;
    /* writing */
    const struct clfcn_image *src;
    const uint8_t (*palette)[3];
    int palette_count;
    struct clfcn_strbuf file;
};

static void on_error(png_structp png, png_const_charp msg)
{
    struct png_job *job = png_get_error_ptr(png);
    snprintf(job->reason, sizeof job->reason, "%s", msg);
    job->no_memory = errno == ENOMEM; /* its messages for that are many */
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp msg)
{
    const struct png_job *job = png_get_error_ptr(png);
    clfcn_debug("%s: %s", job->name, msg);
}

static void read_bytes(png_structp png, png_bytep to, size_t n)
{
    struct png_job *job = png_get_io_ptr(png);
    if (n > job->size - job->pos) {
        png_error(png, "the file ends too early");
    }
    memcpy(to, job->data + job->pos, n);
    job->pos += n;
}

static bool png_sniff(const uint8_t *data, size_t size)
{
    return size >= 8 && memcmp(data, "\x89PNG\r\n\x1a\n", 8) == 0;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int png_size(const uint8_t *data, size_t size, const char *name, int *width,
                    int *height, struct clfcn_err *err)
{
    if (size < IHDR_END || memcmp(data + 12, "IHDR", 4) != 0) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "%s: damaged PNG: no header", name);
    }
    const uint32_t w = be32(data + 16), h = be32(data + 20);
    if (w == 0 || h == 0 || w > INT32_MAX || h > INT32_MAX) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "%s: damaged PNG: impossible size",
                             name);
    }
    *width = (int)w;
    *height = (int)h;
    return CLFCN_OK;
}

/* Ask libpng for the samples that enum clfcn_image_as promises. */
static void set_transforms(struct png_job *job)
{
    const png_structp png = job->png;
    const int type = png_get_color_type(png, job->info);
    const int depth = png_get_bit_depth(png, job->info);
    const uint16_t one = 1;

    if (job->as == CLFCN_AS_MASK && depth < 8) {
        png_set_packing(png); /* one byte a sample, its value as stored */
    }
    if (job->as == CLFCN_AS_RGB) {
        png_set_palette_to_rgb(png);
        if (!(type & PNG_COLOR_MASK_COLOR)) {
            png_set_expand_gray_1_2_4_to_8(png);
            png_set_gray_to_rgb(png);
        }
    }
    png_set_strip_alpha(png);
    if (depth == 16 && *(const uint8_t *)&one == 1) {
        png_set_swap(png); /* PNG is big-endian, this host is not */
    }
    png_set_interlace_handling(png);
    png_read_update_info(png, job->info);
}

static int failed(const struct png_job *job)
{
    if (!job->no_memory) {
        return clfcn_err_set(job->err, CLFCN_EDATA, 0, "%s: damaged PNG: %s", job->name,
                             job->reason);
    }
    const int rc = clfcn_err_nomem(job->err);
    clfcn_err_note(job->err, "%s", job->name);
    return rc;
}

static int decode_guarded(struct png_job *job)
{
    errno = 0;
    if (setjmp(png_jmpbuf(job->png))) {
        return failed(job);
    }
    png_set_read_fn(job->png, job, read_bytes);
    png_set_crc_action(job->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_user_limits(job->png, CLFCN_IMAGE_MAX_SIDE, CLFCN_IMAGE_MAX_SIDE);
    /* Texts, profiles and the like: their claims alone would cost gigabytes. */
    png_set_keep_unknown_chunks(job->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(job->png, job->info);
    const bool palette =
        png_get_color_type(job->png, job->info) == PNG_COLOR_TYPE_PALETTE;
    set_transforms(job);

    const int width = (int)png_get_image_width(job->png, job->info);
    const int height = (int)png_get_image_height(job->png, job->info);
    const int channels = png_get_channels(job->png, job->info);
    const int depth = png_get_bit_depth(job->png, job->info);
    const size_t row_bytes = png_get_rowbytes(job->png, job->info);
    if ((channels != 1 && channels != 3) ||
        row_bytes != (size_t)width * (size_t)channels * (size_t)depth / 8) {
        png_error(job->png, "unexpected sample layout");
    }
    if (clfcn_image_alloc(&job->im, width, height, channels, depth, job->err) < 0) {
        return CLFCN_ENOMEM;
    }
    job->im.palette = palette && job->as == CLFCN_AS_MASK;
    job->rows = malloc((size_t)height * sizeof *job->rows);
    if (!job->rows) {
        return clfcn_err_nomem(job->err);
    }
    for (int y = 0; y < height; ++y) {
        job->rows[y] = job->im.px.u8 + (size_t)y * row_bytes;
    }
    png_read_image(job->png, job->rows);
    png_read_end(job->png, NULL);
    return CLFCN_OK;
}

static int png_decode(const uint8_t *data, size_t size, const char *name,
                      enum clfcn_image_as as, struct clfcn_image *out,
                      struct clfcn_err *err)
{
    struct png_job job = {
        .name = name, .err = err, .data = data, .size = size, .as = as
    };
    int rc;
    *out = (struct clfcn_image){ 0 };
    job.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning);
    job.info = job.png ? png_create_info_struct(job.png) : NULL;
    rc = job.info ? decode_guarded(&job) : clfcn_err_nomem(err);
    png_destroy_read_struct(&job.png, &job.info, NULL);
    free(job.rows);
    if (rc < 0) {
        clfcn_image_free(&job.im);
    } else {
        *out = job.im;
    }
    return rc;
}

const struct clfcn_codec clfcn_png_codec = { "PNG", png_sniff, png_size, png_decode };

static void write_bytes(png_structp png, png_bytep from, size_t n)
{
    struct png_job *job = png_get_io_ptr(png);
    clfcn_strbuf_add_bytes(&job->file, from, n);
    if (job->file.failed) {
        errno = ENOMEM;
        png_error(png, "out of memory");
    }
}

static void flush_nothing(png_structp png)
{
    (void)png;
}

static int encode_guarded(struct png_job *job)
{
    const struct clfcn_image *im = job->src;
    errno = 0;
    if (setjmp(png_jmpbuf(job->png))) {
        return job->no_memory ? clfcn_err_nomem(job->err)
                              : clfcn_err_set(job->err, CLFCN_EINVAL, 0, "%s: %s",
                                              job->name, job->reason);
    }
    const int type = job->palette        ? PNG_COLOR_TYPE_PALETTE
                     : im->channels == 1 ? PNG_COLOR_TYPE_GRAY
                                         : PNG_COLOR_TYPE_RGB;
    png_set_write_fn(job->png, job, write_bytes, flush_nothing);
    png_set_IHDR(job->png, job->info, (png_uint_32)im->width, (png_uint_32)im->height, 8,
                 type, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_BASE,
                 PNG_FILTER_TYPE_BASE);
    if (job->palette) {
        png_color entries[256] = { { 0, 0, 0 } };
        for (int i = 0; i < job->palette_count; ++i) {
            entries[i] =
                (png_color){ job->palette[i][0], job->palette[i][1], job->palette[i][2] };
        }
        png_set_PLTE(job->png, job->info, entries, job->palette_count);
    }
    png_write_info(job->png, job->info);
    for (int y = 0; y < im->height; ++y) {
        png_write_row(job->png,
                      im->px.u8 + (size_t)y * (size_t)im->width * (size_t)im->channels);
    }
    png_write_end(job->png, NULL);
    return CLFCN_OK;
}

static int write_job(struct png_job *job, struct clfcn_err *err)
{
    int rc;
    job->err = err;
    job->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, job, on_error, on_warning);
    job->info = job->png ? png_create_info_struct(job->png) : NULL;
    rc = job->info ? encode_guarded(job) : clfcn_err_nomem(err);
    png_destroy_write_struct(&job->png, &job->info);
    if (rc == CLFCN_OK) {
        rc = clfcn_file_write(job->name, job->file.str, job->file.len, err);
    }
    clfcn_strbuf_free(&job->file);
    return rc;
}

int clfcn_png_write(const char *path, const struct clfcn_image *im, struct clfcn_err *err)
{
    struct png_job job = { .name = path, .src = im };
    if (im->depth != 8 || (im->channels != 1 && im->channels != 3)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "%s: only 8-bit gray and RGB are written", path);
    }
    return write_job(&job, err);
}

int clfcn_png_write_indexed(const char *path, const struct clfcn_image *im,
                            const uint8_t (*palette)[3], int count, struct clfcn_err *err)
{
    struct png_job job = {
        .name = path, .src = im, .palette = palette, .palette_count = count
    };
    if (im->depth != 8 || im->channels != 1 || count < 1 || count > 256) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "%s: an indexed PNG has 8-bit samples and 1 to 256 colours",
                             path);
    }
    const size_t pixels = (size_t)im->width * (size_t)im->height;
    for (size_t i = 0; i < pixels; ++i) {
        if (im->px.u8[i] >= count) {
            return clfcn_err_set(err, CLFCN_EINVAL, 0, "%s: index %d in a palette of %d",
                                 path, im->px.u8[i], count);
        }
    }
    return write_job(&job, err);
}
