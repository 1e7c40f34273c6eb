/* compare_roofline.c - what the passes of a run reach, below what the device can do. */
#include "compare_impl.h"
#include "html.h"
#include <math.h>
#include <string.h>

enum { WIDTH = 480, HEIGHT = 320, LEFT = 66, RIGHT = 24, TOP = 12, BOTTOM = 48 };

/* Decades, by their exponents of 10. */
struct axes {
    double x0, x1, y0, y1;
};

static double px(const struct axes *a, double intensity)
{
    return LEFT + (log10(intensity) - a->x0) / (a->x1 - a->x0) * (WIDTH - LEFT - RIGHT);
}

static double py(const struct axes *a, double gflops)
{
    return TOP + (a->y1 - log10(gflops)) / (a->y1 - a->y0) * (HEIGHT - TOP - BOTTOM);
}

static void widen(double exponent, double *lo, double *hi)
{
    *lo = fmin(*lo, floor(exponent));
    *hi = fmax(*hi, ceil(exponent));
}

/* Whole decades around the points, the peak and where memory ceases to bound it. */
static struct axes find_axes(const struct clfcn_bench_run *run,
                             const struct clfcn_compare_roof *roof)
{
    struct axes a = { .x0 = INFINITY, .x1 = -INFINITY, .y0 = INFINITY, .y1 = -INFINITY };
    widen(log10(roof->gflops / roof->gbps), &a.x0, &a.x1);
    widen(log10(roof->gflops), &a.y0, &a.y1);
    for (int i = 0; i < run->layer_count; ++i) {
        for (int p = 0; p < run->layers[i].pass_count; ++p) {
            double intensity, gflops;
            if (clfcn_compare_point(&run->layers[i].passes[p], &intensity, &gflops)) {
                widen(log10(intensity), &a.x0, &a.x1);
                widen(log10(gflops), &a.y0, &a.y1);
            }
        }
    }
    return a;
}

/* Every decade, or every second one where there are many. */
static void draw_grid(struct clfcn_strbuf *out, const struct axes *a)
{
    const double step_x = a->x1 - a->x0 > 7 ? 2 : 1, step_y = a->y1 - a->y0 > 7 ? 2 : 1;
    for (double e = a->y0; e <= a->y1; e += step_y) {
        const double y = py(a, pow(10, e));
        clfcn_strbuf_add(out,
                         "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" "
                         "y2=\"%.1f\"/><text class=\"tick\" x=\"%d\" y=\"%.1f\" "
                         "text-anchor=\"end\">%g</text>\n",
                         LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, pow(10, e));
    }
    for (double e = a->x0; e <= a->x1; e += step_x) {
        const double x = px(a, pow(10, e));
        clfcn_strbuf_add(out,
                         "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" "
                         "y2=\"%d\"/><text class=\"tick\" x=\"%.1f\" y=\"%d\" "
                         "text-anchor=\"middle\">%g</text>\n",
                         x, x, TOP, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 20, pow(10, e));
    }
    clfcn_strbuf_add(
        out,
        "<text class=\"label\" x=\"%d\" y=\"%d\" text-anchor=\"end\">FLOP a "
        "byte</text><text class=\"label\" x=\"%d\" y=\"%d\">GFLOP/s</text>\n",
        WIDTH - RIGHT, HEIGHT - 6, 0, HEIGHT - 6);
}

/* From the axes' left or lower edge up along bandwidth, then level. */
static void draw_roof(struct clfcn_strbuf *out, const struct axes *a, double gflops,
                      double gbps, const char *class)
{
    double x = pow(10, a->x0), y = x * gbps;
    if (y < pow(10, a->y0)) {
        y = pow(10, a->y0);
        x = y / gbps;
    }
    const double ridge = fmax(gflops / gbps, x);
    clfcn_strbuf_add(out, "<path class=\"%s\" d=\"M%.1f %.1fL%.1f %.1fH%d\"/>\n", class,
                     px(a, x), py(a, fmin(y, gflops)), px(a, ridge), py(a, gflops),
                     WIDTH - RIGHT);
}

/* Colours of the passes, which are not those of the runs. */
static const char *class_of(const struct clfcn_bench_pass *p)
{
    return strcmp(p->name, "forward") == 0          ? "p0"
           : strcmp(p->name, "input gradient") == 0 ? "p1"
                                                    : "p2";
}

static void draw_point(struct clfcn_strbuf *out, const struct axes *a, const char *layer,
                       const struct clfcn_bench_pass *p)
{
    double intensity, gflops;
    if (!clfcn_compare_point(p, &intensity, &gflops)) {
        return;
    }
    clfcn_strbuf_add(out,
                     "<circle class=\"point %s%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\">"
                     "<title>",
                     class_of(p), p->correct == CLFCN_WRONG ? " wrong" : "",
                     px(a, intensity), py(a, gflops));
    clfcn_html_text(out, layer);
    clfcn_strbuf_add(out, ", ");
    clfcn_html_text(out, p->name);
    clfcn_strbuf_add(out, ", ");
    clfcn_html_text(out, p->algorithm);
    clfcn_strbuf_add(out, ": %.4g GFLOP/s, %.3g FLOP a byte, %.4g ms</title></circle>\n",
                     gflops, intensity, p->ms);
}

static void caption(struct clfcn_strbuf *out, const struct clfcn_bench_run *run,
                    const struct clfcn_compare_roof *roof)
{
    clfcn_strbuf_add(out,
                     "<figure class=\"chart\"><figcaption><strong><i class=\"key "
                     "s%d\"></i>%c ",
                     clfcn_compare_color(run), run->letter);
    clfcn_html_text(out, run->hardware);
    clfcn_strbuf_add(out,
                     "</strong> <span class=\"legend\">%.4g GFLOP/s, memory %.3g GB/s, "
                     "cache %.3g GB/s",
                     roof->gflops, roof->gbps, roof->cache_gbps);
    if (roof->raised_by) {
        clfcn_strbuf_add(out, " (raised to what ");
        clfcn_html_text(out, roof->raised_by);
        clfcn_strbuf_add(out, " reached)");
    }
    clfcn_strbuf_add(out, "</span></figcaption>\n");
}

void clfcn_compare_roofline(struct clfcn_strbuf *out, const struct clfcn_bench_run *run)
{
    struct clfcn_compare_roof roof;
    clfcn_compare_roof(run, &roof);
    if (!isfinite(roof.gflops + roof.gbps + roof.cache_gbps)) {
        return; /* the peak was not measured */
    }
    const struct axes a = find_axes(run, &roof);
    caption(out, run, &roof);
    clfcn_strbuf_add(
        out,
        "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"Roofline of run "
        "%c\">\n",
        WIDTH, HEIGHT, run->letter);
    draw_grid(out, &a);
    draw_roof(out, &a, roof.gflops, roof.gbps, "roof memory");
    draw_roof(out, &a, roof.gflops, roof.cache_gbps, "roof");
    for (int i = 0; i < run->layer_count; ++i) {
        for (int p = 0; p < run->layers[i].pass_count; ++p) {
            draw_point(out, &a, run->layers[i].name, &run->layers[i].passes[p]);
        }
    }
    clfcn_strbuf_add(out, "</svg></figure>\n");
}
