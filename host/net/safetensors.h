/* safetensors.h - writing the file format of weights and checkpoints; weights_file.h
 * reads it.
 * Format: https://github.com/huggingface/safetensors (8 bytes header length, JSON, data).
 */
#ifndef CLFCN_NET_SAFETENSORS_H
#define CLFCN_NET_SAFETENSORS_H

#include "weights_file.h"

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
