/* manual.h - what manual pages say beyond the tables of commands and options. */
#ifndef CLFCN_CLI_MANUAL_H
#define CLFCN_CLI_MANUAL_H

#include "cli.h"

enum { CLI_MANUAL_EXAMPLES = 7, CLI_MANUAL_FILES = 8, CLI_MANUAL_SEE = 4 };

struct cli_manual_pair {
    const char *what, *text;
};

/* A command's page. Lists end early at a member that is NULL. */
struct cli_manual {
    const char *command;
    const char *text; /* the description; an empty line parts paragraphs */
    struct cli_manual_pair examples[CLI_MANUAL_EXAMPLES]; /* a line, its purpose */
    struct cli_manual_pair files[CLI_MANUAL_FILES];
    const char *see[CLI_MANUAL_SEE]; /* other commands */
};

/* The command's, or NULL. (manual_text.c) */
const struct cli_manual *cli_manual_find(const char *command);

/* What all pages say, each ended by a pair of NULL. (manual_text.c) */
extern const struct cli_manual_pair cli_manual_statuses[], cli_manual_files[],
    cli_manual_variables[];

/* Print clfcn(1) to stdout, as roff with the macros of man(7). (manual.c) */
void cli_manual_program(const struct cli_command *commands, int count);

#endif
