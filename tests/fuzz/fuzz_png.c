/* PNG: decoded as a picture and as a mask. Checksums are put right first, as nearly every
 * changed byte would end there. */
#include "fuzz.h"
#include "images.h"
#include <stdlib.h>
#include <string.h>

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t crc32(const uint8_t *p, size_t n)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; ++i) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; ++bit) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
    }
    return ~crc;
}

/* Chunks are a length, four letters, as many bytes, and a checksum of all but the
 * length. */
static void mend(uint8_t *png, size_t size)
{
    for (size_t at = 8; at + 12 <= size;) {
        const size_t n = be32(png + at);
        if (n > size - at - 12) {
            return;
        }
        const uint32_t crc = crc32(png + at + 4, n + 4);
        for (size_t i = 0; i < 4; ++i) {
            png[at + 8 + n + i] = (uint8_t)(crc >> (24 - 8 * i));
        }
        at += n + 12;
    }
}

void fuzz_one(const uint8_t *data, size_t size)
{
    const bool held = fuzz_memory_hold(true);
    uint8_t *png = malloc(size + (size == 0));
    memcpy(png, data, size);
    fuzz_memory_hold(held);
    mend(png, size);
    fuzz_decode(&clfcn_png_codec, png, size);
    free(png);
}
