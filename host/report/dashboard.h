/* dashboard.h - a run's page, served while the run goes on. */
#ifndef CLFCN_REPORT_DASHBOARD_H
#define CLFCN_REPORT_DASHBOARD_H

#include "../util/err.h"
#include "page.h"

struct clfcn_dashboard;

struct clfcn_dashboard_options {
    const char *dir;  /* run folder, need not exist yet */
    const char *host; /* address to listen at; NULL: 127.0.0.1, and no token */
    int port;         /* 0: any that is free */
};

/**
 * Listen, and serve from a thread of its own until clfcn_dashboard_finish(). The page is
 * made from the run's log as it grows; what the calls below say takes no time and waits
 * for nobody.
 *
 * @param out  Receives the dashboard, or NULL on error.
 *
 * @return CLFCN_OK; CLFCN_EINVAL for a port that is none, and in builds without
 *         libmicrohttpd; CLFCN_EIO if the port is taken; CLFCN_ENOMEM.
 */
int clfcn_dashboard_start(const struct clfcn_dashboard_options *options,
                          struct clfcn_dashboard **out, struct clfcn_err *err);

/* Where to find it, with the token if there is one. */
const char *clfcn_dashboard_url(const struct clfcn_dashboard *d);
/* True while somebody wants the run to pause. A wish to stop it goes to
 * clfcn_interrupt_request(). */
const volatile bool *clfcn_dashboard_pause_flag(const struct clfcn_dashboard *d);

/* The run has its folder and log now. */
void clfcn_dashboard_run_started(struct clfcn_dashboard *d);
void clfcn_dashboard_progress(struct clfcn_dashboard *d,
                              const struct clfcn_page_now *now);

/* The run is over: show everybody how it ended, close, free. Takes two seconds at
 * most. */
void clfcn_dashboard_finish(struct clfcn_dashboard **d);

#endif
