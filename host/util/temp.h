/* temp.h - folders for files that are needed for a moment. */
#ifndef CLFCN_UTIL_TEMP_H
#define CLFCN_UTIL_TEMP_H

#include "err.h"

/* Zero-initialised: none. */
struct clfcn_temp {
    char *path;
    int lock;
};

/* Make an empty folder (clfcn_path_make_temp()), after those that killed processes of this
 * user left there have been removed. Remove it with clfcn_temp_remove(), on error too. */
int clfcn_temp_make(struct clfcn_temp *temp, struct clfcn_err *err);
/* With the files that it and its folders hold. */
void clfcn_temp_remove(struct clfcn_temp *temp);

#endif
