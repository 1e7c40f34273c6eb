/* log.c - messages to the user of the library. */
#include "log.h"
#include "err.h"
#include "thread.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

/* The one piece of process-wide state: where messages go. */
static struct {
    struct clfcn_mutex mutex;
    atomic_int level; /* read without the mutex, so that silent messages cost nothing */
    clfcn_log_fn fn;
    void *user;
} sink = { .mutex = { PTHREAD_MUTEX_INITIALIZER }, .level = -1 };

void clfcn_log_set(enum clfcn_log_level level, clfcn_log_fn fn, void *user)
{
    clfcn_mutex_lock(&sink.mutex);
    sink.fn = fn;
    sink.user = user;
    atomic_store(&sink.level, fn ? (int)level : -1);
    clfcn_mutex_unlock(&sink.mutex);
}

void clfcn_log(enum clfcn_log_level level, const char *fmt, ...)
{
    if ((int)level > atomic_load(&sink.level)) {
        return;
    }
    char text[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    clfcn_one_line(text);
    clfcn_mutex_lock(&sink.mutex);
    if (sink.fn) {
        sink.fn(sink.user, level, text);
    }
    clfcn_mutex_unlock(&sink.mutex);
}
