/* diverge.h - what clfcn diverge found out, and how it is printed. */
#ifndef CLFCN_CLI_DIVERGE_H
#define CLFCN_CLI_DIVERGE_H

#include "../net/diverge.h"
#include "cli.h"

struct cli_diverge {
    struct clfcn_net_desc desc;
    struct clfcn_net_options net;
    struct clfcn_diverge_how how;
    const char *spec[2]; /* --device, twice */
    struct clfcn_dev *dev[2];
    char *command; /* the line that was typed, quoted for a shell */
    struct clfcn_diverge result;
};

/* Which side the first difference is to be blamed on, if a reference tells: "A", "B" or
 * "both"; else NULL. */
const char *cli_diverge_wrong(const struct clfcn_diverge_first *first);

/* "forward: output", "weight gradient"; returns text. */
enum { CLI_DIVERGE_WHAT = 128 };
const char *cli_diverge_what(const struct clfcn_diverge_row *row,
                             char text[CLI_DIVERGE_WHAT]);

int cli_diverge_print_json(const struct cli_diverge *d, struct clfcn_err *err);
void cli_diverge_print_text(const struct cli_diverge *d);

#endif
