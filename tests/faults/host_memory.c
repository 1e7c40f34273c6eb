/* host_memory.c - allocations, and what takes memory or a thread. */
#include "host_faults.h"

#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The allocator that stands below, where dlsym() itself may allocate. */
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t alignment, size_t n);

void *malloc(size_t n)
{
    int errno_of;
    return MEMORY_FAILS("malloc") ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    int errno_of;
    return MEMORY_FAILS("calloc") ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    int errno_of;
    return MEMORY_FAILS("realloc") ? NULL : __libc_realloc(p, n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
    int errno_of;
    return MEMORY_FAILS("aligned_alloc") ? NULL : __libc_memalign(alignment, n);
}

int posix_memalign(void **out, size_t alignment, size_t n)
{
    int errno_of;
    if (MEMORY_FAILS("posix_memalign")) {
        return errno_of;
    }
    void *p = __libc_memalign(alignment, n);
    if (!p) {
        return ENOMEM;
    }
    *out = p;
    return 0;
}

char *strdup(const char *s)
{
    int errno_of;
    REAL(strdup);
    return MEMORY_FAILS("strdup") ? NULL : real(s);
}

char *strndup(const char *s, size_t n)
{
    int errno_of;
    REAL(strndup);
    return MEMORY_FAILS("strndup") ? NULL : real(s, n);
}

int vasprintf(char **out, const char *fmt, va_list args)
{
    int errno_of;
    REAL(vasprintf);
    return MEMORY_FAILS("vasprintf") ? -1 : real(out, fmt, args);
}

int asprintf(char **out, const char *fmt, ...)
{
    int errno_of;
    if (MEMORY_FAILS("asprintf")) {
        return -1;
    }
    REAL(vasprintf);
    va_list args;
    va_start(args, fmt);
    const int n = real(out, fmt, args);
    va_end(args);
    return n;
}

FILE *open_memstream(char **text, size_t *n)
{
    int errno_of;
    REAL(open_memstream);
    return MEMORY_FAILS("open_memstream") ? NULL : real(text, n);
}

char *realpath(const char *path, char *out)
{
    int errno_of;
    REAL(realpath);
    return MEMORY_FAILS("realpath") ? NULL : real(path, out);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                   void *arg)
{
    const int error = memory_fault("pthread_create", CALLER);
    REAL(pthread_create);
    return error ? error : real(thread, attr, fn, arg);
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attr, char *const argv[], char *const env[])
{
    const int error = memory_fault("posix_spawn", CALLER);
    REAL(posix_spawn);
    return error ? error : real(pid, path, actions, attr, argv, env);
}

pid_t fork(void)
{
    int errno_of;
    REAL(fork);
    return MEMORY_FAILS("fork") ? -1 : real();
}
