/* sys.h - clock, terminal, interrupts. */
#ifndef CLFCN_UTIL_SYS_H
#define CLFCN_UTIL_SYS_H

#include "flag.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Seconds on a clock that never jumps. */
double clfcn_clock(void);
/* Seconds of processor time that the calling thread has taken. */
double clfcn_clock_thread(void);
/* "2026-11-22T20:44:00Z". */
void clfcn_clock_iso(char *buf, size_t n);

/* Do nothing for so long, or less if a signal comes. */
void clfcn_sleep(double seconds);

/* Whether f is a terminal that understands colours and cursor movement. */
bool clfcn_term_is_tty(FILE *f);
/* Whether colours are welcome on f: a terminal, and NO_COLOR is not set. */
bool clfcn_term_has_color(FILE *f);
/* What begins a style of text on f, "" where colours are not welcome; PLAIN ends it. */
enum clfcn_term_style {
    CLFCN_TERM_PLAIN,
    CLFCN_TERM_BOLD,
    CLFCN_TERM_RED,
    CLFCN_TERM_YELLOW
};
const char *clfcn_term_style(FILE *f, enum clfcn_term_style style);
/* Columns of the terminal, 80 if not known. */
int clfcn_term_width(void);

/* After this call SIGINT and SIGTERM set the flag; a second SIGINT, a tenth of a
 * second or more after the first, ends the process at once with status 130. */
void clfcn_interrupt_install(void);
const volatile bool *clfcn_interrupt_flag(void);
/* Whether a SIGTERM was among what set it: whoever sends one soon sends SIGKILL too. */
bool clfcn_interrupt_terminated(void);
/* Set the flag without a signal. */
void clfcn_interrupt_request(void);

/* Kilobytes of the process's largest resident size so far. */
long clfcn_peak_rss_kb(void);

#endif
