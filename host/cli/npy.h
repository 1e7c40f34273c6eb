/* npy.h - NumPy's file format, version 1.0. */
#ifndef CLFCN_CLI_NPY_H
#define CLFCN_CLI_NPY_H

#include "../util/err.h"

/* Write a float32 array [planes][height][width], planes being plane_stride floats apart
 * in data, atomically. */
int cli_npy_write(const char *path, const float *data, int planes, size_t plane_stride,
                  int height, int width, struct clfcn_err *err);

#endif
