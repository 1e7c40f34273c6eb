/* thread.h - threads, and a loop spread over them. */
#ifndef CLFCN_UTIL_THREAD_H
#define CLFCN_UTIL_THREAD_H

#include "err.h"
#include <pthread.h>

struct clfcn_mutex {
    pthread_mutex_t m;
};
struct clfcn_cond {
    pthread_cond_t c;
};
struct clfcn_thread {
    pthread_t t;
};

void clfcn_mutex_init(struct clfcn_mutex *m);
void clfcn_mutex_finish(struct clfcn_mutex *m);
void clfcn_mutex_lock(struct clfcn_mutex *m);
void clfcn_mutex_unlock(struct clfcn_mutex *m);
void clfcn_cond_init(struct clfcn_cond *c);
void clfcn_cond_finish(struct clfcn_cond *c);
void clfcn_cond_wait(struct clfcn_cond *c, struct clfcn_mutex *m);
void clfcn_cond_broadcast(struct clfcn_cond *c);

/* Start fn(arg) in a new thread, with signals blocked so that SIGINT reaches the main
 * thread. */
int clfcn_thread_start(struct clfcn_thread *t, void (*fn)(void *arg), void *arg,
                       struct clfcn_err *err);
void clfcn_thread_join(struct clfcn_thread *t);

/* Number of processors this process may use, at least 1. */
int clfcn_cpu_count(void);

/* Call fn(arg, i) for i in [0, n), on at most threads threads (the caller is one), in
 * any order; returns when all are done. Falls back to fewer threads if one cannot be
 * started. */
void clfcn_parallel_for(int n, int threads, void (*fn)(void *arg, int i), void *arg);

#endif
