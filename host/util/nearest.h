/* nearest.h - what a mistyped name was most likely meant to be. */
#ifndef CLFCN_UTIL_NEAREST_H
#define CLFCN_UTIL_NEAREST_H

/* Set word, leave the rest zero, then offer every candidate. Case makes no difference. */
struct clfcn_nearest {
    const char *word;
    const char *best; /* borrowed candidate, NULL while none is near enough */
    int distance;
};

void clfcn_nearest_offer(struct clfcn_nearest *n, const char *candidate);

/* The existing path that differs from path, of which some component does not exist, in
 * that component alone and is near enough; a new string, or NULL: there is none, path
 * exists, or memory is exhausted. */
char *clfcn_nearest_path(const char *path);

#endif
