/* screen.h - lines on the terminal, and one live line below them that is redrawn. */
#ifndef CLFCN_CLI_SCREEN_H
#define CLFCN_CLI_SCREEN_H

#include "../util/thread.h"
#include <stdio.h>

struct cli_screen {
    struct clfcn_mutex lock; /* messages of the library may come from any thread */
    bool terminal;           /* stderr can redraw a line */
    bool live;               /* stderr ends in an unfinished line */
};

void cli_screen_init(struct cli_screen *s);
void cli_screen_finish(struct cli_screen *s);

/* Print to f (stdout or stderr), above the live line. */
void cli_screen_print(struct cli_screen *s, FILE *f, const char *fmt, ...)
    CLFCN_PRINTF(3, 4);

/* Replace the live line, cut to the terminal's width. Only where terminal is set. */
void cli_screen_live(struct cli_screen *s, const char *text);

/* Wipe the live line. */
void cli_screen_clear(struct cli_screen *s);

#endif
