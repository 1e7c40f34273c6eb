/* fuzz.h - what fuzz targets share.
 *
 * A target is a fuzz_NAME.c that defines fuzz_one(). libFuzzer calls it with inputs that
 * it makes up, each in a block of the heap of just that size; in builds without libFuzzer
 * main.c calls it with files. With CLFCN_FUZZ_NOMEM=N in the environment each input is
 * taken up to N times more, with memory running out at another point each time. */
#ifndef CLFCN_TESTS_FUZZ_H
#define CLFCN_TESTS_FUZZ_H

#include "nomem.h"
#include <stddef.h>
#include <stdint.h>

/* The target: take one input. */
void fuzz_one(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stop, as a finding, unless what must hold does. */
#define FUZZ_ASSERT(condition)                         \
    do {                                               \
        if (!(condition)) {                            \
            fuzz_fail(#condition, __FILE__, __LINE__); \
        }                                              \
    } while (0)
_Noreturn void fuzz_fail(const char *what, const char *file, int line);

/* A name in a folder of this process, which is removed when it ends; good until the next
 * call. "" gives the folder. */
const char *fuzz_path(const char *name);
/* Write a file there, and return its path. */
const char *fuzz_file(const char *name, const void *data, size_t size);

/* A copy that ends in a zero, for parsers of text; free with free(). */
char *fuzz_text(const uint8_t *data, size_t size);

/* Messages are one line, whatever the input has put into them. */
struct clfcn_err;
void fuzz_check_message(int rc, const struct clfcn_err *err);

/* Read the numbers of all tensors that have few enough. */
struct clfcn_weights_file;
void fuzz_read_tensors(const struct clfcn_weights_file *f);

#endif
