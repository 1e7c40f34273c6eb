/* thread.c - threads, and a loop spread over them. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "thread.h"
#include "trace.h"
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

void clfcn_mutex_init(struct clfcn_mutex *m)
{
    pthread_mutex_init(&m->m, NULL);
}

void clfcn_mutex_finish(struct clfcn_mutex *m)
{
    pthread_mutex_destroy(&m->m);
}

void clfcn_mutex_lock(struct clfcn_mutex *m)
{
    pthread_mutex_lock(&m->m);
}

void clfcn_mutex_unlock(struct clfcn_mutex *m)
{
    pthread_mutex_unlock(&m->m);
}

void clfcn_cond_init(struct clfcn_cond *c)
{
    pthread_cond_init(&c->c, NULL);
}

void clfcn_cond_finish(struct clfcn_cond *c)
{
    pthread_cond_destroy(&c->c);
}

void clfcn_cond_wait(struct clfcn_cond *c, struct clfcn_mutex *m)
{
    pthread_cond_wait(&c->c, &m->m);
}

void clfcn_cond_broadcast(struct clfcn_cond *c)
{
    pthread_cond_broadcast(&c->c);
}

struct start {
    void (*fn)(void *arg);
    void *arg;
};

static void *thread_main(void *p)
{
    const struct start start = *(struct start *)p;
    free(p);
    start.fn(start.arg);
    return NULL;
}

int clfcn_thread_start(struct clfcn_thread *t, void (*fn)(void *arg), void *arg,
                       struct clfcn_err *err)
{
    struct start *start = malloc(sizeof(*start));
    if (!start) {
        return clfcn_err_nomem(err);
    }
    *start = (struct start){ fn, arg };

    /* A new thread inherits the mask. Faults stay open: a blocked one cannot be
     * reported. */
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
    sigset_t all, before;
    sigfillset(&all);
    for (int i = 0; i < (int)(sizeof(faults) / sizeof(faults[0])); ++i) {
        sigdelset(&all, faults[i]);
    }
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int errnum = pthread_create(&t->t, NULL, thread_main, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (errnum != 0) {
        free(start);
        return clfcn_err_errno(err, errnum, "cannot start a thread");
    }
    return CLFCN_OK;
}

void clfcn_thread_join(struct clfcn_thread *t)
{
    pthread_join(t->t, NULL);
}

int clfcn_cpu_count(void)
{
    /* The mask of the kernel may be wider than cpu_set_t's 1024 processors. */
    for (size_t cpus = CPU_SETSIZE; cpus <= (size_t)64 * CPU_SETSIZE; cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (!set) {
            return 1;
        }
        const size_t size = CPU_ALLOC_SIZE(cpus);
        const int got = sched_getaffinity(0, size, set);
        const int count = got == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (count > 0) {
            return count;
        }
    }
    return 1;
}

struct loop {
    int n;
    atomic_int next;
    atomic_int helpers; /* that have their row of the trace */
    void (*fn)(void *arg, int i);
    void *arg;
};

static void loop_main(void *p)
{
    struct loop *loop = p;
    for (;;) {
        const int i = atomic_fetch_add(&loop->next, 1);
        if (i >= loop->n) {
            return;
        }
        loop->fn(loop->arg, i);
    }
}

static void helper_main(void *p)
{
    struct loop *loop = p;
    clfcn_trace_set_row(CLFCN_ROW_HELPER + atomic_fetch_add(&loop->helpers, 1));
    loop_main(p);
}

void clfcn_parallel_for(int n, int threads, void (*fn)(void *arg, int i), void *arg)
{
    enum { MAX_HELPERS = 255 };
    struct clfcn_thread helpers[MAX_HELPERS];
    struct loop loop = { .n = n, .fn = fn, .arg = arg };
    int started = 0;
    while (started < MAX_HELPERS && started + 1 < threads && started + 1 < n &&
           clfcn_thread_start(&helpers[started], helper_main, &loop, NULL) == CLFCN_OK) {
        ++started;
    }
    loop_main(&loop);
    for (int i = 0; i < started; ++i) {
        clfcn_thread_join(&helpers[i]);
    }
}
