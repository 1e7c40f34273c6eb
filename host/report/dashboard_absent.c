/* dashboard_absent.c - what a build without libmicrohttpd has in place of a dashboard. */
#include "dashboard.h"

int clfcn_dashboard_start(const struct clfcn_dashboard_options *options,
                          struct clfcn_dashboard **out, struct clfcn_err *err)
{
    *out = NULL;
    return clfcn_err_set(err, CLFCN_EINVAL, 0,
                         "--dashboard: this clfcn was built without libmicrohttpd; "
                         "install it (libmicrohttpd-dev) and build again, or look at "
                         "report.html in the run folder");
}

const char *clfcn_dashboard_url(const struct clfcn_dashboard *d)
{
    return "";
}

const volatile bool *clfcn_dashboard_pause_flag(const struct clfcn_dashboard *d)
{
    return NULL;
}

void clfcn_dashboard_run_started(struct clfcn_dashboard *d)
{
}

void clfcn_dashboard_progress(struct clfcn_dashboard *d, const struct clfcn_page_now *now)
{
}

void clfcn_dashboard_finish(struct clfcn_dashboard **d)
{
}
