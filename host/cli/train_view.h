/* train_view.h - what `clfcn train` shows while it runs. */
#ifndef CLFCN_CLI_TRAIN_VIEW_H
#define CLFCN_CLI_TRAIN_VIEW_H

#include "../report/tensorboard.h"
#include "train_dashboard.h"

struct train_view {
    struct cli_env *env;
    const char *run;                     /* run folder */
    const struct clfcn_classes *classes; /* names for the per-class table */
    int epochs;
    const char *restarted; /* why the process before this one ended; NULL: none was */
    struct train_dashboard dashboard;
    const char *tensorboard_dir;           /* NULL: not wanted */
    struct clfcn_tensorboard *tensorboard; /* owned; NULL: not wanted, or it failed */
    double last_plain; /* clock of the last line where no line can be redrawn */
    bool report_failed;                  /* said once, not after every epoch */
};

/* Callbacks of clfcn_train(); user is a struct train_view. */
void train_view_event(void *user, const char *event, const char *json);
void train_view_progress(void *user, const struct clfcn_progress *p);

/* Show how the run ended on the page and end the event file; a failure is only a
 * warning. */
void train_view_finish(struct train_view *view);

/* Bring the run's report.html up to date; a failure is only a warning. */
void train_view_report(struct train_view *view);

#endif
