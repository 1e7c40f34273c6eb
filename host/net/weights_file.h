/* weights_file.h - the named tensors of a file, whichever format it has: safetensors, or
 * what PyTorch's torch.save() writes, as a zip archive or as the older stream. */
#ifndef CLFCN_NET_WEIGHTS_FILE_H
#define CLFCN_NET_WEIGHTS_FILE_H

#include "../util/file.h"

enum clfcn_dtype {
    CLFCN_F32,
    CLFCN_F16,
    CLFCN_BF16,
    CLFCN_F64,
    CLFCN_I64,
    CLFCN_DTYPE_OTHER
};
enum { CLFCN_MAX_DIMS = 8 };

struct clfcn_weights_tensor {
    char *name;
    enum clfcn_dtype dtype;
    int ndim;
    int64_t dims[CLFCN_MAX_DIMS];
    int64_t strides[CLFCN_MAX_DIMS]; /* in elements, >= 0 */
    size_t count, bytes;             /* elements; bytes when they lie in a row */
    const unsigned char *data; /* first element, borrowed, unaligned; NULL: in the file */
    uint64_t entry;            /* of a zip archive */
    uint64_t offset;           /* of the first element in the entry, or in the file */
    size_t span;               /* bytes from the first element to the end of the last */
};

struct clfcn_torch_zip;

/* An open file: every size and offset has been checked against the file's length.
 * Zero-initialised is closed. */
struct clfcn_weights_file {
    struct clfcn_file_reader reader; /* closed if it was opened in memory */
    const unsigned char *bytes;      /* all of it, borrowed; NULL: see reader */
    uint64_t size;
    struct clfcn_weights_tensor *tensors; /* safetensors: in the file's order of data */
    int count;
    char *metadata;              /* value of __metadata__.clfcn (JSON text), or NULL */
    struct clfcn_torch_zip *zip; /* NULL unless it is an archive */
};

/* CLFCN_EDATA says what is wrong and where (truncated: expected and found length). */
int clfcn_weights_open(const char *path, struct clfcn_weights_file *out,
                       struct clfcn_err *err);
/* The same for a file in memory, borrowed until clfcn_weights_close(). */
int clfcn_weights_open_memory(const void *bytes, size_t size,
                              struct clfcn_weights_file *out, struct clfcn_err *err);
void clfcn_weights_close(struct clfcn_weights_file *f);

/* NULL if there is none of that name. */
const struct clfcn_weights_tensor *clfcn_weights_find(const struct clfcn_weights_file *f,
                                                      const char *name);

/* Read a tensor's t->count elements in row-major order, converted to float. CLFCN_EDATA
 * if its dtype is not a float of 16, 32 or 64 bits, or its archive is damaged. */
int clfcn_weights_floats(const struct clfcn_weights_file *f,
                         const struct clfcn_weights_tensor *t, float *out,
                         struct clfcn_err *err);
/* Likewise of a tensor of 64-bit integers. */
int clfcn_weights_integers(const struct clfcn_weights_file *f,
                           const struct clfcn_weights_tensor *t, int64_t *out,
                           struct clfcn_err *err);

/* --- for the formats --- */

/* Whether a parameter may be called so: printable ASCII, 1 to 255 characters. */
bool clfcn_weights_name_ok(const char *name);

/* Set count, bytes, span and, unless strided, the strides of elements in a row from dims.
 * NULL, or what is wrong: "has a shape too large for any file". */
const char *clfcn_weights_lay_out(struct clfcn_weights_tensor *t, size_t item_bytes,
                                  bool strided);

/* Read n bytes of the file, wherever it is, from byte at on; they must be within size. */
int clfcn_weights_read(const struct clfcn_weights_file *f, uint64_t at, void *to,
                       size_t n, struct clfcn_err *err);

/* Read the tensors of the file into f, which clfcn_weights_close() frees also after an
 * error. (safetensors.c, torch_stream.c, torch_zip.c) */
int clfcn_safetensors_read(struct clfcn_weights_file *f, struct clfcn_err *err);
int clfcn_torch_stream_read(struct clfcn_weights_file *f, struct clfcn_err *err);
int clfcn_torch_zip_read(struct clfcn_weights_file *f, struct clfcn_err *err);

/* The bytes of an archive's tensor: t->span from the first element on, borrowed until the
 * next call. (torch_zip.c) */
int clfcn_torch_zip_fetch(const struct clfcn_weights_file *f,
                          const struct clfcn_weights_tensor *t,
                          const unsigned char **data, struct clfcn_err *err);
void clfcn_torch_zip_close(struct clfcn_torch_zip **zip);

#endif
