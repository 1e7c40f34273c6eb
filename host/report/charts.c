/* charts.c - which curves the report shows. */
#include "page.h"
#include "svg.h"
#include <math.h>
#include <stdlib.h>

/* Points that a curve over steps is condensed to: more than the chart has pixels is of no
 * use. */
enum { MAX_POINTS = 240 };

enum field { LOSS, LR, STEP_MS };

static double step_value(const struct clfcn_history_step *s, enum field field)
{
    return field == LOSS ? s->loss : field == LR ? s->lr : s->ms;
}

/* Mean, smallest and largest value of each of at most MAX_POINTS stretches of the run;
 * returns how many there are. */
static int condense(const struct clfcn_history *h, enum field field,
                    struct clfcn_svg_point points[MAX_POINTS])
{
    int n = h->step_count < MAX_POINTS ? h->step_count : MAX_POINTS;
    for (int i = 0; i < n; ++i) {
        int from = (int)((int64_t)h->step_count * i / n);
        int to = (int)((int64_t)h->step_count * (i + 1) / n);
        double sum = 0, lo = INFINITY, hi = -INFINITY;
        int known = 0;
        for (int k = from; k < to; ++k) {
            double v = step_value(&h->steps[k], field);
            if (isfinite(v)) {
                sum += v;
                lo = v < lo ? v : lo;
                hi = v > hi ? v : hi;
                ++known;
            }
        }
        points[i] = (struct clfcn_svg_point){
            .x = (from + 1 + to) / 2.0,
            .y = known ? sum / known : NAN,
            .lo = lo,
            .hi = hi,
        };
    }
    return n;
}

/* Mean over the neighbourhood, so that a curve of single steps can be read; the band
 * keeps the values themselves. */
static void smooth(struct clfcn_svg_point *points, int n)
{
    double raw[MAX_POINTS];
    const int reach = n / 40;
    for (int i = 0; i < n; ++i) {
        raw[i] = points[i].y;
    }
    for (int i = 0; i < n; ++i) {
        double sum = 0;
        int known = 0;
        for (int k = i - reach; k <= i + reach; ++k) {
            if (k >= 0 && k < n && isfinite(raw[k])) {
                sum += raw[k];
                ++known;
            }
        }
        points[i].y = known ? sum / known : NAN;
    }
}

static void chart_loss(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    struct clfcn_svg_point train[MAX_POINTS];
    struct clfcn_svg_point *val = calloc((size_t)h->epoch_count + 1, sizeof(*val));
    if (!val) {
        out->failed = true;
        return;
    }
    int n = condense(h, LOSS, train);
    smooth(train, n);
    for (int i = 0; i < h->epoch_count; ++i) {
        val[i].x = h->epochs[i].step;
        val[i].y = h->epochs[i].val_loss;
    }
    const struct clfcn_svg_series series[] = {
        { .name = "training", .color = 0, .points = train, .count = n, .band = true },
        { .name = "validation", .color = 1, .points = val, .count = h->epoch_count,
          .dots = true },
    };
    const struct clfcn_svg_chart chart = {
        .title = "Loss",
        .x_label = "step",
        .series = series,
        .count = 2,
        .from_zero = true,
        .y_max = NAN,
    };
    clfcn_svg_chart(out, &chart);
    free(val);
}

static void chart_metrics(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    enum { CURVES = 4 };
    static const char *const names[CURVES] = { "mean IoU", "pixel acc", "mean acc",
                                               "f.w. IoU" };
    size_t n = (size_t)h->epoch_count;
    struct clfcn_svg_point *points = calloc(CURVES * n + 1, sizeof(*points));
    if (!points) {
        out->failed = true;
        return;
    }
    struct clfcn_svg_series series[CURVES];
    for (int s = 0; s < CURVES; ++s) {
        struct clfcn_svg_point *p = points + (size_t)s * n;
        for (size_t i = 0; i < n; ++i) {
            const struct clfcn_history_epoch *e = &h->epochs[i];
            const double values[CURVES] = { e->mean_iou, e->pixel_acc, e->mean_acc,
                                            e->fw_iou };
            p[i].x = e->number;
            p[i].y = values[s];
        }
        series[s] = (struct clfcn_svg_series){
            .name = names[s], .color = s, .points = p, .count = h->epoch_count,
            .dots = true,
        };
    }
    const struct clfcn_svg_chart chart = {
        .title = "Validation", .x_label = "epoch", .series = series, .count = CURVES,
        .from_zero = true, .y_max = 1,
    };
    clfcn_svg_chart(out, &chart);
    free(points);
}

static void chart_steps(struct clfcn_strbuf *out, const struct clfcn_history *h,
                        enum field field, const char *title, const char *name, int color)
{
    struct clfcn_svg_point points[MAX_POINTS];
    int n = condense(h, field, points);
    const struct clfcn_svg_series series = {
        .name = name, .color = color, .points = points, .count = n,
        .band = field == STEP_MS,
    };
    const struct clfcn_svg_chart chart = {
        .title = title,
        .x_label = "step",
        .series = &series,
        .count = 1,
        .from_zero = true,
        .y_max = NAN,
    };
    clfcn_svg_chart(out, &chart);
}

static bool lr_changes(const struct clfcn_history *h)
{
    for (int i = 1; i < h->step_count; ++i) {
        if (h->steps[i].lr != h->steps[0].lr) {
            return true;
        }
    }
    return false;
}

void clfcn_page_charts(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    clfcn_strbuf_add(out, "<div class=\"charts\">\n");
    chart_loss(out, h);
    chart_metrics(out, h);
    chart_steps(out, h, STEP_MS, "Time of a step", "milliseconds", 2);
    if (lr_changes(h)) {
        chart_steps(out, h, LR, "Learning rate", "rate", 3);
    }
    clfcn_strbuf_add(out, "</div>\n");
}
