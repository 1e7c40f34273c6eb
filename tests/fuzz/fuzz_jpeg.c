/* JPEG: decoded as a picture and as a mask. */
#include "fuzz.h"
#include "images.h"

void fuzz_one(const uint8_t *data, size_t size)
{
    fuzz_decode(&clfcn_jpeg_codec, data, size);
}
