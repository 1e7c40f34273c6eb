/* train_dashboard.h - `clfcn train --dashboard`: options, and the way from the trainer's
 * callbacks to the page. */
#ifndef CLFCN_CLI_TRAIN_DASHBOARD_H
#define CLFCN_CLI_TRAIN_DASHBOARD_H

#include "../report/dashboard.h"
#include "options.h"
#include <clfcn/train.h>

/* Zero-initialised: none is wanted. */
struct train_dashboard {
    bool wanted;
    const char *host; /* --dashboard-host, or NULL */
    int port;
    struct clfcn_dashboard *server; /* NULL until it is started */
};

/* Rows of the option table. */
#define TRAIN_DASHBOARD_ROWS(d) \
    { .name = "dashboard", .kind = CLI_INT, .target = &(d)->port, .arg = "[PORT]", \
      .bare = "8097", .dflt = "", .resume = true, \
      .help = "show the run on a live page, at 8097 if no port is given; 0: any " \
              "that is free" }, \
    { .name = "dashboard-host", .kind = CLI_STRING, .target = &(d)->host, \
      .arg = "ADDR", .dflt = "127.0.0.1", .resume = true, \
      .help = "where it listens; its address then holds a token, without which nobody " \
              "sees it" }

/* If it is wanted, serve the run in dir and say where. */
int train_dashboard_start(struct train_dashboard *d, struct cli_env *env, const char *dir,
                          struct clfcn_err *err);
/* Hand on what the callbacks of clfcn_train() were told. */
void train_dashboard_event(struct train_dashboard *d, const char *event);
void train_dashboard_progress(struct train_dashboard *d, const struct clfcn_progress *p);

#endif
