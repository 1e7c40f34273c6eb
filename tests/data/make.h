/* make.h - what the data tests build their inputs with. */
#ifndef CLFCN_TESTS_DATA_MAKE_H
#define CLFCN_TESTS_DATA_MAKE_H

/* cmocka.h needs these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    uint8_t *data; /* malloc */
    size_t size;
};

/* A PNG to be written as it says, by libpng. Every failure in here fails the test. */
struct png_spec {
    int width, height;
    int depth;      /* bits a sample */
    int color_type; /* PNG_COLOR_TYPE_... */
    bool interlaced;
    bool trns;               /* with a tRNS chunk */
    const uint16_t *samples; /* [height][width][samples a pixel] */
};
struct bytes make_png(const struct png_spec *spec);

/* An 8-bit gray PNG file. */
void make_gray_file(const char *path, int width, int height, const uint8_t *values);
/* An 8-bit RGB PNG file of one colour. */
void make_rgb_file(const char *path, int width, int height, uint8_t r, uint8_t g,
                   uint8_t b);
void make_text_file(const char *path, const char *text);

/* A new empty folder below $TMPDIR or /tmp; remove_dir() deletes it with all it holds. */
char *make_dir(void);
void remove_dir(char *dir);

/* "dir/name", valid until the next but seven calls. */
const char *in(const char *dir, const char *name);

/* Fail unless text contains part. */
void assert_contains(const char *text, const char *part);

#endif
