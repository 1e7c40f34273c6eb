/* jpeg.c - JPEG in, through libjpeg-turbo; without it, a codec that says so.
 *
 * The default settings of the library (accurate integer DCT, smooth chroma upsampling)
 * give the same pixels as Pillow and torchvision do. */
#include "codec.h"

static bool jpeg_sniff(const uint8_t *data, size_t size)
{
    return size >= 3 && data[0] == 0xff && data[1] == 0xd8 && data[2] == 0xff;
}

#ifdef CLFCN_HAVE_JPEG

#include "../util/log.h"
#include <setjmp.h>
#include <stdio.h> /* jpeglib.h needs it first */
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

const bool clfcn_jpeg_built_in = true;

/* A progressive file has about ten scans. One with thousands is made to keep us busy. */
enum { MAX_SCANS = 100 };

/* Of the coefficients, which progressive files need all at once: six bytes a pixel. */
enum { MAX_WORK_BYTES = 1 << 30 };

/* All state of one decoding; what must survive a longjmp lives here, not in locals. */
struct jpeg_job {
    struct jpeg_decompress_struct dec;
    struct jpeg_error_mgr mgr;
    struct jpeg_progress_mgr progress;
    jmp_buf env;
    char reason[JMSG_LENGTH_MAX];
    const char *name;
    struct clfcn_err *err;
    struct clfcn_image im;
};

static void on_error(j_common_ptr dec)
{
    struct jpeg_job *job = dec->client_data;
    dec->err->format_message(dec, job->reason);
    longjmp(job->env, 1);
}

/* Warnings with which libjpeg goes on and invents the missing pixels. */
static bool is_damage(int code)
{
    switch (code) {
    case JWRN_ARITH_BAD_CODE:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
        return true;
    default:
        return false;
    }
}

static void on_message(j_common_ptr dec, int level)
{
    struct jpeg_job *job = dec->client_data;
    if (level >= 0) {
        return; /* trace messages */
    }
    if (is_damage(dec->err->msg_code)) {
        on_error(dec);
    }
    dec->err->format_message(dec, job->reason);
    clfcn_debug("%s: %s", job->name, job->reason);
}

static void on_progress(j_common_ptr dec)
{
    struct jpeg_job *job = dec->client_data;
    if (job->dec.input_scan_number > MAX_SCANS) {
        snprintf(job->reason, sizeof job->reason, "more than %d scans", MAX_SCANS);
        longjmp(job->env, 1);
    }
}

static int damaged(struct jpeg_job *job)
{
    if (job->mgr.msg_code == JERR_NO_BACKING_STORE) {
        return clfcn_err_set(
            job->err, CLFCN_EDATA, 0,
            "%s: a progressive JPEG of %ux%u pixels takes more than 1 GiB "
            "of memory to decode; convert it to PNG, or scale it down",
            job->name, job->dec.image_width, job->dec.image_height);
    }
    if (job->mgr.msg_code == JERR_OUT_OF_MEMORY) {
        const int rc = clfcn_err_nomem(job->err);
        clfcn_err_note(job->err, "%s", job->name);
        return rc;
    }
    return clfcn_err_set(job->err, CLFCN_EDATA, 0, "%s: damaged JPEG: %s", job->name,
                         job->reason);
}

static void read_header(struct jpeg_job *job, const uint8_t *data, size_t size)
{
    job->dec.client_data = job; /* the first allocation may fail already */
    jpeg_create_decompress(&job->dec);
    job->dec.mem->max_memory_to_use = MAX_WORK_BYTES;
    job->dec.progress = &job->progress;
    jpeg_mem_src(&job->dec, data, (unsigned long)size);
    jpeg_read_header(&job->dec, TRUE);
}

/* A job that is ready for setjmp(job->env); finish with jpeg_destroy_decompress(). */
static void init_job(struct jpeg_job *job, const char *name, struct clfcn_err *err)
{
    memset(job, 0, sizeof *job);
    job->name = name;
    job->err = err;
    job->dec.err = jpeg_std_error(&job->mgr);
    job->dec.client_data = job; /* jpeg_create_decompress() itself may fail */
    job->mgr.error_exit = on_error;
    job->mgr.emit_message = on_message;
    job->progress.progress_monitor = on_progress;
}

static int size_guarded(struct jpeg_job *job, const uint8_t *data, size_t size,
                        int *width, int *height)
{
    if (setjmp(job->env)) {
        return damaged(job);
    }
    read_header(job, data, size);
    *width = (int)job->dec.image_width;
    *height = (int)job->dec.image_height;
    return CLFCN_OK;
}

static int jpeg_size(const uint8_t *data, size_t size, const char *name, int *width,
                     int *height, struct clfcn_err *err)
{
    struct jpeg_job job;
    init_job(&job, name, err);
    const int rc = size_guarded(&job, data, size, width, height);
    jpeg_destroy_decompress(&job.dec);
    return rc;
}

static int check_colors(struct jpeg_job *job)
{
    const J_COLOR_SPACE space = job->dec.jpeg_color_space;
    if (space == JCS_CMYK || space == JCS_YCCK) {
        return clfcn_err_set(job->err, CLFCN_EDATA, 0,
                             "%s: a CMYK JPEG, made for printing; convert it to RGB",
                             job->name);
    }
    if (space != JCS_GRAYSCALE && space != JCS_YCbCr && space != JCS_RGB) {
        return clfcn_err_set(
            job->err, CLFCN_EDATA, 0,
            "%s: a JPEG of %d colour components that is neither gray nor RGB; "
            "convert it to RGB",
            job->name, job->dec.num_components);
    }
    return CLFCN_OK;
}

static int decode_guarded(struct jpeg_job *job, const uint8_t *data, size_t size,
                          enum clfcn_image_as as)
{
    if (setjmp(job->env)) {
        return damaged(job);
    }
    read_header(job, data, size);
    if (check_colors(job) < 0) {
        return CLFCN_EDATA;
    }
    const bool gray = as == CLFCN_AS_MASK && job->dec.jpeg_color_space == JCS_GRAYSCALE;
    job->dec.out_color_space = gray ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(&job->dec);

    if (clfcn_image_alloc(&job->im, (int)job->dec.output_width,
                          (int)job->dec.output_height, job->dec.output_components, 8,
                          job->err) < 0) {
        return CLFCN_ENOMEM;
    }
    const size_t row_bytes = (size_t)job->im.width * (size_t)job->im.channels;
    while (job->dec.output_scanline < job->dec.output_height) {
        JSAMPROW row = job->im.px.u8 + job->dec.output_scanline * row_bytes;
        jpeg_read_scanlines(&job->dec, &row, 1);
    }
    jpeg_finish_decompress(&job->dec);
    return CLFCN_OK;
}

static int jpeg_decode(const uint8_t *data, size_t size, const char *name,
                       enum clfcn_image_as as, struct clfcn_image *out,
                       struct clfcn_err *err)
{
    struct jpeg_job job;
    init_job(&job, name, err);
    const int rc = decode_guarded(&job, data, size, as);
    jpeg_destroy_decompress(&job.dec);
    if (rc < 0) {
        clfcn_image_free(&job.im);
    }
    *out = job.im;
    return rc;
}

#else

const bool clfcn_jpeg_built_in = false;

static int refuse(const char *name, struct clfcn_err *err)
{
    return clfcn_err_set(
        err, CLFCN_EDATA, 0,
        "%s: a JPEG file, and this build of clfcn reads no JPEG; build it with "
        "libjpeg-turbo or convert the file to PNG",
        name);
}

static int jpeg_size(const uint8_t *data, size_t size, const char *name, int *width,
                     int *height, struct clfcn_err *err)
{
    return refuse(name, err);
}

static int jpeg_decode(const uint8_t *data, size_t size, const char *name,
                       enum clfcn_image_as as, struct clfcn_image *out,
                       struct clfcn_err *err)
{
    return refuse(name, err);
}

#endif

const struct clfcn_codec clfcn_jpeg_codec = { "JPEG", jpeg_sniff, jpeg_size,
                                              jpeg_decode };
