/* safetensors.h - the file format of weights and checkpoints.
 * Format: https://github.com/huggingface/safetensors (8 bytes header length, JSON, data).
 */
#ifndef CLFCN_NET_SAFETENSORS_H
#define CLFCN_NET_SAFETENSORS_H

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

struct clfcn_st_tensor {
    char *name;
    enum clfcn_dtype dtype;
    int ndim;
    int64_t dims[CLFCN_MAX_DIMS];
    size_t count, bytes;       /* elements; bytes in the file */
    const unsigned char *data; /* borrowed from the mapping; unaligned */
};

/* An open file: every size and offset has been checked against the file's length, no two
 * tensors overlap. Zero-initialised is closed. */
struct clfcn_st_file {
    struct clfcn_mapped_file map;
    struct clfcn_st_tensor *tensors; /* in the file's order of data */
    int count;
    char *metadata; /* value of __metadata__.clfcn (JSON text), or NULL */
};

/* CLFCN_EDATA says what is wrong and where (truncated: expected and found length). */
int clfcn_st_open(const char *path, struct clfcn_st_file *out, struct clfcn_err *err);
void clfcn_st_close(struct clfcn_st_file *f);
/* NULL if there is none of that name. */
const struct clfcn_st_tensor *clfcn_st_find(const struct clfcn_st_file *f,
                                            const char *name);
/* Convert to float. CLFCN_EDATA if the dtype is not a float of 16, 32 or 64 bits. */
int clfcn_st_to_f32(const struct clfcn_st_tensor *t, float *out, struct clfcn_err *err);

/* Writing: declare every tensor, then give their data in the declared order. */
struct clfcn_st_writer;
int clfcn_st_writer_create(struct clfcn_st_writer **out, struct clfcn_err *err);
/* Also removes the temporary file of an unfinished write. */
void clfcn_st_writer_destroy(struct clfcn_st_writer **w);
int clfcn_st_writer_declare(struct clfcn_st_writer *w, const char *name,
                            enum clfcn_dtype dtype, int ndim, const int64_t *dims,
                            struct clfcn_err *err);
/* metadata: JSON text stored as the string __metadata__.clfcn, NULL for none. Opens the
 * temporary file and writes the header. */
int clfcn_st_writer_begin(struct clfcn_st_writer *w, const char *path,
                          const char *metadata, struct clfcn_err *err);
int clfcn_st_writer_data(struct clfcn_st_writer *w, const void *data, size_t bytes,
                         struct clfcn_err *err);
/* Checks that all declared bytes were given; syncs and renames. */
int clfcn_st_writer_commit(struct clfcn_st_writer *w, struct clfcn_err *err);

#endif
