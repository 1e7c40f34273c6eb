/* clock.c - preloaded into clfcn: a wall clock that is set again and again while it runs.
 *
 * CLFCN_CLOCK="SECONDS EVERY": by turns it is right, SECONDS ahead and SECONDS behind,
 * for EVERY seconds each; with EVERY 0 it stands still at SECONDS since 1970. What
 * measures time from the start of the system stays as it is. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

typedef int clock_gettime_fn(clockid_t, struct timespec *);

static clock_gettime_fn *below(void)
{
    return (clock_gettime_fn *)dlsym(RTLD_NEXT, "clock_gettime");
}

/* Make of the right time what this clock shows. */
static void bend(struct timespec *t)
{
    static const int turns[] = { 0, 1, -1 };
    const char *text = getenv("CLFCN_CLOCK");
    double seconds, every;
    struct timespec up;
    if (!text || sscanf(text, "%lf %lf", &seconds, &every) != 2) {
        return;
    }
    if (every > 0) {
        below()(CLOCK_MONOTONIC, &up);
        const double now = (double)up.tv_sec + 1e-9 * (double)up.tv_nsec;
        t->tv_sec += (time_t)(seconds * turns[(long long)(now / every) % 3]);
    } else {
        *t = (struct timespec){ (time_t)seconds, 0 };
    }
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    const int rc = below()(id, t);
    if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        bend(t);
    }
    return rc;
}

time_t time(time_t *to)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (to) {
        *to = t.tv_sec;
    }
    return t.tv_sec;
}

int timespec_get(struct timespec *t, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, t) == 0 ? base : 0;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    tv->tv_sec = t.tv_sec;
    tv->tv_usec = t.tv_nsec / 1000;
    return 0;
}
