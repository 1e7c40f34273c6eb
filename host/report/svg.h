/* svg.h - line charts as inline SVG; colours come from the page's style sheet. */
#ifndef CLFCN_REPORT_SVG_H
#define CLFCN_REPORT_SVG_H

#include "../util/strbuf.h"

/* NaN in y interrupts a line. */
struct clfcn_svg_point {
    double x, y;
    double lo, hi; /* band around y, where the series has one */
};

struct clfcn_svg_series {
    const char *name;
    int color; /* class s0, s1, ... of the style sheet */
    const struct clfcn_svg_point *points;
    int count;
    bool band; /* fill between lo and hi */
    bool dots; /* mark every point, with a tooltip, unless there are too many */
};

struct clfcn_svg_chart {
    const char *title, *x_label;
    const struct clfcn_svg_series *series;
    int count;
    bool from_zero; /* the y axis begins at 0 */
    double y_max;   /* end of the y axis, NaN: where the data ends */
};

/* Append a <figure> with title, legend and chart. */
void clfcn_svg_chart(struct clfcn_strbuf *out, const struct clfcn_svg_chart *chart);

/* Distance of axis ticks so that about count of them span range: 1, 2 or 5 times a power
 * of 10. */
double clfcn_svg_tick(double range, int count);

#endif
