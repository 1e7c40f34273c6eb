/* train_view.c - live progress, the summary of an epoch, the report beside the run. */
#include "train_view.h"
#include "../report/report.h"
#include "../util/log.h"
#include "../util/strbuf.h"
#include "../util/sys.h"
#include <math.h>
#include <string.h>

/* Seconds between progress lines where stderr is no terminal. */
static const double plain_interval = 5;

/* "1:02:03"; "-" if not known. */
static void format_eta(double s, char *buf, size_t n)
{
    if (!(s >= 0 && s < 1e8)) {
        snprintf(buf, n, "-");
        return;
    }
    long t = (long)(s + 0.5);
    snprintf(buf, n, "%ld:%02ld:%02ld", t / 3600, t / 60 % 60, t % 60);
}

/* " (3.1+3.0, waiting 2+5 %)": what each rank does; of many, from what to what. */
static void format_ranks(const struct clfcn_progress *p, char *buf, size_t n)
{
    enum { MANY = 4 };
    double least = INFINITY, most = 0, low = 1, high = 0;
    struct clfcn_strbuf speeds = { 0 }, waits = { 0 };
    *buf = '\0';
    for (int i = 0; p->ranks > 1 && i < p->ranks; ++i) {
        const struct clfcn_rank_progress *r = &p->rank[i];
        clfcn_strbuf_add(&speeds, "%s%.1f", i ? "+" : "", r->images_per_s);
        clfcn_strbuf_add(&waits, "%s%.0f", i ? "+" : "", 100 * r->wait);
        least = fmin(least, r->images_per_s);
        most = fmax(most, r->images_per_s);
        low = fmin(low, r->wait);
        high = fmax(high, r->wait);
    }
    if (p->ranks > MANY) {
        snprintf(buf, n, " (%d ranks, each %.1f to %.1f, waiting %.0f to %.0f %%)",
                 p->ranks, least, most, 100 * low, 100 * high);
    } else if (p->ranks > 1 && speeds.str && waits.str) {
        snprintf(buf, n, " (%s, waiting %s %%)", speeds.str, waits.str);
    }
    clfcn_strbuf_free(&speeds);
    clfcn_strbuf_free(&waits);
}

void train_view_progress(void *user, const struct clfcn_progress *p)
{
    struct train_view *view = user;
    train_dashboard_progress(&view->dashboard, p);
    if (view->env->json || view->env->quiet) {
        return;
    }
    char eta[32], speed[32] = "-", ranks[128] = "", text[384];
    format_eta(p->remaining_s, eta, sizeof(eta));
    if (p->images_per_s > 0) {
        snprintf(speed, sizeof(speed), "%.1f", p->images_per_s);
    }
    if (p->validating) {
        snprintf(text, sizeof(text), "epoch %d/%d validating %d/%d ETA %s", p->epoch + 1,
                 p->epochs, p->step, p->steps, eta);
    } else {
        format_ranks(p, ranks, sizeof(ranks));
        snprintf(text, sizeof(text),
                 "epoch %d/%d step %d/%d loss %.4f lr %.4g %s img/s%s ETA %s",
                 p->epoch + 1, p->epochs, p->step, p->steps, p->loss, p->lr, speed, ranks,
                 eta);
    }
    if (view->env->screen.terminal) {
        cli_screen_live(&view->env->screen, text);
        return;
    }
    double now = clfcn_clock();
    bool last = p->step == p->steps && !p->validating;
    if (last || now - view->last_plain >= plain_interval) {
        view->last_plain = now;
        cli_screen_print(&view->env->screen, stderr, "%s\n", text);
    }
}

static double number(const json_t *event, const char *key)
{
    const json_t *v = json_object_get(event, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

/* The per-class table, in as many columns as 80 characters hold. */
static void print_classes(struct cli_env *env, const struct clfcn_classes *k,
                          const json_t *iou)
{
    enum { COLUMN = 26, COLUMNS = 3 };
    int count = (int)json_array_size(iou);
    for (int c = 0; c < count && c < k->count; ++c) {
        const json_t *v = json_array_get(iou, (size_t)c);
        char text[16];
        if (json_is_number(v)) {
            snprintf(text, sizeof(text), "%.4f", json_number_value(v));
        } else {
            snprintf(text, sizeof(text), "-");
        }
        bool end = c % COLUMNS == COLUMNS - 1 || c == count - 1;
        cli_screen_print(&env->screen, stdout, "  %-15.15s %6s%s", k->list[c].name, text,
                         end ? "\n" : "  ");
    }
}

static void print_epoch(struct train_view *view, const json_t *e)
{
    struct cli_screen *screen = &view->env->screen;
    double val = number(e, "val_loss");
    cli_screen_print(screen, stdout, "epoch %d/%d: train loss %.4f",
                     (int)number(e, "epoch") + 1, view->epochs, number(e, "train_loss"));
    if (isfinite(val)) {
        cli_screen_print(screen, stdout,
                         ", val loss %.4f, pixel acc %.4f, mean acc %.4f, mean IoU %.4f",
                         val, number(e, "pixel_acc"), number(e, "mean_acc"),
                         number(e, "mean_iou"));
    }
    cli_screen_print(screen, stdout, ", %.1f s\n", number(e, "seconds"));
    const json_t *iou = json_object_get(e, "iou");
    if (isfinite(val) && json_array_size(iou) > 0) {
        print_classes(view->env, view->classes, iou);
    }
}

/* Who the ranks are, where there are several. */
static void print_ranks(struct train_view *view, const json_t *start)
{
    const json_t *ranks = json_object_get(start, "ranks");
    for (size_t i = 0; i < json_array_size(ranks); ++i) {
        const json_t *r = json_array_get(ranks, i);
        cli_screen_print(
            &view->env->screen, stderr, "rank %d: %s, %s: %d of %d images a step\n",
            (int)number(r, "rank"), json_string_value(json_object_get(r, "host")),
            json_string_value(json_object_get(r, "device")), (int)number(r, "batch"),
            (int)number(start, "batch"));
    }
}

static const char *word(const json_t *event, const char *key)
{
    const char *s = json_string_value(json_object_get(event, key));
    return s ? s : "-";
}

/* "[64][4][160][160]" */
static void print_brackets(struct cli_screen *screen, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); ++i) {
        cli_screen_print(screen, stdout, "[%lld]",
                         (long long)json_integer_value(json_array_get(list, i)));
    }
}

/* What --verify-every found wrong, to be sent to a vendor. */
static void print_wrong(struct cli_screen *screen, const json_t *e)
{
    const char *repeated = json_string_value(json_object_get(e, "repeated"));
    cli_screen_print(screen, stdout,
                     "The device computes wrongly at step %.0f, layer '%s' (%s), %s: %s ",
                     number(e, "step"), word(e, "layer"), word(e, "kind"),
                     word(e, "pass"), word(e, "tensor"));
    print_brackets(screen, json_object_get(e, "shape"));
    cli_screen_print(
        screen, stdout,
        "\n  apart       %.3g of what is summed there (tolerance %.3g), in %.0f "
        "numbers compared\n  furthest    ",
        number(e, "apart"), number(e, "tolerance"), number(e, "compared"));
    print_brackets(screen, json_object_get(e, "index"));
    cli_screen_print(screen, stdout, "  device %.9g  float64 %.9g\n",
                     number(e, "device_value"), number(e, "reference"));
    if (repeated) {
        cli_screen_print(screen, stdout, "  repeated    %s: %.9g\n", repeated,
                         number(e, "repeated_value"));
    }
    cli_screen_print(screen, stdout,
                     "  algorithm   %s\n  kernels     %s\n  device      %s; platform %s, "
                     "driver %s\n  clfcn       %s\n",
                     word(e, "algorithm"), word(e, "kernels"), word(e, "device"),
                     word(e, "platform"), word(e, "driver"), word(e, "version"));
}

/* The run is worth more than its event file: after a failure it goes on without. event
 * NULL: there was no memory for it. */
static void log_event(struct train_view *view, const json_t *event)
{
    struct clfcn_err err = { 0 };
    const int rc = event ? clfcn_tensorboard_event(view->tensorboard, event, &err)
                         : clfcn_err_nomem(&err);
    if (rc < 0) {
        clfcn_tensorboard_close(&view->tensorboard, NULL);
        clfcn_warn("no further events for TensorBoard: %s", err.msg);
    }
}

void train_view_finish(struct train_view *view)
{
    struct clfcn_err err = { 0 };
    clfcn_dashboard_finish(&view->dashboard.server);
    if (clfcn_tensorboard_close(&view->tensorboard, &err) < 0) {
        clfcn_warn("the last events for TensorBoard are lost: %s", err.msg);
    }
}

void train_view_event(void *user, const char *event, const char *json)
{
    struct train_view *view = user;
    train_dashboard_event(&view->dashboard, event);
    if (view->env->json) {
        cli_screen_print(&view->env->screen, stdout, "%s\n", json);
    }
    const bool epoch = strcmp(event, "epoch") == 0, start = strcmp(event, "start") == 0;
    const bool verify = strcmp(event, "verify") == 0;
    if (!epoch && !start && !verify && !view->tensorboard) {
        return;
    }
    json_t *e = json_loads(json, 0, NULL);
    if (view->tensorboard) {
        log_event(view, e);
    }
    if (e && start && !view->env->json && !view->env->quiet) {
        print_ranks(view, e);
    }
    if (e && verify && !view->env->json && !view->env->quiet &&
        json_is_false(json_object_get(e, "correct"))) {
        print_wrong(&view->env->screen, e);
    }
    if (e && epoch && !view->env->json && !view->env->quiet) {
        print_epoch(view, e);
    }
    json_decref(e);
    if (epoch) {
        train_view_report(view);
    }
}

void train_view_report(struct train_view *view)
{
    struct clfcn_err err = { 0 };
    if (clfcn_report_write(view->run, NULL, &err) < 0 && !view->report_failed) {
        view->report_failed = true;
        clfcn_warn("no report: %s", err.msg);
    }
}
