/* compare_impl.h - what the files of the comparison page share. */
#ifndef CLFCN_REPORT_COMPARE_IMPL_H
#define CLFCN_REPORT_COMPARE_IMPL_H

#include "compare.h"

/* compare.css, which comes after the report's style sheet, and compare.js, without which
 * tables cannot be sorted; embedded when clfcn is built. */
extern const char clfcn_compare_css[], clfcn_compare_js[];

/* Of the classes s0, s1, ... the one that colours a run. */
static inline int clfcn_compare_color(const struct clfcn_bench_run *run)
{
    enum { COLORS = 8 };
    return run->place % COLORS;
}

/* Step times, rates, layers and rooflines of one group. (compare_charts.c,
 * compare_roofline.c) */
void clfcn_compare_bars(struct clfcn_strbuf *out, const struct clfcn_compare *c,
                        const struct clfcn_compare_group *g);
void clfcn_compare_layers(struct clfcn_strbuf *out, const struct clfcn_compare *c,
                          const struct clfcn_compare_group *g);
void clfcn_compare_roofline(struct clfcn_strbuf *out, const struct clfcn_bench_run *run);

#endif
