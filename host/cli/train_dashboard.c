/* train_dashboard.c - `clfcn train --dashboard`. */
#include "train_dashboard.h"
#include <string.h>

int train_dashboard_start(struct train_dashboard *d, struct cli_env *env, const char *dir,
                          struct clfcn_err *err)
{
    if (!d->wanted && d->host) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--dashboard-host says who may see --dashboard: give both");
    }
    if (!d->wanted) {
        return CLFCN_OK;
    }
    const struct clfcn_dashboard_options options = { dir, d->host, d->port };
    int rc = clfcn_dashboard_start(&options, &d->server, err);
    if (rc < 0) {
        return rc;
    }
    /* Also with --quiet: without the address nobody finds it. */
    cli_screen_print(&env->screen, stderr, "dashboard: %s\n",
                     clfcn_dashboard_url(d->server));
    return CLFCN_OK;
}

void train_dashboard_event(struct train_dashboard *d, const char *event)
{
    if (d->server && strcmp(event, "start") == 0) {
        clfcn_dashboard_run_started(d->server);
    }
}

void train_dashboard_progress(struct train_dashboard *d, const struct clfcn_progress *p)
{
    if (!d->server) {
        return;
    }
    const struct clfcn_page_now now = {
        .known = true,
        .validating = p->validating,
        .epoch = p->epoch + 1,
        .step = p->step,
        .steps = p->steps,
        .images_per_s = p->images_per_s,
        .remaining_s = p->remaining_s,
    };
    clfcn_dashboard_progress(d->server, &now);
}
