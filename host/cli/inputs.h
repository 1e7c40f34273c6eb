/* inputs.h - the pictures that `clfcn predict` was given, and its results' names. */
#ifndef CLFCN_CLI_INPUTS_H
#define CLFCN_CLI_INPUTS_H

#include "../util/err.h"

struct cli_input_file {
    char *path;
    char *stem; /* its results' names begin so: "x", or "sub/x" relative to a folder */
};

struct cli_inputs {
    struct cli_input_file *list;
    int count, capacity;
};

/* Which pictures, and which results besides STEM.png. */
struct cli_inputs_ask {
    const char *const *paths;
    int count;
    bool recursive;           /* folders within folders too, but for the results' own */
    const char *out;          /* the results' folder */
    const char *const *extra; /* "overlay": there will be STEM.overlay.png */
    int extra_count;
};

/* Files as they are, folders by the pictures directly in them in natural order, and, if
 * recursive, those of the folders in them. CLFCN_EDATA if a folder is unreadable or holds
 * no picture, if two results would have the same name, or if one would replace an input.
 * Free with cli_inputs_free() in every case. */
int cli_inputs_gather(struct cli_inputs *in, const struct cli_inputs_ask *ask,
                      struct clfcn_err *err);
void cli_inputs_free(struct cli_inputs *in);

/* Make the folders that results go to. */
int cli_inputs_make_folders(const struct cli_inputs *in, const char *out,
                            struct clfcn_err *err);

/* "OUT/STEM.SUFFIX", a new string; NULL if memory is exhausted. */
char *cli_inputs_result(const struct cli_input_file *file, const char *out,
                        const char *suffix);

#endif
