/* complete.h - completion of command lines by shells. */
#ifndef CLFCN_CLI_COMPLETE_H
#define CLFCN_CLI_COMPLETE_H

#include "cli.h"

/* Print, before and after what cli_complete_command() prints of each command, a script
 * for bash to stdout. (complete.c) */
void cli_complete_begin(const struct cli_command *commands, int count);
void cli_complete_end(void);

#endif
