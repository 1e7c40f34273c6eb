/* npy.c - NumPy's file format, version 1.0: magic, header length, a Python dict, the
 * data. Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#include "npy.h"
#include "../util/file.h"
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

int cli_npy_write(const char *path, const float *data, int planes, size_t plane_stride,
                  int height, int width, struct clfcn_err *err)
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

    struct clfcn_atomic_file f = { 0 };
    int rc = clfcn_atomic_open(&f, path, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_atomic_write(&f, header, sizeof(header), err);
    }
    size_t plane = (size_t)height * (size_t)width * sizeof(float);
    for (int c = 0; c < planes && rc == CLFCN_OK; ++c) {
        rc = clfcn_atomic_write(&f, data + (size_t)c * plane_stride, plane, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_atomic_commit(&f, err);
    }
    clfcn_atomic_abort(&f);
    return rc;
}
