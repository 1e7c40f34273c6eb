/* bench.h - what clfcn bench is asked, what it found out, and how it is printed. */
#ifndef CLFCN_CLI_BENCH_H
#define CLFCN_CLI_BENCH_H

#include "../net/net.h"
#include "../ops/gemm_rate.h"
#include "../ops/peak.h"
#include "../util/machine.h"
#include "../util/stats.h"
#include "../util/strbuf.h"
#include "cli.h"

enum { CLI_BENCH_PRODUCTS = 8, CLI_BENCH_LEFT_OUT = 16 };

/* The state of the machine before and after the timed runs. */
struct cli_bench_moment {
    double gflops; /* peak rate of multiply-adds; NaN: not measured */
    struct clfcn_sensors sensors;
};

/* What was verified beside single passes. */
struct cli_bench_checks {
    int passes, wrong;             /* of convolutions: checked, and found wrong */
    double worst;                  /* largest of their errors; NaN: not finite, or none */
    char worst_at[64];             /* "conv3_1 input gradient"; "" if none was checked */
    bool steps_run, inference_run; /* whether these were checked: */
    bool steps_repeat;             /* two steps from one state, twice: the same losses */
    bool inference_repeats;        /* the same bits twice */
    double inference_error;        /* of the network built for inference, against the one
                                      that trains; NaN: there is only one */
    bool done;
};

struct cli_bench {
    /* What is asked. */
    struct clfcn_net_desc desc;
    struct clfcn_net_options how;
    int steps;
    double budget; /* seconds; 0: none */
    bool verify;
    bool first;   /* of the process, whose peak memory is this run's then */
    bool printed; /* what was found, or why nothing was */
    /* What it works with. */
    struct clfcn_dev *dev;
    struct clfcn_net *net;       /* its layers hold the times of the profiled steps */
    struct clfcn_net *inference; /* NULL if there was no memory for another one */
    float *images, *logits, *other_logits;
    uint8_t *labels;
    double *scratch_ms; /* [steps] of the medians */
    double end;         /* of the budget, on clfcn_clock() */
    int64_t updates;
    /* Whether it was slow enough that layers were measured by themselves first, and what
     * they say that a step and an inference will take. (bench_alone.c) */
    bool alone;
    double step_s, infer_s;
    /* What it found. */
    char date[32];               /* when it began, in UTC */
    double *train_ms, *infer_ms; /* [steps], of which so many were run: */
    int train_runs, infer_runs;
    char left_out[CLI_BENCH_LEFT_OUT][96]; /* for want of time or memory */
    int left_out_count;
    struct clfcn_spread train, infer;
    double first_step_s;
    size_t device_bytes; /* largest use by then */
    long host_kb;
    struct cli_bench_moment before, after; /* the timed steps and inferences */
    struct clfcn_peak peak;
    double cache_gbps;
    struct clfcn_gemm_rate products[CLI_BENCH_PRODUCTS];
    int product_count;
    struct clfcn_net_verdict (*verdicts)[CLFCN_PASS_COUNT]; /* [layers] */
    struct cli_bench_checks checks;
};

/* Measure on the device that env->device names. Close with cli_bench_close() in every
 * case, after which b can be run again. CLFCN_EINTR; CLFCN_ENUMERIC if a loss is not
 * finite. (bench_run.c) */
int cli_bench_run(struct cli_env *env, struct cli_bench *b, struct clfcn_err *err);
void cli_bench_close(struct cli_bench *b);

/* For cli_bench_run(): one training step; one inference on net; checking results, which
 * leaves the weights as they are at the start. (bench_run.c, bench_check.c) */
int cli_bench_step(struct cli_bench *b, float *loss, struct clfcn_err *err);
int cli_bench_infer(struct cli_bench *b, struct clfcn_net *net, float *logits,
                    struct clfcn_err *err);
int cli_bench_check(struct cli_bench *b, struct clfcn_err *err);
/* Verify a pass, if that was not done before. */
int cli_bench_check_pass(struct cli_bench *b, int layer, enum clfcn_pass pass,
                         struct clfcn_err *err);
/* Whether training steps may not fit in the budget. Then: time and verify single passes
 * of layers, as many as fit, and leave in step_s and infer_s what a step and an inference
 * will take. (bench_alone.c) */
bool cli_bench_is_slow(const struct cli_bench *b);
int cli_bench_alone(struct cli_env *env, struct cli_bench *b, struct clfcn_err *err);
/* CLFCN_ENUMERIC, saying what, if something that was verified is wrong. */
int cli_bench_verdict(const struct cli_bench *b, struct clfcn_err *err);
size_t cli_bench_pixels(const struct cli_bench *b);

/* Whether there is time left for what will take so many seconds. */
bool cli_bench_affords(const struct cli_bench *b, double seconds);
/* Note what there was no time or memory for. */
void cli_bench_leave_out(struct cli_bench *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A layer with its times in the profiled steps; or, if there were none, in the runs that
 * measured its passes by themselves. */
void cli_bench_layer(const struct cli_bench *b, int i, struct clfcn_net_layer *out);
/* GFLOP/s; NaN where nothing was measured or computed. */
double cli_bench_rate(double flop, double ms);
/* "im2col+native"; "direct" where there is nothing to choose. */
const char *cli_bench_algorithm(const struct clfcn_net_pass *pass);
/* The machine ran steadily: no spread, drift or change of the peak is too large. */
bool cli_bench_steady(const struct cli_bench *b);

/* bench_json.c, bench_view.c, bench_csv.c */
int cli_bench_print_json(const struct cli_bench *b, struct clfcn_err *err);
/* For a run that failed on a device, which may not even have been opened. */
int cli_bench_print_failure(const struct cli_bench *b,
                            const struct clfcn_device_info *info, const char *why,
                            struct clfcn_err *err);
void cli_bench_print_text(const struct cli_bench *b);
void cli_bench_csv_begin(struct clfcn_strbuf *out);
void cli_bench_csv_add(struct clfcn_strbuf *out, const struct cli_bench *b);

#endif
