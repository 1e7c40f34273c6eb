/* compare.h - runs of clfcn bench laid side by side, like only with like. */
#ifndef CLFCN_REPORT_COMPARE_H
#define CLFCN_REPORT_COMPARE_H

#include "../util/strbuf.h"
#include "bench_file.h"

/* Runs of the same network, size, batch, classes, loss and optimiser, in the order of the
 * files. */
struct clfcn_compare_group {
    int runs[CLFCN_BENCH_RUNS];
    int count;
    int base; /* which the others are held against: the first run whose training step was
                 measured, else the first that did not fail; -1 */
};

struct clfcn_compare {
    struct clfcn_bench_run runs[CLFCN_BENCH_RUNS]; /* in the order of the files */
    int count;
    struct clfcn_compare_group groups[CLFCN_BENCH_RUNS]; /* what is shown */
    int group_count;
    int left_out[CLFCN_BENCH_RUNS]; /* runs without any like them */
    int left_out_count;
};

/* Read the files, which must stay where they are named until clfcn_compare_close(), due
 * in every case. CLFCN_EDATA if a file is unreadable or bad, or if no two of several runs
 * are alike. */
int clfcn_compare_open(struct clfcn_compare *c, const char *const *files, int count,
                       struct clfcn_err *err);
void clfcn_compare_close(struct clfcn_compare *c);

/* How many times as fast as base another is, and how sure that is. A median may be off by
 * the largest of its relative spread, its drift, the change of the device's peak
 * meanwhile and 1 %, which is what two runs of anything differ by; by 10 % if too few
 * repetitions tell a spread. In a run that is too noisy to trust both medians may be off
 * by as much as the farthest repetition of either was. */
struct clfcn_compare_ratio {
    double value, low, high; /* NaN if either was not measured */
    bool differs;            /* 1 is not between low and high */
};
struct clfcn_compare_ratio clfcn_compare_ratio(const struct clfcn_bench_time *base,
                                               const struct clfcn_bench_time *other);

/* "fcns on vgg16, 160x160, batch 4, 2 classes, bce, sgd" */
void clfcn_compare_title(const struct clfcn_bench_run *run, char *buf, size_t n);

/* CLFCN_ENUMERIC if a run of a later file is slower by more than limit (0.05: 5 %), and
 * beyond noise, than the first file's run on the device of the same name, or else its
 * first one, of the same group; or failed, or is wrong. CLFCN_EDATA if there is nothing
 * in a later file that can be held against the first one. */
int clfcn_compare_slower(const struct clfcn_compare *c, double limit,
                         struct clfcn_err *err);

/* What bounds a run's passes: multiply-adds, memory and caches. Whatever a pass really
 * reached is possible: the measured peaks are raised to that. */
struct clfcn_compare_roof {
    double gflops, gbps, cache_gbps;
    const char *raised_by; /* the layer that exceeded a measured peak most, or NULL */
};
void clfcn_compare_roof(const struct clfcn_bench_run *run,
                        struct clfcn_compare_roof *out);
/* A pass in the roofline: FLOP a byte, GFLOP/s, of the algorithm's own arithmetic. False
 * if there is none to show. */
bool clfcn_compare_point(const struct clfcn_bench_pass *pass, double *intensity,
                         double *gflops);

/* Append the page. Whether memory sufficed is in out->failed. (compare_page.c) */
void clfcn_compare_page(struct clfcn_strbuf *out, const struct clfcn_compare *c);

#endif
