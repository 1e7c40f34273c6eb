/* cache.h - compiled programs kept between runs, in cache_dir/kernels/HASH.bin. */
#ifndef CLFCN_DEVICE_CACHE_H
#define CLFCN_DEVICE_CACHE_H

#include "dev.h"

/* Everything that a compiled program depends on, as text: source, options, device,
 * driver, platform and clfcn's version. A new string, or NULL if memory is exhausted. */
char *clfcn_cache_key(const struct clfcn_dev *dev, const char *source,
                      const char *options);

/* The program kept under key: a new array of *size bytes, or NULL if there is none, or
 * it is damaged, another user's, or of another key. */
void *clfcn_cache_load(const char *key, size_t *size);

/* Keep a program. A failure costs time only and is told to clfcn_debug(). */
void clfcn_cache_store(const char *key, const void *program, size_t size);

/* Remove what processes that were killed while they wrote left in the folders of
 * cache_dir. */
void clfcn_cache_sweep(void);

#endif
