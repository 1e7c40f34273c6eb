/* array.h - arrays: how long one is, and those that grow as they are filled. */
#ifndef CLFCN_UTIL_ARRAY_H
#define CLFCN_UTIL_ARRAY_H

#include <stddef.h>

/* Items of an array, as an int. */
#define CLFCN_ARRAY_LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))

/* Room for at least need items of item_bytes each in list, which has room for *room; new
 * ones are zero. Returns the list, which may have moved; NULL, with list and *room as
 * they were, if memory is exhausted. list may be NULL if *room is 0. */
void *clfcn_array_grow(void *list, size_t need, size_t *room, size_t item_bytes);

#endif
