/* images.h - what the targets of picture formats share. */
#ifndef CLFCN_TESTS_FUZZ_IMAGES_H
#define CLFCN_TESTS_FUZZ_IMAGES_H

#include "../../host/data/codec.h"

/* Decode data by the front end, as a picture and as a mask, and apply classes to that.
 * Pictures that codec finds large are left out: decoding them takes time, and tells
 * nothing new. */
void fuzz_decode(const struct clfcn_codec *codec, const uint8_t *data, size_t size);

#endif
