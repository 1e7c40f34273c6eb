/* watch.h - whether a device still answers: a thread beside the one that waits for it.
 *
 * How long a wait may take is learned from the waits before it. Time in which the machine
 * sleeps, or the process is stopped, does not count. */
#ifndef CLFCN_TRAIN_WATCH_H
#define CLFCN_TRAIN_WATCH_H

#include <clfcn/train.h>

/* Seconds that a wait may take at least, unless $CLFCN_HANG_SECONDS says otherwise;
 * before the first has ended, in which drivers may compile: */
#define CLFCN_WATCH_LEAST 60.0
#define CLFCN_WATCH_FIRST 1800.0
/* and so many times the longest that has ended. */
#define CLFCN_WATCH_FACTOR 20.0

/* A thread that watches. Opaque; NULL watches nothing, wherever it is taken. */
struct clfcn_watch;

/* hung is called once, from the thread, when a wait takes too long. NULL: nothing is
 * watched, *out is NULL. CLFCN_EINVAL if $CLFCN_HANG_SECONDS is no time. End with
 * clfcn_watch_stop(). */
int clfcn_watch_start(clfcn_hung_fn hung, void *user, struct clfcn_watch **out,
                      struct clfcn_err *err);
/* Takes a pointer to NULL. */
void clfcn_watch_stop(struct clfcn_watch **watch);

/* The caller's thread begins and ends to wait for the device. For the message: what the
 * device does, "step 17"; NULL: validation. */
void clfcn_watch_begin(struct clfcn_watch *watch, const char *what);
void clfcn_watch_end(struct clfcn_watch *watch);

#endif
