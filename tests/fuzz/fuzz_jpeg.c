/* JPEG: decoded as a picture and as a mask. */
#include "fuzz.h"
#include "images.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_decode(&clfcn_jpeg_codec, data, size);
    return 0;
}
