/* clock.c - time that passed, and the memory it took. */
#include "sys.h"
#include <sys/resource.h>
#include <time.h>

double clfcn_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double clfcn_clock_thread(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void clfcn_sleep(double seconds)
{
    const struct timespec t = { (time_t)seconds,
                                (long)(1e9 * (seconds - (double)(time_t)seconds)) };
    nanosleep(&t, NULL);
}

void clfcn_clock_iso(char *buf, size_t n)
{
    const time_t now = time(NULL);
    struct tm tm;
    if (n > 0 &&
        (!gmtime_r(&now, &tm) || strftime(buf, n, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)) {
        buf[0] = '\0';
    }
}

long clfcn_peak_rss_kb(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss : 0;
}
