/* output.h - bytes on their way into a file. */
#ifndef CLFCN_UTIL_OUTPUT_H
#define CLFCN_UTIL_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A file that is written. Bytes are gathered, and written again from where a signal came
 * between: stdio would lose them. A first error stays: what comes after it is not
 * written, and every call returns it. Zero-initialised is closed. */
struct clfcn_output {
    int fd;
    unsigned char *bytes; /* NULL: not open */
    size_t used;
    int failed; /* errno */
};

enum clfcn_output_mode {
    CLFCN_OUTPUT_NEW,     /* EEXIST if there is something of that name */
    CLFCN_OUTPUT_PRIVATE, /* the same, for this user alone */
    CLFCN_OUTPUT_APPEND   /* to what there is, if anything */
};

/* All of these return 0, or errno. */
int clfcn_output_open(struct clfcn_output *o, const char *path,
                      enum clfcn_output_mode mode);
int clfcn_output_put(struct clfcn_output *o, const void *data, size_t n);
/* Go on at another byte of the file. */
int clfcn_output_seek(struct clfcn_output *o, uint64_t at);
/* Hand what is gathered to the system. */
int clfcn_output_flush(struct clfcn_output *o);
/* The same, and bring it to the disk. */
int clfcn_output_sync(struct clfcn_output *o);
/* Bring to the disk what was handed to the system, while another thread may write on. */
int clfcn_output_sync_flushed(const struct clfcn_output *o);
/* Flush and close, also where the flush fails. Harmless on a closed one. */
int clfcn_output_close(struct clfcn_output *o);
/* Close without writing what is gathered. */
void clfcn_output_drop(struct clfcn_output *o);

/* open(2), again where a signal came between. */
int clfcn_open_retry(const char *path, int flags, unsigned mode);

#endif
