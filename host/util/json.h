/* json.h - reading and building JSON. */
#ifndef CLFCN_UTIL_JSON_H
#define CLFCN_UTIL_JSON_H

#include "err.h"
#include <jansson.h>

/* json_loadb() that tells a text that is no JSON from memory that is exhausted. NULL:
 * CLFCN_ENOMEM is recorded in err and *code, or *code is CLFCN_EDATA, and why, which may
 * be NULL, says where the text is wrong. */
json_t *clfcn_json_read(const char *text, size_t n, size_t flags, json_error_t *why,
                        int *code, struct clfcn_err *err);

/* Put item, which is taken over, at the end of *list. Where either is NULL or memory is
 * exhausted, *list is released and becomes NULL: that goes on to whatever it is put into,
 * so that the last one to look sees it. */
void clfcn_json_append(json_t **list, json_t *item);
/* The same of an object's member. */
void clfcn_json_set(json_t **object, const char *key, json_t *value);

#endif
