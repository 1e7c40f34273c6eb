/* dashboard.c - the dashboard's life: a listening socket, a thread, an orderly end. */
#include "dashboard.h"
#include "../util/listen.h"
#include "../util/log.h"
#include "../util/sys.h"
#include "dashboard_impl.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Seconds between two looks at the log. */
static const double tick = 0.5;

/* --- the server's thread --- */

static struct clfcn_live_input read_input(struct clfcn_dashboard *d)
{
    clfcn_mutex_lock(&d->lock);
    struct clfcn_live_input in = d->input;
    clfcn_mutex_unlock(&d->lock);
    in.pause = clfcn_flag_is_set(&d->pause);
    in.stop = clfcn_flag_is_set(clfcn_interrupt_flag());
    return in;
}

/* Follow the run; true if it is ahead. Without a listener nothing is drawn. */
static bool look(struct clfcn_dashboard *d, const struct clfcn_live_input *in)
{
    const bool more = clfcn_live_follow(&d->live, in);
    if (d->clients) {
        clfcn_live_render(&d->live, in);
    }
    clfcn_dashboard_wake(d, false);
    clfcn_dashboard_hurry(d);
    return more;
}

/* Tell everybody how it ended, but wait for nobody who does not listen. */
static void say_goodbye(struct clfcn_dashboard *d, const struct clfcn_live_input *in)
{
    const double until = clfcn_clock() + 2;
    while (clfcn_live_follow(&d->live, in)) {
    }
    clfcn_live_render(&d->live, in);
    d->closing = true;
    do {
        clfcn_dashboard_wake(d, true);
        MHD_run_wait(d->daemon, 50);
    } while (d->clients && clfcn_clock() < until);
    clfcn_dashboard_wake(d, true); /* none may be suspended when the daemon stops */
    MHD_stop_daemon(d->daemon);
}

static void serve(void *dashboard)
{
    struct clfcn_dashboard *d = dashboard;
    const double begin = clfcn_clock();
    double next = begin;
    struct clfcn_live_input in = read_input(d);
    while (!in.ended) {
        const double now = clfcn_clock();
        if (now >= next) {
            next = look(d, &in) ? now : now + tick;
        }
        MHD_run_wait(d->daemon, (int32_t)(1e3 * (next - now)));
        in = read_input(d);
    }
    say_goodbye(d, &in);
    const double took = clfcn_clock_thread(), all = clfcn_clock() - begin;
    clfcn_debug("dashboard: %.2f s of processor time, %.3f %% of %.0f s", took,
                100 * took / all, all);
}

/* --- the callers' --- */

static int check_port(int port, struct clfcn_err *err)
{
    if (port < 0 || port > 65535) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--dashboard %d: not a port, which is at most 65535 (0: any "
                             "that is free)",
                             port);
    }
    return CLFCN_OK;
}

static int open_port(const struct clfcn_dashboard_options *o, struct clfcn_listener *l,
                     struct clfcn_err *err)
{
    int rc = clfcn_listen(o->host ? o->host : "127.0.0.1", o->port, l, err);
    if (rc < 0) {
        const bool taken = err && err->native == EADDRINUSE;
        clfcn_err_note(err, taken ? "--dashboard: another program, perhaps another run, "
                                    "has the port: give another one, or --dashboard=0 "
                                    "for any that is free"
                                  : "--dashboard");
    }
    return rc;
}

/* Names and secrets, once the port is known. */
static int introduce(struct clfcn_dashboard *d, const struct clfcn_listener *l,
                     bool guarded, struct clfcn_err *err)
{
    int rc = guarded ? clfcn_token_make(d->token, err) : CLFCN_OK;
    snprintf(d->cookie, sizeof(d->cookie), "clfcn-%d", l->port);
    if (l->port == 80) { /* browsers leave it out */
        snprintf(d->hosts[0], sizeof(d->hosts[0]), "127.0.0.1");
        snprintf(d->hosts[1], sizeof(d->hosts[1]), "localhost");
    } else {
        snprintf(d->hosts[0], sizeof(d->hosts[0]), "127.0.0.1:%d", l->port);
        snprintf(d->hosts[1], sizeof(d->hosts[1]), "localhost:%d", l->port);
    }
    snprintf(d->url, sizeof(d->url), "http://%s/%s%s", l->name, guarded ? "?token=" : "",
             d->token);
    return rc;
}

/* Takes the listening socket over. */
static int start_daemon(struct clfcn_dashboard *d, struct clfcn_listener *l,
                        struct clfcn_err *err)
{
    const unsigned flags =
        MHD_ALLOW_SUSPEND_RESUME |
        (MHD_is_feature_supported(MHD_FEATURE_EPOLL) == MHD_YES ? MHD_USE_EPOLL : 0);
    errno = 0;
    d->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, clfcn_dashboard_answer, d, MHD_OPTION_LISTEN_SOCKET, l->fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CLFCN_DASHBOARD_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CLFCN_DASHBOARD_TIMEOUT,
        MHD_OPTION_NOTIFY_CONNECTION, clfcn_dashboard_connected, d,
        MHD_OPTION_NOTIFY_COMPLETED, clfcn_dashboard_answered, d, MHD_OPTION_END);
    if (!d->daemon) {
        const char *text = "--dashboard: libmicrohttpd does not start";
        return errno == 0 ? clfcn_err_set(err, CLFCN_EIO, 0, "%s", text)
                          : clfcn_err_errno(err, errno, "%s", text);
    }
    l->fd = -1;
    return CLFCN_OK;
}

static void destroy(struct clfcn_dashboard *d)
{
    clfcn_live_finish(&d->live);
    clfcn_mutex_finish(&d->lock);
    free(d->name);
    free(d->dir);
    free(d);
}

int clfcn_dashboard_start(const struct clfcn_dashboard_options *options,
                          struct clfcn_dashboard **out, struct clfcn_err *err)
{
    struct clfcn_listener listener = { .fd = -1 };
    *out = NULL;
    int rc = check_port(options->port, err);
    if (rc < 0) {
        return rc;
    }
    struct clfcn_dashboard *d = calloc(1, sizeof(*d));
    if (!d) {
        return clfcn_err_nomem(err);
    }
    clfcn_mutex_init(&d->lock);
    d->dir = strdup(options->dir);
    d->name = clfcn_history_name(options->dir);
    d->live.dir = d->dir;
    rc = d->dir && d->name ? open_port(options, &listener, err) : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = introduce(d, &listener, options->host != NULL, err);
    }
    if (rc == CLFCN_OK) {
        rc = start_daemon(d, &listener, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_thread_start(&d->thread, serve, d, err);
    }
    if (rc < 0) {
        if (d->daemon) {
            MHD_stop_daemon(d->daemon);
        }
        clfcn_listen_close(&listener);
        destroy(d);
        return rc;
    }
    *out = d;
    return CLFCN_OK;
}

const char *clfcn_dashboard_url(const struct clfcn_dashboard *d)
{
    return d->url;
}

const volatile bool *clfcn_dashboard_pause_flag(const struct clfcn_dashboard *d)
{
    return &d->pause;
}

void clfcn_dashboard_run_started(struct clfcn_dashboard *d)
{
    clfcn_mutex_lock(&d->lock);
    d->input.started = true;
    clfcn_mutex_unlock(&d->lock);
}

void clfcn_dashboard_progress(struct clfcn_dashboard *d, const struct clfcn_page_now *now)
{
    clfcn_mutex_lock(&d->lock);
    d->input.now = *now;
    clfcn_mutex_unlock(&d->lock);
}

void clfcn_dashboard_finish(struct clfcn_dashboard **d)
{
    if (!*d) {
        return;
    }
    clfcn_mutex_lock(&(*d)->lock);
    (*d)->input.ended = true;
    clfcn_mutex_unlock(&(*d)->lock);
    clfcn_thread_join(&(*d)->thread);
    destroy(*d);
    *d = NULL;
}
