/* hash.c - FNV-1a, 64 bit. */
#include "hash.h"
#include <string.h>

uint64_t clfcn_hash(uint64_t h, const void *data, size_t n)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < n; ++i) {
        h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return h;
}

uint64_t clfcn_hash_words(uint64_t h, const void *data, size_t n)
{
    const unsigned char *bytes = data;
    for (; n >= sizeof(uint64_t); n -= sizeof(uint64_t), bytes += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, bytes, sizeof(word));
        h = (h ^ word) * UINT64_C(0x100000001b3);
        h ^= h >> 29; /* a product carries nothing down */
    }
    return clfcn_hash(h, bytes, n);
}

uint64_t clfcn_hash_str(uint64_t h, const char *s)
{
    return clfcn_hash(h, s, strlen(s) + 1);
}
