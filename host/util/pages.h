/* pages.h - host memory of whole pages: what devices that share it can use in place. */
#ifndef CLFCN_UTIL_PAGES_H
#define CLFCN_UTIL_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLFCN_PAGE = 4096 };

/* bytes and what is left of the last page, undefined. NULL if memory is exhausted; free
 * with free(). */
void *clfcn_pages_alloc(size_t bytes);

static inline bool clfcn_begins_page(const void *p)
{
    return (uintptr_t)p % CLFCN_PAGE == 0;
}

#endif
