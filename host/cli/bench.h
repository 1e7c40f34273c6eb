/* bench.h - what clfcn bench found out, and how it is printed. */
#ifndef CLFCN_CLI_BENCH_H
#define CLFCN_CLI_BENCH_H

#include "../net/net.h"
#include "../ops/peak.h"
#include "cli.h"

struct cli_bench {
    struct clfcn_net_desc desc;
    struct clfcn_net_options how;
    int steps;
    struct clfcn_net *net;       /* its layers hold the times of the profiled steps */
    struct clfcn_net *inference; /* NULL if there was no memory for another one */
    float *images, *logits;
    uint8_t *labels;
    double *train_ms, *infer_ms; /* [steps] */
    double *sorted_ms;           /* [steps] scratch of the medians */
    double first_step_s;
    int64_t updates;
    size_t device_bytes; /* largest use by then */
    long host_kb;
    struct clfcn_peak peak;
};

int cli_bench_print_json(const struct cli_bench *b, const struct clfcn_dev *dev,
                         struct clfcn_err *err);
void cli_bench_print_text(const struct cli_bench *b);

#endif
