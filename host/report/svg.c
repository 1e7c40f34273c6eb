/* svg.c - line charts as inline SVG. */
#include "svg.h"
#include "html.h"
#include <math.h>
#include <stdio.h>

/* Of the view box; the page scales it to the column's width. */
enum { WIDTH = 480, HEIGHT = 250, LEFT = 50, RIGHT = 18, TOP = 8, BOTTOM = 40 };

/* Of a line: more of them run into one. */
enum { MAX_DOTS = 120 };

struct axes {
    double x0, x1, y0, y1;
};

static double px(const struct axes *a, double x)
{
    return LEFT + (x - a->x0) / (a->x1 - a->x0) * (WIDTH - LEFT - RIGHT);
}

/* Data beyond the axis end at its edge. */
static double py(const struct axes *a, double y)
{
    double t = (y - a->y0) / (a->y1 - a->y0);
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return TOP + (1 - t) * (HEIGHT - TOP - BOTTOM);
}

double clfcn_svg_tick(double range, int count)
{
    double raw = range / count;
    double power = pow(10, floor(log10(raw)));
    double lead = raw / power;
    return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

static void widen(double v, double *lo, double *hi)
{
    if (isfinite(v)) {
        *lo = v < *lo ? v : *lo;
        *hi = v > *hi ? v : *hi;
    }
}

/* Axes that hold all lines (bands may be cut off), with ends on ticks. False without any
 * data. */
static bool find_axes(const struct clfcn_svg_chart *c, struct axes *a)
{
    *a = (struct axes){ INFINITY, -INFINITY, INFINITY, -INFINITY };
    for (int s = 0; s < c->count; ++s) {
        for (int i = 0; i < c->series[s].count; ++i) {
            const struct clfcn_svg_point *p = &c->series[s].points[i];
            if (isfinite(p->y)) {
                widen(p->x, &a->x0, &a->x1);
                widen(p->y, &a->y0, &a->y1);
            }
        }
    }
    if (a->x0 > a->x1 || a->y0 > a->y1) {
        return false;
    }
    if (c->from_zero && a->y0 > 0) {
        a->y0 = 0;
    }
    if (isfinite(c->y_max)) {
        a->y1 = c->y_max;
    }
    if (a->x1 - a->x0 < 1) { /* one point: in the middle */
        a->x0 -= 1;
        a->x1 += 1;
    }
    if (!(a->y1 - a->y0 > 1e-12 * fabs(a->y1))) {
        a->y1 += a->y1 != 0 ? fabs(a->y1) : 1;
    }
    double tick = clfcn_svg_tick(a->y1 - a->y0, 5);
    a->y0 = tick * floor(a->y0 / tick + 1e-9);
    a->y1 = tick * ceil(a->y1 / tick - 1e-9);
    return true;
}

/* "900", "20k", "1.5M". */
static void format_whole(double v, char *buf, size_t n)
{
    if (v >= 1e6) {
        snprintf(buf, n, "%gM", v / 1e6);
    } else if (v >= 1e4) {
        snprintf(buf, n, "%gk", v / 1e3);
    } else {
        snprintf(buf, n, "%g", v);
    }
}

static void draw_grid(struct clfcn_strbuf *out, const struct clfcn_svg_chart *c,
                      const struct axes *a)
{
    char text[32];
    double tick = clfcn_svg_tick(a->y1 - a->y0, 5);
    int n = (int)floor((a->y1 - a->y0) / tick + 1e-9);
    for (int i = 0; i <= n; ++i) {
        double v = a->y0 + i * tick, y = py(a, v);
        v = fabs(v) < tick * 1e-9 ? 0 : v;
        clfcn_strbuf_add(
            out,
            "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g"
            "</text>\n",
            LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, v);
    }
    tick = clfcn_svg_tick(a->x1 - a->x0, 6);
    tick = tick < 1 ? 1 : tick; /* steps and epochs are whole */
    for (double v = tick * ceil(a->x0 / tick - 1e-9); v <= a->x1 + tick * 1e-9;
         v += tick) {
        if (v < -tick / 2) {
            continue;
        }
        format_whole(fabs(v), text, sizeof(text)); /* no "-0" */
        clfcn_strbuf_add(
            out,
            "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s"
            "</text>\n",
            px(a, v), HEIGHT - BOTTOM + 17, text);
    }
    clfcn_strbuf_add(out, "<text class=\"label\" x=\"%d\" y=\"%d\" text-anchor=\"end\">",
                     WIDTH - RIGHT, HEIGHT - 4);
    clfcn_html_text(out, c->x_label);
    clfcn_strbuf_add(out, "</text>\n");
}

static void draw_band(struct clfcn_strbuf *out, const struct clfcn_svg_series *s,
                      const struct axes *a)
{
    clfcn_strbuf_add(out, "<polygon class=\"band s%d\" points=\"", s->color);
    for (int i = 0; i < s->count; ++i) {
        if (isfinite(s->points[i].hi)) {
            clfcn_strbuf_add(out, "%.1f,%.1f ", px(a, s->points[i].x),
                             py(a, s->points[i].hi));
        }
    }
    for (int i = s->count - 1; i >= 0; --i) {
        if (isfinite(s->points[i].lo)) {
            clfcn_strbuf_add(out, "%.1f,%.1f ", px(a, s->points[i].x),
                             py(a, s->points[i].lo));
        }
    }
    clfcn_strbuf_add(out, "\"/>\n");
}

static void draw_series(struct clfcn_strbuf *out, const struct clfcn_svg_chart *c,
                        const struct clfcn_svg_series *s, const struct axes *a)
{
    if (s->band) {
        draw_band(out, s, a);
    }
    clfcn_strbuf_add(out, "<path class=\"line s%d\" d=\"", s->color);
    bool pen_down = false;
    for (int i = 0; i < s->count; ++i) {
        bool known = isfinite(s->points[i].y);
        if (known) {
            clfcn_strbuf_add(out, "%c%.1f %.1f", pen_down ? 'L' : 'M',
                             px(a, s->points[i].x), py(a, s->points[i].y));
        }
        pen_down = known;
    }
    clfcn_strbuf_add(out, "\"/>\n");
    for (int i = 0; s->dots && s->count <= MAX_DOTS && i < s->count; ++i) {
        const struct clfcn_svg_point *p = &s->points[i];
        if (!isfinite(p->y)) {
            continue;
        }
        clfcn_strbuf_add(
            out, "<circle class=\"dot s%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"><title>",
            s->color, px(a, p->x), py(a, p->y), s->count > MAX_DOTS / 2 ? "1.5" : "3");
        clfcn_html_text(out, s->name);
        clfcn_strbuf_add(out, ", ");
        clfcn_html_text(out, c->x_label);
        clfcn_strbuf_add(out, " %.6g: %.4g</title></circle>\n", p->x, p->y);
    }
}

/* Names of the series, each with the value it ends at. */
static void draw_legend(struct clfcn_strbuf *out, const struct clfcn_svg_chart *c)
{
    clfcn_strbuf_add(out, "<span class=\"legend\">");
    for (int s = 0; s < c->count; ++s) {
        char value[CLFCN_NUMBER_LEN];
        double last = NAN;
        for (int i = 0; i < c->series[s].count; ++i) {
            double y = c->series[s].points[i].y;
            last = isfinite(y) ? y : last;
        }
        if (isfinite(last)) {
            clfcn_strbuf_add(out, "<span><i class=\"s%d\"></i>", c->series[s].color);
            clfcn_html_text(out, c->series[s].name);
            clfcn_strbuf_add(out, " <b>%s</b></span> ",
                             clfcn_format_number(last, 3, value));
        }
    }
    clfcn_strbuf_add(out, "</span>");
}

void clfcn_svg_chart(struct clfcn_strbuf *out, const struct clfcn_svg_chart *chart)
{
    struct axes axes;
    if (!find_axes(chart, &axes)) {
        return;
    }
    clfcn_strbuf_add(out, "<figure class=\"chart\"><figcaption><strong>");
    clfcn_html_text(out, chart->title);
    clfcn_strbuf_add(out, "</strong> ");
    draw_legend(out, chart);
    clfcn_strbuf_add(
        out, "</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"",
        WIDTH, HEIGHT);
    clfcn_html_text(out, chart->title);
    clfcn_strbuf_add(out, "\">\n");
    draw_grid(out, chart, &axes);
    for (int s = 0; s < chart->count; ++s) {
        draw_series(out, chart, &chart->series[s], &axes);
    }
    clfcn_strbuf_add(out, "</svg></figure>\n");
}
