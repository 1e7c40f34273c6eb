/* listing.h - the pictures in one folder, found by their stems. */
#ifndef CLFCN_DATA_LISTING_H
#define CLFCN_DATA_LISTING_H

#include "../util/err.h"

struct clfcn_listed {
    char *stem, *path;
};

struct clfcn_listing {
    struct clfcn_listed *files; /* in natural order of their stems */
    int count;
};

/* The pictures directly in dir that this build can read by their names; warns of other
 * files. A stem leaves out suffix, too, where a name has it ("0001_L.png" with "_L" is
 * "0001"); NULL: none. CLFCN_EDATA if there is no such folder, or two files of one stem.
 * Free with clfcn_listing_free() in every case. */
int clfcn_listing_read(const char *dir, const char *suffix, struct clfcn_listing *out,
                       struct clfcn_err *err);
void clfcn_listing_free(struct clfcn_listing *l);

/* The file of that stem, or NULL. */
const struct clfcn_listed *clfcn_listing_find(const struct clfcn_listing *l,
                                              const char *stem);

#endif
