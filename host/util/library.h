/* library.h - shared libraries loaded by name. */
#ifndef CLFCN_UTIL_LIBRARY_H
#define CLFCN_UTIL_LIBRARY_H

#include "err.h"

/* Whether a library of this name is part of the process already. */
bool clfcn_library_is_loaded(const char *name);

/* Load a library for good, without offering its names to others. NULL on failure, with
 * the system's reason in err. */
void *clfcn_library_open(const char *name, struct clfcn_err *err);
/* NULL if the library has none of that name. */
void *clfcn_library_symbol(void *library, const char *name);
/* The path that its name led to; NULL if the system does not tell. Borrowed for good. */
const char *clfcn_library_path(void *library);

#endif
