/* npy.c - NumPy's file format, version 1.0: magic, header length, a Python dict, the
 * data. Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#include "npy.h"
#include <string.h>

/* Magic, version and header length take 10 bytes; data begins at a multiple of 64. */
enum { PREFIX = 10, HEADER = 128 };

static bool host_is_little_endian(void)
{
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 1;
}

int cli_npy_open(struct cli_npy *npy, const char *path, int planes, int height, int width,
                 struct clfcn_err *err)
{
    char header[HEADER];
    memset(header, ' ', sizeof(header));
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = HEADER - PREFIX; /* little-endian 16 bit */
    header[9] = 0;
    int n = snprintf(header + PREFIX, HEADER - PREFIX,
                     "{'descr': '%cf4', 'fortran_order': False, 'shape': (%d, %d, %d), }",
                     host_is_little_endian() ? '<' : '>', planes, height, width);
    header[PREFIX + n] = ' ';
    header[HEADER - 1] = '\n';

    *npy = (struct cli_npy){ .planes = planes, .height = height, .width = width };
    int rc = clfcn_atomic_open(&npy->file, path, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_atomic_write(&npy->file, header, sizeof(header), err);
    }
    if (rc < 0) {
        cli_npy_abort(npy);
    }
    return rc;
}

int cli_npy_put(struct cli_npy *npy, int plane, int y, int rows, const float *data,
                struct clfcn_err *err)
{
    const int64_t row = (int64_t)plane * npy->height + y;
    const uint64_t at = HEADER + (uint64_t)(row * npy->width) * sizeof(float);
    const int rc = clfcn_atomic_seek(&npy->file, at, err);
    return rc < 0 ? rc
                  : clfcn_atomic_write(&npy->file, data,
                                       (size_t)rows * (size_t)npy->width * sizeof(float),
                                       err);
}

int cli_npy_commit(struct cli_npy *npy, struct clfcn_err *err)
{
    const int rc = clfcn_atomic_commit(&npy->file, err);
    cli_npy_abort(npy);
    return rc;
}

void cli_npy_abort(struct cli_npy *npy)
{
    clfcn_atomic_abort(&npy->file);
}
