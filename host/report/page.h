/* page.h - the sections of a run's page, as the report and the dashboard show them. */
#ifndef CLFCN_REPORT_PAGE_H
#define CLFCN_REPORT_PAGE_H

#include "../util/strbuf.h"
#include "history.h"

/* What the log does not say of a run that is under way. */
struct clfcn_page_now {
    bool known;      /* false: nothing of the following is */
    bool validating; /* step and steps are batches of the validation then */
    int epoch;       /* counts from 1 */
    int step, steps; /* within the epoch; step counts from 1 */
    double images_per_s;
    double remaining_s; /* of the whole run; < 0: not known */
};

/* Append the whole report. Whether memory sufficed is in out->failed, as it is with all
 * of the following. */
void clfcn_page_report(struct clfcn_strbuf *out, const struct clfcn_history *h);
/* Append the dashboard's page: the sections' places, which its script fills. */
void clfcn_page_dashboard(struct clfcn_strbuf *out, const char *name);

/* Name, network, device. (page_now.c) */
void clfcn_page_head(struct clfcn_strbuf *out, const struct clfcn_history *h);
/* "Paused: on battery". Returns buf. */
enum { CLFCN_PAGE_STATE_LEN = 512 };
const char *clfcn_page_state(const struct clfcn_history *h,
                             char buf[CLFCN_PAGE_STATE_LEN]);
/* Whether it ended with an error. */
bool clfcn_page_failed(const struct clfcn_history *h);
/* How far it is, how fast it goes. */
void clfcn_page_now(struct clfcn_strbuf *out, const struct clfcn_history *h,
                    const struct clfcn_page_now *now);

/* Figures of the best and the last epoch. (page_results.c) */
void clfcn_page_summary(struct clfcn_strbuf *out, const struct clfcn_history *h);
/* Classes, samples, epochs, configuration. Samples are embedded, or linked as
 * "samples/NAME". */
void clfcn_page_results(struct clfcn_strbuf *out, const struct clfcn_history *h,
                        bool link);

/* (charts.c) */
void clfcn_page_charts(struct clfcn_strbuf *out, const struct clfcn_history *h);

/* A figure with its name above and a note below; nothing if value is not finite. */
void clfcn_page_tile(struct clfcn_strbuf *out, const char *name, const char *format,
                     double value, const char *note);

#endif
