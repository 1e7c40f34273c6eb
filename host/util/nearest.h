/* nearest.h - what a mistyped name was most likely meant to be. */
#ifndef CLFCN_UTIL_NEAREST_H
#define CLFCN_UTIL_NEAREST_H

/* Set word, leave the rest zero, then offer every candidate. */
struct clfcn_nearest {
    const char *word;
    const char *best; /* borrowed candidate, NULL while none is near enough */
    int distance;
};

void clfcn_nearest_offer(struct clfcn_nearest *n, const char *candidate);

#endif
