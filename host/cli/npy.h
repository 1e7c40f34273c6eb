/* npy.h - NumPy's file format, version 1.0. */
#ifndef CLFCN_CLI_NPY_H
#define CLFCN_CLI_NPY_H

#include "../util/file.h"

/* A float32 array [planes][height][width] that is being written; the file appears under
 * its name when it is complete. Zero-initialised is closed. */
struct cli_npy {
    struct clfcn_atomic_file file;
    int planes, height, width;
};

int cli_npy_open(struct cli_npy *npy, const char *path, int planes, int height, int width,
                 struct clfcn_err *err);
/* Write rows of a plane, from row y on. */
int cli_npy_put(struct cli_npy *npy, int plane, int y, int rows, const float *data,
                struct clfcn_err *err);
/* All has been put. Closes it, on error too. */
int cli_npy_commit(struct cli_npy *npy, struct clfcn_err *err);
/* Give up; harmless after commit. */
void cli_npy_abort(struct cli_npy *npy);

#endif
