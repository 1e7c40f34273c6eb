/* inputs.h - the pictures that `clfcn predict` was given, and its results' names. */
#ifndef CLFCN_CLI_INPUTS_H
#define CLFCN_CLI_INPUTS_H

#include "../util/err.h"

struct cli_input_file {
    char *path, *stem;
};

struct cli_inputs {
    struct cli_input_file *list;
    int count, capacity;
};

/* Files as they are, folders by the pictures directly in them in natural order.
 * CLFCN_EDATA if a folder is unreadable or holds no picture, if two inputs have the same
 * stem, or if a result in folder out would replace an input. Free with cli_inputs_free()
 * in every case. */
int cli_inputs_gather(struct cli_inputs *in, const char *const *paths, int count,
                      const char *out, struct clfcn_err *err);
void cli_inputs_free(struct cli_inputs *in);

/* "OUT/STEM.SUFFIX", a new string; NULL if memory is exhausted. */
char *cli_inputs_result(const struct cli_input_file *file, const char *out,
                        const char *suffix);

#endif
