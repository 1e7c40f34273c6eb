/* live.h - the sections of a run's page while it is under way: rendered when they have
 * changed, and not too often. One thread's. */
#ifndef CLFCN_REPORT_LIVE_H
#define CLFCN_REPORT_LIVE_H

#include "page.h"

enum clfcn_live_part {
    CLFCN_LIVE_STATE, /* JSON; the others are HTML */
    CLFCN_LIVE_HEAD,
    CLFCN_LIVE_NOW,
    CLFCN_LIVE_SUMMARY,
    CLFCN_LIVE_CHARTS,
    CLFCN_LIVE_RESULTS,
    CLFCN_LIVE_PARTS
};

struct clfcn_live_section {
    struct clfcn_strbuf text;
    uint64_t version; /* 0: nothing yet */
    bool stale;
    double rendered_at; /* clock */
};

/* What the trainer and the user said last. */
struct clfcn_live_input {
    bool started; /* the run's log is there */
    bool pause, stop;
    bool ended; /* nothing more will come */
    struct clfcn_page_now now;
};

/* Zero-initialised, with dir and name set, is empty. */
struct clfcn_live {
    const char *dir; /* run folder, borrowed */
    struct clfcn_history history;
    bool open;
    json_t *start; /* the event that head shows */
    int epochs;    /* that summary and results show */
    struct clfcn_live_section sections[CLFCN_LIVE_PARTS];
};

/* The name of a part's section on the page. */
const char *clfcn_live_name(enum clfcn_live_part part);

/* Read what is new. True if there is more than could be read in a moment. A log that
 * cannot be read any more is left alone. */
bool clfcn_live_follow(struct clfcn_live *live, const struct clfcn_live_input *in);
/* Bring the sections up to date, each as often as it may be, at the end in any case. A
 * section that memory does not suffice for stays as it was. */
void clfcn_live_render(struct clfcn_live *live, const struct clfcn_live_input *in);
void clfcn_live_finish(struct clfcn_live *live);

#endif
