/* charts.c - which curves the report shows. */
#include "page.h"
#include "svg.h"
#include <math.h>

enum field { LOSS, LR, STEP_MS };

static const struct clfcn_history_range *range_of(const struct clfcn_history_stretch *s,
                                                  enum field field)
{
    return field == LOSS ? &s->loss : field == LR ? &s->lr : &s->ms;
}

/* Mean, smallest and largest value of each stretch. */
static int curve(const struct clfcn_history *h, enum field field,
                 struct clfcn_svg_point points[CLFCN_HISTORY_STRETCHES])
{
    for (int i = 0; i < h->stretch_count; ++i) {
        const struct clfcn_history_stretch *s = &h->stretches[i];
        const struct clfcn_history_range *r = range_of(s, field);
        points[i] = (struct clfcn_svg_point){
            .x = (double)s->first + (double)(s->count - 1) / 2,
            .y = clfcn_history_mean(r),
            .lo = r->lo,
            .hi = r->hi,
        };
    }
    return h->stretch_count;
}

/* Mean over the neighbourhood, so that a curve of single steps can be read; the band
 * keeps the values themselves. */
static void smooth(struct clfcn_svg_point *points, int n)
{
    double raw[CLFCN_HISTORY_STRETCHES];
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
    struct clfcn_svg_point train[CLFCN_HISTORY_STRETCHES];
    struct clfcn_svg_point val[CLFCN_HISTORY_EPOCHS];
    int n = curve(h, LOSS, train);
    smooth(train, n);
    for (int i = 0; i < h->epoch_count; ++i) {
        val[i] = (struct clfcn_svg_point){ .x = (double)h->epochs[i].step,
                                           .y = h->epochs[i].val_loss };
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
}

static void chart_epochs(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    struct clfcn_svg_point train[CLFCN_HISTORY_EPOCHS], val[CLFCN_HISTORY_EPOCHS];
    for (int i = 0; i < h->epoch_count; ++i) {
        const struct clfcn_history_epoch *e = &h->epochs[i];
        train[i] = (struct clfcn_svg_point){ .x = e->number, .y = e->train_loss };
        val[i] = (struct clfcn_svg_point){ .x = e->number, .y = e->val_loss };
    }
    const struct clfcn_svg_series series[] = {
        { .name = "training", .color = 0, .points = train, .count = h->epoch_count,
          .dots = true },
        { .name = "validation", .color = 1, .points = val, .count = h->epoch_count,
          .dots = true },
    };
    const struct clfcn_svg_chart chart = {
        .title = "Loss of an epoch", .x_label = "epoch", .series = series, .count = 2,
        .from_zero = true, .y_max = NAN,
    };
    clfcn_svg_chart(out, &chart);
}

static void chart_metrics(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    enum { CURVES = 4 };
    static const char *const names[CURVES] = { "mean IoU", "pixel acc", "mean acc",
                                               "f.w. IoU" };
    struct clfcn_svg_point points[CURVES][CLFCN_HISTORY_EPOCHS];
    struct clfcn_svg_series series[CURVES];
    for (int s = 0; s < CURVES; ++s) {
        for (int i = 0; i < h->epoch_count; ++i) {
            const struct clfcn_history_epoch *e = &h->epochs[i];
            const double values[CURVES] = { e->mean_iou, e->pixel_acc, e->mean_acc,
                                            e->fw_iou };
            points[s][i] = (struct clfcn_svg_point){ .x = e->number, .y = values[s] };
        }
        series[s] = (struct clfcn_svg_series){
            .name = names[s], .color = s, .points = points[s],
            .count = h->epoch_count, .dots = true,
        };
    }
    const struct clfcn_svg_chart chart = {
        .title = "Validation", .x_label = "epoch", .series = series, .count = CURVES,
        .from_zero = true, .y_max = 1,
    };
    clfcn_svg_chart(out, &chart);
}

static void chart_steps(struct clfcn_strbuf *out, const struct clfcn_history *h,
                        enum field field, const char *title, const char *name, int color)
{
    struct clfcn_svg_point points[CLFCN_HISTORY_STRETCHES];
    int n = curve(h, field, points);
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
    for (int i = 0; i < h->stretch_count; ++i) {
        const struct clfcn_history_range *lr = &h->stretches[i].lr;
        if (lr->lo != lr->hi || lr->lo != h->stretches[0].lr.lo) {
            return true;
        }
    }
    return false;
}

void clfcn_page_charts(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    clfcn_strbuf_add(out, "<div class=\"charts\">\n");
    chart_loss(out, h);
    chart_epochs(out, h);
    chart_metrics(out, h);
    chart_steps(out, h, STEP_MS, "Time of a step", "milliseconds", 2);
    if (lr_changes(h)) {
        chart_steps(out, h, LR, "Learning rate", "rate", 3);
    }
    clfcn_strbuf_add(out, "</div>\n");
}
