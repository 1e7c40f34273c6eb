/* suggest.h - the name that a mistyped word was most likely meant to be. */
#ifndef CLFCN_CLI_SUGGEST_H
#define CLFCN_CLI_SUGGEST_H

/* Set word, leave the rest zero, then offer every candidate. */
struct cli_nearest {
    const char *word;
    const char *best; /* borrowed candidate, NULL while none is near enough */
    int distance;
};

void cli_nearest_offer(struct cli_nearest *n, const char *candidate);

#endif
