/* bench_file.h - what clfcn bench --json printed, read back. Files come from anywhere:
 * sizes are limited, every field's type and range is checked. */
#ifndef CLFCN_REPORT_BENCH_FILE_H
#define CLFCN_REPORT_BENCH_FILE_H

#include "../util/err.h"
#include <jansson.h>

/* Null, false or true in a file. */
enum clfcn_verdict { CLFCN_UNKNOWN = -1, CLFCN_WRONG, CLFCN_RIGHT };

/* A pass of a layer. Numbers are NaN where the file has null. Strings of this and what
 * follows are borrowed from the run's JSON and free of control characters. */
struct clfcn_bench_pass {
    const char *name, *algorithm; /* "input gradient", "winograd4" */
    double ms, gflops, of_peak;   /* of direct arithmetic, share of the peak */
    double own_flop, bytes;       /* of the algorithm; that it must move */
    double error;
    enum clfcn_verdict correct;
};

enum { CLFCN_BENCH_PASSES = 3 };

struct clfcn_bench_layer {
    const char *name, *kind;
    double forward_ms, backward_ms;
    double backward_error; /* of a layer without weights, as is the next */
    enum clfcn_verdict backward_correct;
    struct clfcn_bench_pass passes[CLFCN_BENCH_PASSES];
    int pass_count;
};

/* Repetitions of a training step or an inference; ms is NaN if there was no time for any.
 */
struct clfcn_bench_time {
    double ms, lowest, highest; /* median and ends */
    double relative, drift;     /* as in util/stats.h */
    bool noisy;
    double unsure; /* by so much, relative, the median may be off: see compare.h */
};

struct clfcn_bench_checks {
    bool known;
    int passes, wrong;
    double worst_error, bound, inference_error;
    const char *worst_at;
    enum clfcn_verdict training_repeats, inference_repeats;
};

struct clfcn_bench_run {
    json_t *json;     /* owned */
    const char *file; /* borrowed: as the user named it */
    int file_number;  /* its place among the files, from 0 */
    char letter;      /* 'A', 'B', ... what it is called; '?' if it is left out */
    int place;        /* in its group (compare.h), from 0 */
    const char *device, *hardware, *platform, *driver;
    const char *arch, *backbone, *loss, *optimizer, *gemm;
    int width, height, batch, classes, steps;
    const char *clfcn, *date, *os, *cpu;
    int cpus;
    const char *failure; /* why there is nothing below; NULL if there is */
    struct clfcn_bench_time train, infer;
    double first_step_s, device_bytes;
    double peak_before, peak_after; /* GFLOP/s; these and the next NaN: not measured */
    double peak_gflops, gbps, cache_gbps, launch_us;
    bool noisy, tuned;
    enum clfcn_verdict correct;
    struct clfcn_bench_checks checks;
    struct clfcn_bench_layer *layers; /* owned */
    int layer_count;
    bool layers_alone; /* timed one by one instead of in a step */
    const json_t
        *lacking; /* an array of texts: what was not measured, and why; or NULL */
};

enum { CLFCN_BENCH_RUNS = 26 }; /* so that a letter names each */

/* Read all runs of a file behind the *count that runs[] holds. CLFCN_EDATA naming file,
 * run and field; CLFCN_ENOMEM. Free with clfcn_bench_run_free(), those that were added
 * before a failure too. */
int clfcn_bench_file_read(const char *path, struct clfcn_bench_run *runs, int *count,
                          struct clfcn_err *err);
void clfcn_bench_run_free(struct clfcn_bench_run *run);

#endif
