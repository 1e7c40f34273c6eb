/* compare_charts.c - bars of runs side by side: whole steps, and layer by layer. */
#include "compare_impl.h"
#include "html.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Of the view box; the page scales it to the column's width. */
enum { WIDTH = 480, RIGHT = 74 };

/* One row of a chart; NaN: nothing to draw. */
struct bar {
    const struct clfcn_bench_run *run;
    double value, low, high; /* low and high: a whisker; NaN: none */
};

/* Lengths of bars: in proportion, or, where one value is hundreds of times another, by
 * their logarithms, from a decade below the least on. */
struct scale {
    double least, most;
    bool logarithmic;
};

static const double FAR_APART = 100;

static struct scale scale_of(double least, double most)
{
    struct scale s = { least, most, least > 0 && most > FAR_APART * least };
    s.least = pow(10, floor(log10(least)) - 1);
    return s;
}

static double bar_width(double value, const struct scale *s, int left)
{
    const double share = s->logarithmic ? log(value / s->least) / log(s->most / s->least)
                                        : value / s->most;
    return fmax(share, 0) * (WIDTH - left - RIGHT);
}

static const char *scale_note(const struct scale *s)
{
    return s->logarithmic ? "; logarithmic" : "";
}

static void open_figure(struct clfcn_strbuf *out, const char *title, const char *note,
                        const struct scale *scale, int height)
{
    clfcn_strbuf_add(
        out,
        "<figure class=\"chart\"><figcaption><strong>%s</strong> <span "
        "class=\"legend\">%s%s</span></figcaption>\n<svg viewBox=\"0 0 %d %d\" "
        "role=\"img\" aria-label=\"%s\">\n",
        title, note, scale_note(scale), WIDTH, height, title);
}

static void draw_bar(struct clfcn_strbuf *out, const struct bar *b,
                     const struct scale *scale, int y)
{
    enum { LEFT = 26, THICK = 16 };
    char text[CLFCN_NUMBER_LEN];
    const double end = LEFT + bar_width(b->value, scale, LEFT);
    double text_at = end;
    clfcn_strbuf_add(out, "<text class=\"name\" x=\"0\" y=\"%d\">%c</text>", y + 13,
                     b->run->letter);
    if (!isfinite(b->value)) {
        clfcn_strbuf_add(out, "<text class=\"tick\" x=\"%d\" y=\"%d\">%s</text>\n", LEFT,
                         y + 13, b->run->failure ? "failed" : "not measured");
        return;
    }
    clfcn_strbuf_add(out,
                     "<rect class=\"bar s%d\" x=\"%d\" y=\"%d\" width=\"%.1f\" "
                     "height=\"%d\" rx=\"2\"/>",
                     clfcn_compare_color(b->run), LEFT, y, end - LEFT, THICK);
    if (isfinite(b->low)) {
        const double from = LEFT + bar_width(b->low, scale, LEFT);
        text_at = LEFT + bar_width(b->high, scale, LEFT);
        clfcn_strbuf_add(out,
                         "<path class=\"whisker\" d=\"M%.1f %dH%.1fM%.1f %dv8M%.1f "
                         "%dv8\"/>",
                         from, y + 8, text_at, from, y + 4, text_at, y + 4);
    }
    clfcn_strbuf_add(out, "<text class=\"value\" x=\"%.1f\" y=\"%d\">%s</text>\n",
                     fmax(end, text_at) + 6, y + 13,
                     clfcn_format_number(b->value, 4, text));
}

static void draw_bars(struct clfcn_strbuf *out, const char *title, const char *note,
                      const struct bar *bars, int count)
{
    enum { ROW = 26 };
    double most = 0, least = INFINITY;
    for (int i = 0; i < count; ++i) {
        most = fmax(most, fmax(bars[i].value, bars[i].high));
        least = fmin(least, bars[i].value);
    }
    const struct scale scale = scale_of(least, most);
    open_figure(out, title, note, &scale, ROW * count + 4);
    for (int i = 0; i < count; ++i) {
        draw_bar(out, &bars[i], &scale, ROW * i + 4);
    }
    clfcn_strbuf_add(out, "</svg></figure>\n");
}

/* The four bars of a run, NaN if it failed or was too slow. */
static void fill_bars(const struct clfcn_bench_run *r,
                      struct bar bars[4][CLFCN_BENCH_RUNS], int i)
{
    const bool ok = !r->failure;
    const double images = 1e3 * r->batch;
    bars[0][i] =
        (struct bar){ r, ok ? r->train.ms : NAN, r->train.lowest, r->train.highest };
    bars[1][i] = (struct bar){ r, ok ? images / r->train.ms : NAN, NAN, NAN };
    bars[2][i] =
        (struct bar){ r, ok ? r->infer.ms : NAN, r->infer.lowest, r->infer.highest };
    bars[3][i] = (struct bar){ r, ok ? images / r->infer.ms : NAN, NAN, NAN };
}

void clfcn_compare_bars(struct clfcn_strbuf *out, const struct clfcn_compare *c,
                        const struct clfcn_compare_group *g)
{
    static const char *const titles[] = { "Training step", "Training, images a second",
                                          "Inference", "Inference, images a second" };
    static const char spread[] = "ms, shorter is better; lines: lowest to highest";
    struct bar bars[4][CLFCN_BENCH_RUNS];
    for (int i = 0; i < g->count; ++i) {
        fill_bars(&c->runs[g->runs[i]], bars, i);
    }
    clfcn_strbuf_add(out, "<div class=\"charts\">\n");
    for (int k = 0; k < 4; ++k) {
        draw_bars(out, titles[k], k % 2 ? "longer is better" : spread, bars[k], g->count);
    }
    clfcn_strbuf_add(out, "</div>\n");
}

/* --- layers --- */

static const struct clfcn_bench_layer *find_layer(const struct clfcn_bench_run *run,
                                                  const char *name)
{
    for (int i = 0; i < run->layer_count; ++i) {
        if (strcmp(run->layers[i].name, name) == 0) {
            return &run->layers[i];
        }
    }
    return NULL;
}

/* Forward and backward; NaN if neither was measured. */
static double layer_ms(const struct clfcn_bench_layer *l)
{
    if (!l || (isnan(l->forward_ms) && isnan(l->backward_ms))) {
        return NAN;
    }
    return (isnan(l->forward_ms) ? 0 : l->forward_ms) +
           (isnan(l->backward_ms) ? 0 : l->backward_ms);
}

/* By their logarithms where the slowest layers of two runs are far apart: layers of one
 * run always are. */
static struct scale scale_of_layers(const struct clfcn_compare *c,
                                    const struct clfcn_compare_group *g)
{
    struct scale all = { .least = INFINITY };
    double slowest = INFINITY;
    for (int i = 0; i < g->count; ++i) {
        const struct clfcn_bench_run *r = &c->runs[g->runs[i]];
        double most = 0;
        for (int k = 0; k < r->layer_count; ++k) {
            const double ms = layer_ms(&r->layers[k]);
            most = fmax(most, ms);
            all.least = ms > 0 ? fmin(all.least, ms) : all.least;
        }
        slowest = most > 0 ? fmin(slowest, most) : slowest;
        all.most = fmax(all.most, most);
    }
    all.logarithmic = all.most > FAR_APART * slowest;
    all.least = pow(10, floor(log10(all.least)) - 1);
    return all;
}

/* The layer's bars below one another: forward, and lighter behind it, backward. */
static void draw_layer(struct clfcn_strbuf *out, const struct clfcn_compare *c,
                       const struct clfcn_compare_group *g, const char *name,
                       const struct scale *scale, int y, int thick)
{
    enum { LEFT = 92 };
    clfcn_strbuf_add(out, "<text class=\"tick\" x=\"0\" y=\"%d\">",
                     y + (g->count * thick + 9) / 2);
    clfcn_html_text(out, name);
    clfcn_strbuf_add(out, "</text>");
    for (int i = 0; i < g->count; ++i) {
        const struct clfcn_bench_run *run = &c->runs[g->runs[i]];
        const struct clfcn_bench_layer *l = find_layer(run, name);
        const double ms = layer_ms(l);
        if (isnan(ms)) {
            continue;
        }
        const double forward = isnan(l->forward_ms) ? 0 : l->forward_ms;
        const double end = bar_width(ms, scale, LEFT);
        const double middle = ms > 0 ? end * forward / ms : 0;
        char text[CLFCN_NUMBER_LEN];
        clfcn_strbuf_add(
            out,
            "<g class=\"s%d\"><title>%c: %.4g ms, of which forward %.4g</title><rect "
            "class=\"bar\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\"/><rect "
            "class=\"bar light\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>",
            clfcn_compare_color(run), run->letter, ms, forward, LEFT, y + i * thick,
            middle, thick - 1, LEFT + middle, y + i * thick, end - middle, thick - 1);
        clfcn_strbuf_add(out,
                         "<text class=\"small\" x=\"%.1f\" y=\"%d\">%c %s</text></g>\n",
                         LEFT + end + 4, y + i * thick + thick - 2, run->letter,
                         clfcn_format_number(ms, 3, text));
    }
}

/* Layers from .. to-1 of the base, on this scale. */
static void draw_layers(struct clfcn_strbuf *out, const struct clfcn_compare *c,
                        const struct clfcn_compare_group *g, const char *title, int from,
                        int to, const struct scale *scale)
{
    enum { THICK = 14, GAP = 8 };
    const int row = (g->count > 1 ? g->count : 2) * THICK + GAP;
    if (from == to) {
        return;
    }
    open_figure(out, title,
                "ms of a training step on the device: forward, lighter: backward", scale,
                row * (to - from) + 4);
    for (int i = from; i < to; ++i) {
        draw_layer(out, c, g, c->runs[g->base].layers[i].name, scale,
                   row * (i - from) + 4, THICK);
    }
    clfcn_strbuf_add(out, "</svg></figure>\n");
}

void clfcn_compare_layers(struct clfcn_strbuf *out, const struct clfcn_compare *c,
                          const struct clfcn_compare_group *g)
{
    const struct scale scale = scale_of_layers(c, g);
    if (g->base < 0 || !(scale.most > 0)) {
        return;
    }
    const struct clfcn_bench_run *base = &c->runs[g->base];
    for (int i = 0; i < g->count; ++i) {
        const struct clfcn_bench_run *r = &c->runs[g->runs[i]];
        if (r->layers_alone) {
            clfcn_strbuf_add(out,
                             "<p class=\"soft\">%c was too slow for a whole step: its "
                             "layers were timed one by one, as far as there was time.</p>"
                             "\n",
                             r->letter);
        }
    }
    int decoder = 0;
    while (decoder < base->layer_count &&
           strcmp(base->layers[decoder].kind, "deconv2d") != 0) {
        ++decoder;
    }
    clfcn_strbuf_add(out, "<div class=\"charts\">\n");
    draw_layers(out, c, g, "Layers of the backbone", 0, decoder, &scale);
    draw_layers(out, c, g, "Layers of the decoder", decoder, base->layer_count, &scale);
    clfcn_strbuf_add(out, "</div>\n");
}
