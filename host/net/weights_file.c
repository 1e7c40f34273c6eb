/* weights_file.c - telling the formats apart, and elements out of a tensor. */
#include "weights_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensor data is little-endian and is used without conversion"
#endif

/* --- opening --- */

int clfcn_weights_read(const struct clfcn_weights_file *f, uint64_t at, void *to,
                       size_t n, struct clfcn_err *err)
{
    if (f->bytes == NULL) {
        return clfcn_reader_read(&f->reader, at, to, n, err);
    }
    memcpy(to, f->bytes + at, n);
    return CLFCN_OK;
}

/* The first bytes of safetensors are the length of a header that begins with '{'. */
static int read_tensors(struct clfcn_weights_file *f, struct clfcn_err *err)
{
    unsigned char b[9] = { 0 };
    const int rc = clfcn_weights_read(
        f, 0, b, f->size < sizeof(b) ? (size_t)f->size : sizeof(b), err);
    if (rc < 0) {
        return rc;
    }
    if (f->size >= 4 && memcmp(b, "PK\3\4", 4) == 0) {
        return clfcn_torch_zip_read(f, err);
    }
    if (f->size >= 2 && b[0] == 0x80 && b[1] <= 5 && (f->size < 9 || b[8] != '{')) {
        return clfcn_torch_stream_read(f, err);
    }
    return clfcn_safetensors_read(f, err);
}

int clfcn_weights_open_memory(const void *bytes, size_t size,
                              struct clfcn_weights_file *out, struct clfcn_err *err)
{
    *out = (struct clfcn_weights_file){ .bytes = bytes, .size = size };
    const int rc = read_tensors(out, err);
    if (rc < 0) {
        clfcn_weights_close(out);
    }
    return rc;
}

int clfcn_weights_open(const char *path, struct clfcn_weights_file *out,
                       struct clfcn_err *err)
{
    *out = (struct clfcn_weights_file){ 0 };
    int rc = clfcn_reader_open(&out->reader, path, err);
    if (rc < 0) {
        return rc;
    }
    out->size = out->reader.size;
    rc = read_tensors(out, err);
    if (rc < 0) {
        clfcn_err_note(err, "%s", path);
        clfcn_weights_close(out);
    }
    return rc;
}

void clfcn_weights_close(struct clfcn_weights_file *f)
{
    if (f == NULL) {
        return;
    }
    for (int i = 0; i < f->count; ++i) {
        free(f->tensors[i].name);
    }
    free(f->tensors);
    free(f->metadata);
    clfcn_torch_zip_close(&f->zip);
    clfcn_reader_close(&f->reader);
    *f = (struct clfcn_weights_file){ 0 };
}

const struct clfcn_weights_tensor *clfcn_weights_find(const struct clfcn_weights_file *f,
                                                      const char *name)
{
    for (int i = 0; i < f->count; ++i) {
        if (strcmp(f->tensors[i].name, name) == 0) {
            return &f->tensors[i];
        }
    }
    return NULL;
}

bool clfcn_weights_name_ok(const char *name)
{
    size_t n = 0;
    while (n < 256 && name[n] >= ' ' && name[n] <= '~') {
        ++n;
    }
    return n > 0 && n < 256 && !name[n];
}

/* --- shapes --- */

static const char too_large[] = "has a shape too large for any file";

/* *to += a * b, unless that leaves int64_t. a, b and *to are >= 0. */
static bool add_product(int64_t *to, int64_t a, int64_t b)
{
    if (a > 0 && b > (INT64_MAX - *to) / a) {
        return false;
    }
    *to += a * b;
    return true;
}

const char *clfcn_weights_lay_out(struct clfcn_weights_tensor *t, size_t item_bytes,
                                  bool strided)
{
    int64_t row = 1, last = 0; /* elements of what lies in a row; index of the last one */
    bool empty = false;
    for (int i = t->ndim - 1; i >= 0; --i) {
        if (t->dims[i] < 0 || (strided && t->strides[i] < 0)) {
            return "has a dimension that is no size";
        }
        if (!strided) {
            t->strides[i] = row;
        }
        if (t->dims[i] <= 1) { /* never stepped along: any number may stand there */
            t->strides[i] = 0;
            empty = empty || t->dims[i] == 0;
            continue;
        }
        int64_t next = 0;
        if (!add_product(&last, t->dims[i] - 1, t->strides[i]) ||
            !add_product(&next, row, t->dims[i])) {
            return too_large;
        }
        row = next;
    }
    const int64_t most = (int64_t)(PTRDIFF_MAX / item_bytes);
    if (row > most || last >= most) {
        return too_large;
    }
    t->count = empty ? 0 : (size_t)row;
    t->bytes = t->count * item_bytes;
    t->span = empty ? 0 : ((size_t)last + 1) * item_bytes;
    return NULL;
}

/* --- elements --- */

static float half_to_float(uint16_t h)
{
    const int exponent = (h >> 10) & 31, mantissa = h & 1023;
    float x;
    if (exponent == 31) {
        x = mantissa != 0 ? NAN : INFINITY;
    } else if (exponent == 0) {
        x = ldexpf((float)mantissa, -24);
    } else {
        x = ldexpf((float)(mantissa + 1024), exponent - 25);
    }
    return (h & 0x8000) != 0 ? -x : x;
}

static float bfloat_to_float(uint16_t b)
{
    const uint32_t bits = (uint32_t)b << 16;
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

static float to_float(enum clfcn_dtype dtype, const unsigned char *from)
{
    float x;
    double wide;
    uint16_t bits;
    switch (dtype) {
    case CLFCN_F16:
        memcpy(&bits, from, sizeof(bits));
        return half_to_float(bits);
    case CLFCN_BF16:
        memcpy(&bits, from, sizeof(bits));
        return bfloat_to_float(bits);
    case CLFCN_F64:
        memcpy(&wide, from, sizeof(wide));
        return (float)wide;
    default:
        memcpy(&x, from, sizeof(x));
        return x;
    }
}

/* Go to the next element in row-major order: index counts up like an odometer, and *at,
 * its element in the storage, follows by the strides. */
static void advance(const struct clfcn_weights_tensor *t, int64_t *index, int64_t *at)
{
    for (int i = t->ndim - 1; i >= 0; --i) {
        *at += t->strides[i];
        if (++index[i] < t->dims[i]) {
            return;
        }
        *at -= t->strides[i] * t->dims[i];
        index[i] = 0;
    }
}

/* Whether the elements lie one behind the other in row-major order. */
static bool in_a_row(const struct clfcn_weights_tensor *t)
{
    int64_t row = 1;
    for (int i = t->ndim - 1; i >= 0; --i) {
        if (t->dims[i] > 1 && t->strides[i] != row) {
            return false;
        }
        row *= t->dims[i];
    }
    return true;
}

/* The bytes from a tensor's first element on, borrowed; *own receives what must be freed
 * once they are used. */
static int fetch(const struct clfcn_weights_file *f, const struct clfcn_weights_tensor *t,
                 const unsigned char **data, unsigned char **own, struct clfcn_err *err)
{
    *data = t->data;
    *own = NULL;
    if (t->data || t->count == 0) {
        return CLFCN_OK;
    }
    if (f->zip) {
        return clfcn_torch_zip_fetch(f, t, data, err);
    }
    *data = *own = malloc(t->span);
    return *own ? clfcn_reader_read(&f->reader, t->offset, *own, t->span, err)
                : clfcn_err_nomem(err);
}

int clfcn_weights_floats(const struct clfcn_weights_file *f,
                         const struct clfcn_weights_tensor *t, float *out,
                         struct clfcn_err *err)
{
    static const size_t item[] = {
        [CLFCN_F32] = 4, [CLFCN_F16] = 2, [CLFCN_BF16] = 2, [CLFCN_F64] = 8
    };
    const unsigned char *data;
    unsigned char *own;
    if (t->dtype > CLFCN_F64) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "tensor '%.80s' holds no floating-point numbers", t->name);
    }
    const bool plain = t->dtype == CLFCN_F32 && t->count > 0 && in_a_row(t);
    if (plain && !t->data && !f->zip) {
        return clfcn_reader_read(&f->reader, t->offset, out, t->bytes, err);
    }
    const int rc = fetch(f, t, &data, &own, err);
    if (rc == CLFCN_OK && plain) {
        memcpy(out, data, t->bytes);
        return CLFCN_OK;
    }
    int64_t index[CLFCN_MAX_DIMS] = { 0 }, at = 0;
    for (size_t i = 0; rc == CLFCN_OK && i < t->count; ++i) {
        out[i] = to_float(t->dtype, data + (size_t)at * item[t->dtype]);
        advance(t, index, &at);
    }
    free(own);
    return rc;
}

int clfcn_weights_integers(const struct clfcn_weights_file *f,
                           const struct clfcn_weights_tensor *t, int64_t *out,
                           struct clfcn_err *err)
{
    const unsigned char *data;
    unsigned char *own;
    if (t->dtype != CLFCN_I64) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "'%.80s' is not a 64-bit integer",
                             t->name);
    }
    const int rc = fetch(f, t, &data, &own, err);
    int64_t index[CLFCN_MAX_DIMS] = { 0 }, at = 0;
    for (size_t i = 0; rc == CLFCN_OK && i < t->count; ++i) {
        memcpy(&out[i], data + (size_t)at * sizeof(*out), sizeof(*out));
        advance(t, index, &at);
    }
    free(own);
    return rc;
}
