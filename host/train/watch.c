#include "watch.h"

#include "../util/sys.h"
#include "../util/thread.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Seconds between two looks. */
static const double tick = 0.05;

struct clfcn_watch {
    struct clfcn_thread thread;
    struct clfcn_mutex lock; /* of what follows */
    clfcn_hung_fn hung;
    void *user;
    bool stopped, waits;
    char what[32];
    double least;   /* seconds that any wait may take */
    double begun;   /* of this wait, on clfcn_clock() */
    double waited;  /* seconds of it that the thread has seen */
    double longest; /* of those that have ended, else 0 */
};

static double limit_of(const struct clfcn_watch *w)
{
    const double first =
        w->least < CLFCN_WATCH_LEAST ? w->least : fmax(w->least, CLFCN_WATCH_FIRST);
    return w->longest > 0 ? fmax(w->least, CLFCN_WATCH_FACTOR * w->longest) : first;
}

/* Count a tick; the message if it was one too many. */
static bool is_too_long(struct clfcn_watch *w, double seconds, char *text, size_t n)
{
    w->waited += seconds;
    if (!w->waits || w->waited <= limit_of(w)) {
        return false;
    }
    char before[64] = "";
    if (w->longest > 0) {
        snprintf(before, sizeof(before), ", the longest before took %.2f s", w->longest);
    }
    snprintf(text, n, "the device has been at %s for %.0f s%s: it hangs", w->what,
             w->waited, before);
    return true;
}

static void watch(void *arg)
{
    struct clfcn_watch *w = arg;
    double last = clfcn_clock();
    bool stopped = false, late = false;
    while (!stopped && !late) {
        char text[256];
        clfcn_sleep(tick);
        const double now = clfcn_clock();
        clfcn_mutex_lock(&w->lock);
        stopped = w->stopped;
        /* A process that was stopped, or starved, has not waited for so long. */
        late = !stopped && is_too_long(w, fmin(now - last, 2 * tick), text, sizeof(text));
        clfcn_mutex_unlock(&w->lock);
        last = now;
        if (late) {
            w->hung(w->user, text);
        }
    }
}

static int read_least(double *least, struct clfcn_err *err)
{
    const char *text = getenv("CLFCN_HANG_SECONDS");
    char *end;
    *least = CLFCN_WATCH_LEAST;
    if (!text || !*text) {
        return CLFCN_OK;
    }
    *least = strtod(text, &end);
    return *end == '\0' && isfinite(*least) && *least > 0
               ? CLFCN_OK
               : clfcn_err_set(
                     err, CLFCN_EINVAL, 0,
                     "CLFCN_HANG_SECONDS is '%s': a number of seconds above 0 is "
                     "expected",
                     text);
}

int clfcn_watch_start(clfcn_hung_fn hung, void *user, struct clfcn_watch **out,
                      struct clfcn_err *err)
{
    double least;
    *out = NULL;
    int rc = read_least(&least, err);
    if (rc < 0 || !hung) {
        return rc;
    }
    struct clfcn_watch *w = calloc(1, sizeof(*w));
    if (!w) {
        return clfcn_err_nomem(err);
    }
    w->hung = hung;
    w->user = user;
    w->least = least;
    clfcn_mutex_init(&w->lock);
    rc = clfcn_thread_start(&w->thread, watch, w, err);
    if (rc < 0) {
        clfcn_mutex_finish(&w->lock);
        free(w);
        return rc;
    }
    *out = w;
    return CLFCN_OK;
}

void clfcn_watch_stop(struct clfcn_watch **watch)
{
    struct clfcn_watch *w = *watch;
    if (!w) {
        return;
    }
    *watch = NULL;
    clfcn_mutex_lock(&w->lock);
    w->stopped = true;
    clfcn_mutex_unlock(&w->lock);
    clfcn_thread_join(&w->thread);
    clfcn_mutex_finish(&w->lock);
    free(w);
}

void clfcn_watch_begin(struct clfcn_watch *w, const char *what)
{
    if (w) {
        clfcn_mutex_lock(&w->lock);
        w->waits = true;
        snprintf(w->what, sizeof(w->what), "%s", what ? what : "validation");
        w->waited = 0;
        w->begun = clfcn_clock();
        clfcn_mutex_unlock(&w->lock);
    }
}

void clfcn_watch_end(struct clfcn_watch *w)
{
    if (w) {
        clfcn_mutex_lock(&w->lock);
        w->waits = false;
        w->longest = fmax(w->longest, clfcn_clock() - w->begun);
        clfcn_mutex_unlock(&w->lock);
    }
}
