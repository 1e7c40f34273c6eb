/* child.h - programs run beside this one within a time limit: for what may hang or crash.
 *
 * Programs are executed, not forked: a fork of a process with threads inherits locks that
 * nobody will release, and one of a process with device drivers inherits drivers that do
 * not work in it. */
#ifndef CLFCN_UTIL_CHILD_H
#define CLFCN_UTIL_CHILD_H

#include "strbuf.h"
#include <stdio.h>

enum clfcn_child_end {
    CLFCN_CHILD_EXITED,   /* code: its exit status, -1 if somebody else collected it */
    CLFCN_CHILD_KILLED,   /* code: the signal that ended it */
    CLFCN_CHILD_LATE,     /* it was still running at the end of the time limit */
    CLFCN_CHILD_UNSTARTED /* code: errno */
};

/* Zero-initialise; then set argv and env. */
struct clfcn_child {
    const char *const *argv; /* argv[0]: the program's path; NULL-terminated, borrowed */
    const char *const *env;  /* changes, as clfcn_env_changed() takes them; borrowed */
    enum clfcn_child_end end;
    int code;
    struct clfcn_strbuf out; /* what it wrote to stdout, cut to 64 KiB; to be freed */
    int fd;                  /* of the reading end; < 0: closed */
    long pid;
};

/* Start all the programs and wait until they have ended. Those that are running after so
 * many seconds are killed with the processes they have started. Their stdin and stderr
 * lead nowhere; signals of the terminal do not reach them. */
void clfcn_children_run(struct clfcn_child *children, int count, double seconds);

/* To be called once, first of all, in a program that clfcn_children_run() has started: a
 * line-buffered stream that the parent reads, and that nothing else in the process writes
 * to: from now on stdout leads nowhere. The process will end by itself after so many
 * seconds, so that none survives a parent that was killed; and a fault ends it at once by
 * its signal, without a core file. NULL if the system refuses. */
FILE *clfcn_child_report(double seconds);

/* "signal 11 (Segmentation fault)"; returns buf. */
const char *clfcn_signal_name(int signal_number, char *buf, size_t n);

#endif
