/* stored.h - what was found out about a device, kept between runs: one JSON file a device
 * in a folder of the cache, with what it depends on and a check sum. */
#ifndef CLFCN_OPS_STORED_H
#define CLFCN_OPS_STORED_H

#include "../device/dev.h"
#include <jansson.h>

/* The name of dev's file in cache_dir/folder, which is created; a new string. */
int clfcn_stored_path(const struct clfcn_dev *dev, const char *folder, char **path,
                      struct clfcn_err *err);

/* Complete content, an object of which the reference is taken over: its format, the date,
 * the device, driver, CLBlast and set of kernels that it was measured with, the sum. NULL
 * if memory is exhausted, or content is NULL. */
json_t *clfcn_stored_seal(json_t *content, int format, const struct clfcn_dev *dev);

/* Whether json is whole and what dev, as it is now, would give again. CLFCN_EDATA says
 * what is wrong, or names what differs. */
int clfcn_stored_check(const json_t *json, int format, const struct clfcn_dev *dev,
                       struct clfcn_err *err);
/* Whether json is whole, whatever device it is of. CLFCN_EDATA if not. */
int clfcn_stored_check_whole(const json_t *json, int format, struct clfcn_err *err);
/* Of json, what it was measured on by one of the names that clfcn_stored_seal() notes,
 * such as "driver"; "?" if that is not there. Borrowed. */
const char *clfcn_stored_origin(const json_t *json, const char *name);
/* CLFCN_EDATA for what clfcn_stored_check() cannot see. */
int clfcn_stored_damaged(struct clfcn_err *err);

/* Read a file, which must be the user's own; *json is a new reference, NULL on error.
 * CLFCN_EDATA if it is no JSON. */
int clfcn_stored_read(const char *path, json_t **json, struct clfcn_err *err);
/* Replace a file, atomically, by json, of which the reference is taken over. NULL counts
 * as exhausted memory. */
int clfcn_stored_write(const char *path, json_t *json, struct clfcn_err *err);

#endif
