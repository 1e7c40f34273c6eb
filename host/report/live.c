/* live.c - the sections of a run's page while it is under way. */
#include "live.h"
#include "../util/sys.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Lines of the log read at once: a resumed run's is long. */
enum { LINES = 5000 };

static const struct {
    const char *name;
    double interval; /* least seconds from one rendering to the next */
} parts[CLFCN_LIVE_PARTS] = {
    [CLFCN_LIVE_STATE] = { "state", 0 },   [CLFCN_LIVE_HEAD] = { "head", 0 },
    [CLFCN_LIVE_NOW] = { "now", 0.5 },     [CLFCN_LIVE_SUMMARY] = { "summary", 2 },
    [CLFCN_LIVE_CHARTS] = { "charts", 2 }, [CLFCN_LIVE_RESULTS] = { "results", 5 },
};

const char *clfcn_live_name(enum clfcn_live_part part)
{
    return parts[part].name;
}

static void mark(struct clfcn_live *live, enum clfcn_live_part part)
{
    live->sections[part].stale = true;
}

/* --- what has changed --- */

static bool open_history(struct clfcn_live *live)
{
    if (clfcn_history_open(&live->history, live->dir, NULL) < 0) {
        clfcn_history_close(&live->history);
        return false;
    }
    return true;
}

bool clfcn_live_follow(struct clfcn_live *live, const struct clfcn_live_input *in)
{
    live->open = live->open || (in->started && open_history(live));
    if (!live->open) {
        return false;
    }
    struct clfcn_history *h = &live->history;
    const int64_t steps = h->step_count;
    const int lines = clfcn_history_follow(h, LINES, NULL);
    mark(live, CLFCN_LIVE_NOW);
    if (h->step_count != steps) {
        mark(live, CLFCN_LIVE_CHARTS);
    }
    if (h->start != live->start || h->epoch_total != live->epochs) {
        json_decref(live->start);
        live->start = json_incref(h->start);
        live->epochs = h->epoch_total;
        clfcn_history_find_samples(h, NULL);
        for (int p = CLFCN_LIVE_HEAD; p < CLFCN_LIVE_PARTS; ++p) {
            mark(live, (enum clfcn_live_part)p);
        }
    }
    return lines == LINES;
}

/* --- rendering --- */

struct standing {
    const char *state; /* for the script */
    const char *text;  /* for people */
};

static struct standing standing_of(const struct clfcn_live *live,
                                   const struct clfcn_live_input *in,
                                   char buf[CLFCN_PAGE_STATE_LEN])
{
    const enum clfcn_history_state state = live->history.state;
    if (state == CLFCN_HISTORY_ENDED) {
        return (struct standing){ clfcn_page_failed(&live->history) ? "failed" : "ended",
                                  clfcn_page_state(&live->history, buf) };
    }
    if (in->ended) {
        return (struct standing){ "failed",
                                  "Ended before it began: the terminal says why" };
    }
    if (in->stop) {
        return (struct standing){ "stopping", "Stopping after this step" };
    }
    if (state == CLFCN_HISTORY_PAUSED) {
        return (struct standing){ "paused", clfcn_page_state(&live->history, buf) };
    }
    if (in->pause) {
        return (struct standing){ "pausing", in->now.validating
                                                 ? "Pausing after this validation"
                                                 : "Pausing after this step" };
    }
    if (state == CLFCN_HISTORY_EMPTY) {
        return (struct standing){ "starting", "Starting" };
    }
    return in->now.validating ? (struct standing){ "validating", "Validating" }
                              : (struct standing){ "training", "Training" };
}

static void render_state(struct clfcn_strbuf *out, const struct clfcn_live *live,
                         const struct clfcn_live_input *in)
{
    char buf[CLFCN_PAGE_STATE_LEN];
    const struct standing s = standing_of(live, in, buf);
    json_t *json = json_pack("{s:s, s:s, s:b}", "state", s.state, "text", s.text, "pause",
                             (int)in->pause);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    out->failed = out->failed || !text;
    clfcn_strbuf_add(out, "%s", text ? text : "");
    free(text);
    json_decref(json);
}

static void render_part(struct clfcn_strbuf *out, const struct clfcn_live *live,
                        const struct clfcn_live_input *in, enum clfcn_live_part part)
{
    switch (part) {
    case CLFCN_LIVE_HEAD:
        clfcn_page_head(out, &live->history);
        break;
    case CLFCN_LIVE_NOW:
        clfcn_page_now(out, &live->history, &in->now);
        break;
    case CLFCN_LIVE_SUMMARY:
        clfcn_page_summary(out, &live->history);
        break;
    case CLFCN_LIVE_CHARTS:
        clfcn_page_charts(out, &live->history);
        break;
    case CLFCN_LIVE_RESULTS:
        clfcn_page_results(out, &live->history, true);
        break;
    case CLFCN_LIVE_STATE:
    case CLFCN_LIVE_PARTS:
        render_state(out, live, in);
        break;
    }
}

/* Take text over if it says anything new. */
static void replace(struct clfcn_live_section *s, struct clfcn_strbuf *text)
{
    const bool same = s->text.len == text->len &&
                      (text->len == 0 || memcmp(s->text.str, text->str, text->len) == 0);
    if (text->failed || same) {
        clfcn_strbuf_free(text);
        return;
    }
    clfcn_strbuf_free(&s->text);
    s->text = *text;
    ++s->version;
}

void clfcn_live_render(struct clfcn_live *live, const struct clfcn_live_input *in)
{
    const double now = clfcn_clock();
    mark(live, CLFCN_LIVE_STATE);
    for (int p = 0; p < CLFCN_LIVE_PARTS; ++p) {
        struct clfcn_live_section *s = &live->sections[p];
        const bool due = s->version == 0 || now - s->rendered_at >= parts[p].interval;
        if (!s->stale || !(due || in->ended)) {
            continue;
        }
        struct clfcn_strbuf text = { 0 };
        render_part(&text, live, in, (enum clfcn_live_part)p);
        replace(s, &text);
        s->stale = false;
        s->rendered_at = now;
    }
}

void clfcn_live_finish(struct clfcn_live *live)
{
    for (int p = 0; p < CLFCN_LIVE_PARTS; ++p) {
        clfcn_strbuf_free(&live->sections[p].text);
    }
    json_decref(live->start);
    if (live->open) {
        clfcn_history_close(&live->history);
    }
}
