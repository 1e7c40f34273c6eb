/* page_now.c - what a run is, and where it stands. */
#include "html.h"
#include "page.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char *config_text(const struct clfcn_history *h, const char *key)
{
    const char *s = json_string_value(json_object_get(h->config, key));
    return s ? s : "?";
}

void clfcn_page_head(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    const char *device = json_string_value(json_object_get(h->start, "device"));
    const char *driver = json_string_value(json_object_get(h->start, "driver"));
    clfcn_strbuf_add(out, "<h1>");
    clfcn_html_text(out, h->name);
    clfcn_strbuf_add(out, "</h1>\n<p>");
    clfcn_html_text(out, config_text(h, "arch"));
    clfcn_strbuf_add(out, " on ");
    clfcn_html_text(out, config_text(h, "backbone"));
    clfcn_strbuf_add(out, ", ");
    clfcn_html_text(out, config_text(h, "size"));
    clfcn_strbuf_add(out, ", batch %g, ", clfcn_history_number(h->config, "batch"));
    clfcn_html_text(out, config_text(h, "optimizer"));
    clfcn_strbuf_add(out, ", loss ");
    clfcn_html_text(out, config_text(h, "loss"));
    clfcn_strbuf_add(out, "</p>\n");
    if (device) {
        clfcn_strbuf_add(out, "<p class=\"soft\">");
        clfcn_html_text(out, device);
        if (driver) {
            clfcn_strbuf_add(out, ", driver ");
            clfcn_html_text(out, driver);
        }
        clfcn_strbuf_add(out, "</p>\n");
    }
}

/* --- state --- */

struct word {
    const char *reason, *text;
};

static const char *look_up(const struct word *words, const char *reason)
{
    while (words->reason && strcmp(words->reason, reason) != 0) {
        ++words;
    }
    return words->text;
}

bool clfcn_page_failed(const struct clfcn_history *h)
{
    const char *reason = json_string_value(json_object_get(h->why, "reason"));
    return h->state == CLFCN_HISTORY_ENDED && reason && strcmp(reason, "failed") == 0;
}

static void end_text(const struct clfcn_history *h, char *buf, size_t n)
{
    static const struct word words[] = {
        { "completed", "Finished" },
        { "early-stop", "Finished early: the validation did not get better any more" },
        { "max-steps", "Finished: it was to take no more steps" },
        { "interrupted", "Stopped; its state is saved" },
        { "failed", "Failed" },
        { NULL, NULL },
    };
    const char *reason = json_string_value(json_object_get(h->why, "reason"));
    const char *message = json_string_value(json_object_get(h->why, "message"));
    const char *text = look_up(words, reason ? reason : "");
    if (text && message && clfcn_page_failed(h)) {
        snprintf(buf, n, "%s: %s", text, message);
    } else if (text) {
        snprintf(buf, n, "%s", text);
    } else {
        snprintf(buf, n, "Finished: %s", reason ? reason : "no reason given");
    }
}

const char *clfcn_page_state(const struct clfcn_history *h,
                             char buf[CLFCN_PAGE_STATE_LEN])
{
    static const struct word pauses[] = {
        { "request", "Paused" },
        { "battery", "Paused: on battery" },
        { "temperature", "Paused: too hot" },
        { NULL, "Paused" },
    };
    const char *reason = json_string_value(json_object_get(h->why, "reason"));
    switch (h->state) {
    case CLFCN_HISTORY_EMPTY:
        snprintf(buf, CLFCN_PAGE_STATE_LEN, "Not started yet");
        break;
    case CLFCN_HISTORY_RUNNING:
        snprintf(buf, CLFCN_PAGE_STATE_LEN,
                 "Training, unless it was killed: its log has "
                 "no end");
        break;
    case CLFCN_HISTORY_PAUSED:
        snprintf(buf, CLFCN_PAGE_STATE_LEN, "%s", look_up(pauses, reason ? reason : ""));
        break;
    case CLFCN_HISTORY_ENDED:
        end_text(h, buf, CLFCN_PAGE_STATE_LEN);
        break;
    }
    return buf;
}

/* --- progress --- */

/* Steps of the whole run, 0 if not known. */
static double total_steps(const struct clfcn_history *h)
{
    const double all = clfcn_history_number(h->start, "epochs") *
                       clfcn_history_number(h->start, "steps_per_epoch");
    const double limit = clfcn_history_number(h->config, "max-steps");
    const double total = limit >= 0 && limit < all ? limit : all;
    return isfinite(total) ? total : 0;
}

static void progress_text(struct clfcn_strbuf *out, const struct clfcn_history *h,
                          const struct clfcn_page_now *now)
{
    const double epochs = clfcn_history_number(h->start, "epochs");
    if (now->known && h->state != CLFCN_HISTORY_ENDED) {
        clfcn_strbuf_add(out, "Epoch %d of %.0f, %s %d of %d", now->epoch, epochs,
                         now->validating ? "validation: batch" : "step", now->step,
                         now->steps);
    } else {
        clfcn_strbuf_add(out, "%d of %.0f epochs", h->epoch_total, epochs);
    }
}

static void progress(struct clfcn_strbuf *out, const struct clfcn_history *h,
                     const struct clfcn_page_now *now)
{
    const double total = total_steps(h);
    const double share = total > 0 ? fmin(1, (double)h->step_count / total) : 0;
    clfcn_strbuf_add(out, "<p class=\"row\"><span>");
    progress_text(out, h, now);
    clfcn_strbuf_add(out,
                     "</span><span>%" PRId64 " of %.0f steps</span></p>\n"
                     "<div class=\"progress\" role=\"progressbar\" aria-label=\"Steps "
                     "done\" aria-valuemin=\"0\" aria-valuemax=\"100\" "
                     "aria-valuenow=\"%.0f\"><div style=\"width:%.2f%%\"></div></div>\n",
                     h->step_count, total, 100 * share, 100 * share);
}

void clfcn_page_now(struct clfcn_strbuf *out, const struct clfcn_history *h,
                    const struct clfcn_page_now *now)
{
    if (!h->start) {
        return;
    }
    char note[64], left[CLFCN_DURATION_LEN];
    progress(out, h, now);
    clfcn_strbuf_add(out, "<div class=\"tiles\">\n");
    snprintf(note, sizeof(note), "of step %" PRId64, h->step_count);
    clfcn_page_tile(out, "Loss", "%.4f", h->last_loss, note);
    clfcn_page_tile(out, "Learning rate", "%.4g", h->last_lr, note);
    clfcn_page_tile(out, "Time of a step", h->last_ms < 1000 ? "%.1f ms" : "%.0f ms",
                    h->last_ms, note);
    if (now->known && now->images_per_s > 0) {
        clfcn_page_tile(out, "Images a second", "%.1f", now->images_per_s, "lately");
    }
    if (now->known && h->state != CLFCN_HISTORY_ENDED && now->remaining_s >= 0 &&
        now->remaining_s < 1e8) {
        clfcn_strbuf_add(out,
                         "<div class=\"tile\"><span>Time left</span><b>%s</b>"
                         "<span>of the whole run</span></div>\n",
                         clfcn_format_duration(now->remaining_s, left));
    }
    clfcn_strbuf_add(out, "</div>\n");
}
