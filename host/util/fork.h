/* fork.h - a copy of this process that does its work and says how that went. */
#ifndef CLFCN_UTIL_FORK_H
#define CLFCN_UTIL_FORK_H

#include "err.h"
#include <stdbool.h>
#include <stdint.h>

struct clfcn_fork {
    int64_t pid;
    int from; /* the pipe by which it says something */
};

/* How one ended: by itself, with an exit status, or by a signal, else 0. */
struct clfcn_fork_end {
    int status, signal;
};

/* Copy this process, which is to have one thread. Returns 1 in the parent, 0 in the
 * child, CLFCN_EIO if there can be none. SIGINT, SIGTERM and SIGHUP that are sent to the
 * parent go on to the child; those of a terminal reach both anyway. A child whose parent
 * is killed receives SIGTERM, on Linux. Wait for it with clfcn_fork_wait(). */
int clfcn_fork_start(struct clfcn_fork *child, struct clfcn_err *err);
/* Wait for its end. Returns whether it has said something, of so many bytes. */
bool clfcn_fork_wait(struct clfcn_fork *child, void *said, size_t bytes,
                     struct clfcn_fork_end *end);
/* Whether a signal has come to the parent that asks it to end. */
bool clfcn_fork_is_asked(void);

/* Whether this process is a child. */
bool clfcn_fork_is_child(void);
/* In a child, in any thread: tell the parent, at most some thousands of bytes. */
void clfcn_fork_say(const void *what, size_t bytes);

/* Whether a signal is what ends a program that went wrong, or that the system ends for
 * want of memory. */
bool clfcn_signal_is_crash(int signal);

/* End this process at once, without what exit() would run. */
void clfcn_exit_now(int status);

#endif
