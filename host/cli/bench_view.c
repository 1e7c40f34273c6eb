/* bench_view.c - what clfcn bench prints for people. */
#include "../ops/conv.h"
#include "../ops/sample.h"
#include "bench.h"
#include <math.h>

double cli_bench_rate(double flop, double ms)
{
    return ms > 0 && flop > 0 ? flop / ms / 1e6 : NAN;
}

const char *cli_bench_algorithm(const struct clfcn_net_pass *pass)
{
    return pass->algorithm ? pass->algorithm : "direct";
}

bool cli_bench_steady(const struct cli_bench *b)
{
    return !b->train.noisy && !b->infer.noisy &&
           !(fabs(b->after.gflops / b->before.gflops - 1) > CLFCN_NOISY);
}

/* "12.3", "0.0021", or "-" where there is nothing to say. */
static const char *cell(double v, char buf[16])
{
    snprintf(buf, 16, !isfinite(v) ? "-" : v < 0.095 && v > 0 ? "%.2g" : "%.1f", v);
    return buf;
}

static const char *error_cell(const struct clfcn_net_verdict *v, char buf[24])
{
    if (!v || !v->checked) {
        return "";
    }
    snprintf(buf, 24, "%.1e%s", v->error, v->correct ? "" : " WRONG");
    return buf;
}

static void print_pass(const char *layer, const char *pass, const char *algorithm,
                       double ms, double rate, double share,
                       const struct clfcn_net_verdict *v)
{
    char m[16], g[16], s[16], e[24];
    printf("%-10s %-16s %-18s %9s %9s %9s  %s\n", layer, pass, algorithm, cell(ms, m),
           cell(rate, g), cell(100 * share, s), error_cell(v, e));
}

static void print_layer(const struct cli_bench *b, int layer)
{
    struct clfcn_net_layer l;
    cli_bench_layer(b, layer, &l);
    const char *name = l.name; /* on the layer's first line only */
    for (int i = 0; i < CLFCN_PASS_COUNT; ++i) {
        const struct clfcn_net_pass *p = &l.pass[i];
        const double rate = cli_bench_rate(p->flop, p->ms);
        if (p->ms >= 0) {
            /* FLOPs of direct convolution: Winograd's may exceed the peak. */
            print_pass(name, clfcn_pass_name((enum clfcn_pass)i), cli_bench_algorithm(p),
                       p->ms, rate, rate / b->peak.gflops,
                       b->verdicts ? &b->verdicts[layer][i] : NULL);
            name = "";
        }
    }
    if (l.rest_ms >= 0) {
        const bool weights = l.backward_flop > 0;
        print_pass(
            name, weights ? "rest of backward" : "backward", "direct", l.rest_ms, NAN,
            NAN, b->verdicts && !weights ? &b->verdicts[layer][CLFCN_PASS_INPUT] : NULL);
    }
}

static void print_time(const struct cli_bench *b, const char *name,
                       const struct clfcn_spread *s, int runs)
{
    if (runs == 0) {
        return; /* what was left out is said below */
    }
    printf("%-14s %10.1f ms  %8.2f img/s  median of %d (%.1f to %.1f", name, s->median,
           1e3 * b->desc.batch / s->median, runs, s->lowest, s->highest);
    if (isfinite(s->relative)) {
        printf(", spread %.1f %%", 100 * s->relative);
    }
    if (isfinite(s->drift)) {
        printf(", drift %+.1f %%", 100 * (s->drift - 1));
    }
    printf(")\n");
}

static void print_peak(const struct cli_bench *b)
{
    const struct clfcn_peak *p = &b->peak;
    char g[16], memory[16], cache[16], up[16], down[16];
    printf("peak           %10s GFLOP/s, memory %s GB/s, cache %s GB/s, upload %s GB/s, "
           "download %s GB/s\n",
           cell(p->gflops, g), cell(p->gbps, memory), cell(b->cache_gbps, cache),
           cell(p->upload_gbps, up), cell(p->download_gbps, down));
    for (int i = 0; i < b->product_count; ++i) {
        const struct clfcn_gemm_rate *r = &b->products[i];
        printf("product        %10s GFLOP/s  %dx%dx%d, %s, error %.1e%s\n",
               cell(r->gflops, g), r->m, r->n, r->k, r->provider, r->error,
               r->correct ? "" : " WRONG");
    }
}

static void print_moment(const char *name, const struct cli_bench_moment *m)
{
    char g[16];
    printf("%-14s %10s GFLOP/s peak", name, cell(m->gflops, g));
    if (isfinite(m->sensors.mhz)) {
        printf(", CPUs at %.0f MHz", m->sensors.mhz);
    }
    if (isfinite(m->sensors.celsius)) {
        printf(", %.0f C", m->sensors.celsius);
    }
    printf("\n");
}

static void print_checks(const struct cli_bench *b)
{
    const struct cli_bench_checks *c = &b->checks;
    struct clfcn_err err;
    if (!c->done) {
        return;
    }
    printf("results        %s\n",
           cli_bench_verdict(b, &err) == CLFCN_OK
               ? "correct: every pass that was checked is within bounds, "
                 "and what was repeated gave the same bits"
               : err.msg);
    if (c->passes > 0) {
        printf("               %d passes of layers against float64: largest relative "
               "error %.1e (%s), allowed %.0e\n",
               c->passes, c->worst, c->worst_at, CLFCN_SAMPLES_BOUND);
    }
}

void cli_bench_print_text(const struct cli_bench *b)
{
    char text[CLI_BYTES_LEN];
    printf("%s on %s, batch %d, %dx%d, %d classes\n", clfcn_arch_name(b->desc.arch),
           clfcn_backbone_name(b->desc.backbone), b->desc.batch, b->desc.width,
           b->desc.height, b->desc.classes);
    print_time(b, "training step", &b->train, b->train_runs);
    print_time(b, "inference", &b->infer, b->infer_runs);
    print_moment("before them", &b->before);
    print_moment("after them", &b->after);
    if (!cli_bench_steady(b)) {
        printf("too noisy to trust: a spread, drift or change of the peak above %.0f %%; "
               "close other programs, or take more --steps\n",
               100 * CLFCN_NOISY);
    }
    print_checks(b);
    for (int i = 0; i < b->left_out_count; ++i) {
        printf("not measured   %s\n", b->left_out[i]);
    }
    char first[16], launch[16], gaps[16];
    printf("first step     %10s s   from opening the device on\n",
           cell(b->first_step_s, first));
    printf("launch         %10s us  a kernel; gaps are %s %% of a step\n",
           cell(b->peak.launch_us, launch),
           cell(100 * clfcn_net_launch_share(b->net), gaps));
    print_peak(b);
    printf("device memory  %s\n", cli_format_bytes(b->device_bytes, text));
    if (b->first) {
        printf("host memory    %s\n",
               cli_format_bytes((uint64_t)b->host_kb * 1024, text));
    }
    if (b->alone && clfcn_net_profiled(b->net) == 0) {
        printf("layers were timed one by one, not in a step\n");
    }
    putchar('\n');
    cli_heading("%-10s %-16s %-18s %9s %9s %9s  %s", "layer", "pass", "algorithm", "ms",
                "GFLOP/s", "% of peak", "error");
    for (int i = 0; i < clfcn_net_layer_count(b->net); ++i) {
        print_layer(b, i);
    }
}
