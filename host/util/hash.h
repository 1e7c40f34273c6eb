/* hash.h - FNV-1a, 64 bit: keys and integrity of cache files; not against an attacker. */
#ifndef CLFCN_UTIL_HASH_H
#define CLFCN_UTIL_HASH_H

#include <stddef.h>
#include <stdint.h>

#define CLFCN_HASH_INIT UINT64_C(0xcbf29ce484222325)

/* Continue hash h over n bytes; start with CLFCN_HASH_INIT. */
uint64_t clfcn_hash(uint64_t h, const void *data, size_t n);
/* Likewise eight bytes at a time, several times as fast; its hashes are others. */
uint64_t clfcn_hash_words(uint64_t h, const void *data, size_t n);
/* clfcn_hash() over a string, its terminating zero included, so that fields cannot run
 * together. */
uint64_t clfcn_hash_str(uint64_t h, const char *s);

#endif
