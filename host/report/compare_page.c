/* compare_page.c - the comparison's sections, top to bottom. */
#include "../util/sys.h"
#include "compare_impl.h"
#include "html.h"
#include <math.h>
#include <stdio.h>

#define DASH "\xe2\x80\x93"
#define TIMES "\xc3\x97"

/* --- a card for each run --- */

static void row_text(struct clfcn_strbuf *out, const char *name, const char *value)
{
    clfcn_strbuf_add(out, "<div><dt>%s</dt><dd>", name);
    clfcn_html_text(out, value);
    clfcn_strbuf_add(out, "</dd></div>\n");
}

/* Below this, times as slow are easier to read than times as fast. */
static const double MUCH_SLOWER = 0.1;

static void row_ratio(struct clfcn_strbuf *out, const char *name, char base,
                      const struct clfcn_compare_ratio *r)
{
    char value[CLFCN_NUMBER_LEN], low[CLFCN_NUMBER_LEN], high[CLFCN_NUMBER_LEN];
    const bool slow = r->value < MUCH_SLOWER;
    if (isnan(r->value)) {
        return;
    }
    clfcn_strbuf_add(out, "<div><dt>%s, against %c</dt>", name, base);
    if (r->differs) {
        clfcn_strbuf_add(out,
                         "<dd class=\"%s\">%s" TIMES
                         " as %s <span class=\"soft\">(%s" DASH "%s)</span></dd></div>\n",
                         r->value > 1 ? "good" : "bad",
                         clfcn_format_number(slow ? 1 / r->value : r->value, 3, value),
                         slow ? "slow" : "fast",
                         clfcn_format_number(slow ? 1 / r->high : r->low, 3, low),
                         clfcn_format_number(slow ? 1 / r->low : r->high, 3, high));
    } else {
        clfcn_strbuf_add(out,
                         "<dd>no difference beyond noise <span class=\"soft\">"
                         "(%.3g" DASH "%.3g" TIMES ")</span></dd></div>\n",
                         r->low, r->high);
    }
}

static void row_time(struct clfcn_strbuf *out, const char *name,
                     const struct clfcn_bench_time *t, int batch)
{
    char ms[CLFCN_NUMBER_LEN], rate[CLFCN_NUMBER_LEN];
    if (isnan(t->ms)) {
        row_text(out, name, "not measured");
        return;
    }
    clfcn_strbuf_add(out,
                     "<div><dt>%s</dt><dd>%s ms <span class=\"soft\">\xc2\xb1%.1f "
                     "%%</span>, %s images/s</dd></div>\n",
                     name, clfcn_format_number(t->ms, 4, ms), 100 * t->unsure,
                     clfcn_format_number(1e3 * batch / t->ms, 4, rate));
}

static const char *verdict_text(const struct clfcn_bench_run *r)
{
    return r->correct == CLFCN_UNKNOWN ? "not verified"
           : r->correct == CLFCN_RIGHT ? "correct"
                                       : "WRONG";
}

static const char *verdict_class(enum clfcn_verdict v)
{
    return v == CLFCN_UNKNOWN ? "soft" : v == CLFCN_RIGHT ? "good" : "bad";
}

static void card_results(struct clfcn_strbuf *out, const struct clfcn_compare *c,
                         const struct clfcn_compare_group *g, int index)
{
    const struct clfcn_bench_run *r = &c->runs[index];
    char memory[32];
    row_time(out, "Training step", &r->train, r->batch);
    row_time(out, "Inference", &r->infer, r->batch);
    if (g->base >= 0 && g->base != index) {
        const char base = c->runs[g->base].letter;
        const struct clfcn_compare_ratio train =
            clfcn_compare_ratio(&c->runs[g->base].train, &r->train);
        const struct clfcn_compare_ratio infer =
            clfcn_compare_ratio(&c->runs[g->base].infer, &r->infer);
        row_ratio(out, "Training", base, &train);
        row_ratio(out, "Inference", base, &infer);
    }
    row_text(out, "Device memory",
             clfcn_format_bytes((uint64_t)r->device_bytes, memory, sizeof(memory)));
    clfcn_strbuf_add(out, "<div><dt>Results</dt><dd class=\"%s\">%s</dd></div>\n",
                     verdict_class(r->correct), verdict_text(r));
}

/* What was not measured, and why. */
static void card_lacks(struct clfcn_strbuf *out, const struct clfcn_bench_run *r)
{
    for (size_t i = 0; i < json_array_size(r->lacking); ++i) {
        clfcn_strbuf_add(out, i ? "; " : "<p class=\"soft\">Not measured: ");
        clfcn_html_text(out, json_string_value(json_array_get(r->lacking, i)));
    }
    clfcn_strbuf_add(out, json_array_size(r->lacking) > 0 ? ".</p>\n" : "");
}

static void card(struct clfcn_strbuf *out, const struct clfcn_compare *c,
                 const struct clfcn_compare_group *g, int index)
{
    const struct clfcn_bench_run *r = &c->runs[index];
    clfcn_strbuf_add(out, "<section class=\"run s%d\"><h3>%c ", clfcn_compare_color(r),
                     r->letter);
    clfcn_html_text(out, r->hardware);
    clfcn_strbuf_add(out, "</h3>\n<p class=\"soft\">");
    clfcn_html_text(out, r->platform);
    clfcn_strbuf_add(out, ", ");
    clfcn_html_text(out, r->driver);
    clfcn_strbuf_add(out, "; ");
    clfcn_html_text(out, r->file);
    clfcn_strbuf_add(out, "</p>\n");
    if (r->failure) {
        clfcn_strbuf_add(out, "<p class=\"bad\">Failed: ");
        clfcn_html_text(out, r->failure);
        clfcn_strbuf_add(out, "</p></section>\n");
        return;
    }
    clfcn_strbuf_add(out, "<dl>\n");
    card_results(out, c, g, index);
    clfcn_strbuf_add(out, "</dl>\n%s",
                     r->noisy ? "<p class=\"bad\">Too noisy to trust: measure again with "
                                "nothing else running.</p>\n"
                              : "");
    card_lacks(out, r);
    clfcn_strbuf_add(out, "</section>\n");
}

static void cards(struct clfcn_strbuf *out, const struct clfcn_compare *c,
                  const struct clfcn_compare_group *g)
{
    clfcn_strbuf_add(out, "<div class=\"runs\">\n");
    for (int i = 0; i < g->count; ++i) {
        card(out, c, g, g->runs[i]);
    }
    clfcn_strbuf_add(out, "</div>\n");
}

/* --- rooflines --- */

static void rooflines(struct clfcn_strbuf *out, const struct clfcn_compare *c,
                      const struct clfcn_compare_group *g)
{
    clfcn_strbuf_add(
        out,
        "<h2>Rooflines</h2>\n<p class=\"soft\">Each point is a pass of a layer, by the "
        "arithmetic that its algorithm really does (Winograd's multiplies less than "
        "direct convolution) and the bytes it must at least read and write. Solid: "
        "the measured peak, and the bandwidth of caches; dashed: that of memory, which "
        "layers that fit a cache exceed.</p>\n"
        "<p class=\"legend\"><span><i class=\"p0\"></i>forward</span> <span><i "
        "class=\"p1\"></i>input gradient</span> <span><i class=\"p2\"></i>weight "
        "gradient</span></p>\n<div class=\"charts rooflines\">\n");
    for (int i = 0; i < g->count; ++i) {
        if (!c->runs[g->runs[i]].failure) {
            clfcn_compare_roofline(out, &c->runs[g->runs[i]]);
        }
    }
    clfcn_strbuf_add(out, "</div>\n");
}

/* --- tables --- */

/* A cell that sorts by its number. */
static void cell(struct clfcn_strbuf *out, double v, const char *format)
{
    char text[32];
    snprintf(text, sizeof(text), format, v);
    if (isfinite(v)) {
        clfcn_strbuf_add(out, "<td data-v=\"%.6g\">%s</td>", v, text);
    } else {
        clfcn_strbuf_add(out, "<td data-v=\"\">" DASH "</td>");
    }
}

static void text_cell(struct clfcn_strbuf *out, const char *text)
{
    clfcn_strbuf_add(out, "<td class=\"text\">");
    clfcn_html_text(out, text);
    clfcn_strbuf_add(out, "</td>");
}

static void run_cell(struct clfcn_strbuf *out, const struct clfcn_bench_run *run)
{
    clfcn_strbuf_add(out, "<tr><td><i class=\"key s%d\"></i>%c</td>",
                     clfcn_compare_color(run), run->letter);
}

static const char *yes_no(enum clfcn_verdict v)
{
    return v == CLFCN_UNKNOWN ? DASH : v == CLFCN_RIGHT ? "yes" : "NO";
}

static void correctness(struct clfcn_strbuf *out, const struct clfcn_compare *c,
                        const struct clfcn_compare_group *g)
{
    clfcn_strbuf_add(
        out,
        "<h2>Are the results right?</h2>\n<p class=\"soft\">Passes of layers on "
        "random data against float64, relative error in the 2-norm; training and "
        "inference twice from the same state; the network built for inference against "
        "the one that trains.</p>\n<div class=\"scroll wide\"><table "
        "class=\"sortable\"><thead><tr><th>run</th><th class=\"text\">verdict</th>"
        "<th>passes</th><th>wrong</th><th>largest error</th><th "
        "class=\"text\">at</th><th "
        "class=\"text\">training repeats</th><th class=\"text\">inference repeats</th>"
        "<th>inference error</th></tr></thead><tbody>\n");
    for (int i = 0; i < g->count; ++i) {
        const struct clfcn_bench_run *r = &c->runs[g->runs[i]];
        const struct clfcn_bench_checks *k = &r->checks;
        if (r->failure) {
            continue;
        }
        run_cell(out, r);
        clfcn_strbuf_add(out, "<td class=\"text %s\">%s</td>", verdict_class(r->correct),
                         verdict_text(r));
        cell(out, k->known ? k->passes : NAN, "%.0f");
        cell(out, k->known ? k->wrong : NAN, "%.0f");
        cell(out, k->known ? k->worst_error : NAN, "%.1e");
        text_cell(out, k->known && k->worst_at ? k->worst_at : DASH);
        text_cell(out, k->known ? yes_no(k->training_repeats) : DASH);
        text_cell(out, k->known ? yes_no(k->inference_repeats) : DASH);
        cell(out, k->known ? k->inference_error : NAN, "%.1e");
        clfcn_strbuf_add(out, "</tr>\n");
    }
    clfcn_strbuf_add(out, "</tbody></table></div>\n");
}

static void pass_row(struct clfcn_strbuf *out, const struct clfcn_bench_run *run,
                     const char *layer, const struct clfcn_bench_pass *p)
{
    double intensity, own = NAN;
    if (!clfcn_compare_point(p, &intensity, &own)) {
        own = NAN;
    }
    run_cell(out, run);
    text_cell(out, layer);
    text_cell(out, p->name);
    text_cell(out, p->algorithm);
    cell(out, p->ms, "%.4g");
    cell(out, p->gflops, "%.4g");
    cell(out, own, "%.4g");
    cell(out, 100 * p->of_peak, "%.3g");
    cell(out, p->error, "%.1e");
    clfcn_strbuf_add(out, "<td class=\"text %s\">%s</td></tr>\n",
                     verdict_class(p->correct),
                     p->correct == CLFCN_UNKNOWN ? DASH
                     : p->correct == CLFCN_RIGHT ? "yes"
                                                 : "WRONG");
}

/* The passes of a layer; of one without weights, its backward pass too. */
static void layer_rows(struct clfcn_strbuf *out, const struct clfcn_bench_run *run,
                       const struct clfcn_bench_layer *l)
{
    const struct clfcn_bench_pass backward = { .name = "backward",
                                               .algorithm = "direct",
                                               .ms = l->backward_ms,
                                               .gflops = NAN,
                                               .of_peak = NAN,
                                               .own_flop = NAN,
                                               .bytes = NAN,
                                               .error = l->backward_error,
                                               .correct = l->backward_correct };
    for (int p = 0; p < l->pass_count; ++p) {
        pass_row(out, run, l->name, &l->passes[p]);
    }
    if (l->backward_correct != CLFCN_UNKNOWN) {
        pass_row(out, run, l->name, &backward);
    }
}

static void passes(struct clfcn_strbuf *out, const struct clfcn_compare *c,
                   const struct clfcn_compare_group *g)
{
    clfcn_strbuf_add(
        out,
        "<h2>Every pass</h2>\n<p class=\"soft\">GFLOP/s and share of the peak count "
        "direct convolution's arithmetic, so that Winograd's algorithm may exceed 100 "
        "%%; own GFLOP/s count what it really multiplies.</p>\n<div class=\"scroll "
        "wide passes\"><table class=\"sortable\"><thead><tr><th>run</th><th "
        "class=\"text\">layer</th><th class=\"text\">pass</th><th "
        "class=\"text\">algorithm</th><th>ms</th><th>GFLOP/s</th><th>own "
        "GFLOP/s</th><th>%% of peak</th><th>error</th><th "
        "class=\"text\">correct</th></tr></thead><tbody>\n");
    for (int i = 0; i < g->count; ++i) {
        const struct clfcn_bench_run *r = &c->runs[g->runs[i]];
        for (int l = 0; l < r->layer_count; ++l) {
            layer_rows(out, r, &r->layers[l]);
        }
    }
    clfcn_strbuf_add(out, "</tbody></table></div>\n");
}

/* --- how it was measured --- */

static void row_amount(struct clfcn_strbuf *out, const char *name, double v,
                       const char *unit)
{
    char number[CLFCN_NUMBER_LEN], text[CLFCN_NUMBER_LEN + 8];
    snprintf(text, sizeof(text), "%s %s", clfcn_format_number(v, 3, number), unit);
    row_text(out, name, isfinite(v) ? text : "not measured");
}

static void conditions_of(struct clfcn_strbuf *out, const struct clfcn_bench_run *r)
{
    char text[96];
    clfcn_strbuf_add(out, "<section class=\"run s%d\"><h3>%c</h3><dl>\n",
                     clfcn_compare_color(r), r->letter);
    row_text(out, "Device", r->device);
    row_text(out, "File", r->file);
    row_text(out, "Date", r->date);
    row_text(out, "clfcn", r->clfcn);
    row_text(out, "System", r->os ? r->os : DASH);
    snprintf(text, sizeof(text), "%d " TIMES " ", r->cpus);
    clfcn_strbuf_add(out, "<div><dt>CPU</dt><dd>%s", text);
    clfcn_html_text(out, r->cpu ? r->cpu : DASH);
    clfcn_strbuf_add(out, "</dd></div>\n");
    row_text(out, "Matrix products", r->gemm);
    snprintf(text, sizeof(text), "%d", r->steps);
    row_text(out, "Repetitions", text);
    if (!r->failure) {
        row_text(out, "Tuned", r->tuned ? "yes" : "no: defaults");
        snprintf(text, sizeof(text), "%.4g, %.4g after", r->peak_before, r->peak_after);
        row_text(out, "Peak GFLOP/s before",
                 isfinite(r->peak_before + r->peak_after) ? text : "not measured");
        snprintf(text, sizeof(text), "%.1f %%, %.1f %%", 100 * (r->train.drift - 1),
                 100 * (r->infer.drift - 1));
        row_text(out, "Drift, training and inference",
                 isfinite(r->train.drift) && isfinite(r->infer.drift) ? text : DASH);
        row_amount(out, "First step", r->first_step_s, "s");
        row_text(out, "Layers timed", r->layers_alone ? "one by one" : "in a step");
        row_amount(out, "Launching a kernel", r->launch_us, "us");
    }
    clfcn_strbuf_add(out, "</dl></section>\n");
}

static void conditions(struct clfcn_strbuf *out, const struct clfcn_compare *c,
                       const struct clfcn_compare_group *g)
{
    clfcn_strbuf_add(out, "<h2>How it was measured</h2>\n<div class=\"runs\">\n");
    for (int i = 0; i < g->count; ++i) {
        conditions_of(out, &c->runs[g->runs[i]]);
    }
    clfcn_strbuf_add(out, "</div>\n");
}

static void left_out(struct clfcn_strbuf *out, const struct clfcn_compare *c)
{
    char title[512];
    for (int i = 0; i < c->left_out_count; ++i) {
        const struct clfcn_bench_run *r = &c->runs[c->left_out[i]];
        clfcn_compare_title(r, title, sizeof(title));
        clfcn_strbuf_add(out,
                         "<p class=\"soft\">Left out, as no other run is of the same "
                         "network, size and batch: ");
        clfcn_html_text(out, r->hardware);
        clfcn_strbuf_add(out, ", ");
        clfcn_html_text(out, title);
        clfcn_strbuf_add(out, " (");
        clfcn_html_text(out, r->file);
        clfcn_strbuf_add(out, ")</p>\n");
    }
}

static void section(struct clfcn_strbuf *out, const struct clfcn_compare *c,
                    const struct clfcn_compare_group *g)
{
    char title[512];
    clfcn_compare_title(&c->runs[g->runs[0]], title, sizeof(title));
    clfcn_strbuf_add(out, "<h2>");
    clfcn_html_text(out, title);
    clfcn_strbuf_add(out, "</h2>\n");
    cards(out, c, g);
    clfcn_compare_bars(out, c, g);
    clfcn_compare_layers(out, c, g);
    rooflines(out, c, g);
    correctness(out, c, g);
    passes(out, c, g);
    conditions(out, c, g);
}

void clfcn_compare_page(struct clfcn_strbuf *out, const struct clfcn_compare *c)
{
    char now[32];
    clfcn_clock_iso(now, sizeof(now));
    clfcn_strbuf_add(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
        "<title>clfcn: devices compared</title>\n<style>\n%s%s</style>\n</head>\n"
        "<body><main>\n<header><h1>Devices compared</h1>\n<p class=\"soft\">%d %s of "
        "clfcn bench</p></header>\n",
        clfcn_report_css, clfcn_compare_css, c->count, c->count == 1 ? "run" : "runs");
    for (int g = 0; g < c->group_count; ++g) {
        section(out, c, &c->groups[g]);
    }
    left_out(out, c);
    clfcn_strbuf_add(out,
                     "<footer>Written by clfcn %s, %s</footer>\n</main>\n"
                     "<script>\n%s</script>\n</body>\n</html>\n",
                     clfcn_version(), now, clfcn_compare_js);
}
