/* scratch.h - a folder for one test's files. */
#ifndef CLFCN_TEST_SCRATCH_H
#define CLFCN_TEST_SCRATCH_H

#include "../../host/net/weights_file.h"
#include <stddef.h>

enum { SCRATCH_PATH = 512 };

/* A cmocka group's setup and teardown: create the folder, remove it with all it holds. */
int scratch_make(void **state);
int scratch_remove(void **state);
/* "FOLDER/name" into buf of SCRATCH_PATH characters; returns buf. */
const char *scratch_path(char *buf, const char *name);
/* The whole of a file as text; free with free(). Fails the test if it cannot be read. */
char *scratch_read(const char *name, size_t *size);
/* Fails the test unless a tensor of each of two safetensors files has the same bytes. */
void scratch_same_tensor(const struct clfcn_weights_file *fa,
                         const struct clfcn_weights_tensor *a,
                         const struct clfcn_weights_file *fb,
                         const struct clfcn_weights_tensor *b);

#endif
