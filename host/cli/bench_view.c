/* bench_view.c - what clfcn bench prints. */
#include "../ops/conv.h"
#include "../train/runlog.h"
#include "bench.h"
#include <math.h>

static double median_of(const struct cli_bench *b, const double *ms)
{
    for (int i = 0; i < b->steps; ++i) {
        b->sorted_ms[i] = ms[i];
    }
    return cli_median(b->sorted_ms, b->steps);
}

/* NaN where it was not measured. */
static double measured(double ms)
{
    return ms >= 0 ? ms : NAN;
}

static double gflops(double flop, double ms)
{
    return ms > 0 && flop > 0 ? flop / ms / 1e6 : NAN;
}

/* FLOPs are those of direct convolution, so that Winograd may be above 1. */
static double of_peak(const struct cli_bench *b, const struct clfcn_net_pass *p)
{
    return gflops(p->flop, p->ms) / b->peak.gflops;
}

static const char *or_direct(const char *algorithm)
{
    return algorithm ? algorithm : "direct";
}

/* --- JSON --- */

/* The passes of a layer with weights; of others, forward alone. */
static json_t *passes_to_json(const struct cli_bench *b, const struct clfcn_net_layer *l)
{
    json_t *list = json_array();
    for (int i = 0; i < CLFCN_PASS_COUNT; ++i) {
        const struct clfcn_net_pass *p = &l->pass[i];
        if (p->ms >= 0) {
            json_array_append_new(
                list, json_pack("{ss ss so so so}", "pass",
                                clfcn_pass_name((enum clfcn_pass)i), "algorithm",
                                or_direct(p->algorithm), "ms", clfcn_json_number(p->ms),
                                "gflops", clfcn_json_number(gflops(p->flop, p->ms)),
                                "of_peak", clfcn_json_number(of_peak(b, p))));
        }
    }
    return list;
}

static json_t *layer_to_json(const struct cli_bench *b, const struct clfcn_net_layer *l)
{
    const struct clfcn_net_pass *forward = &l->pass[CLFCN_PASS_FORWARD];
    return json_pack(
        "{ss ss ss so so so so so so}", "name", l->name, "kind", l->kind, "algorithm",
        or_direct(forward->algorithm), "forward_ms",
        clfcn_json_number(measured(forward->ms)), "backward_ms",
        clfcn_json_number(measured(l->backward_ms)), "forward_gflops",
        clfcn_json_number(gflops(forward->flop, forward->ms)), "backward_gflops",
        clfcn_json_number(gflops(l->backward_flop, l->backward_ms)), "backward_rest_ms",
        clfcn_json_number(measured(l->rest_ms)), "passes", passes_to_json(b, l));
}

static json_t *layers_to_json(const struct cli_bench *b)
{
    json_t *list = json_array();
    for (int i = 0; i < clfcn_net_layer_count(b->net); ++i) {
        struct clfcn_net_layer l;
        clfcn_net_layer_get(b->net, i, &l);
        json_array_append_new(list, layer_to_json(b, &l));
    }
    return list;
}

static json_t *peak_to_json(const struct clfcn_peak *peak)
{
    return json_pack("{sf sf sf sf sf}", "gflops", peak->gflops, "gbps", peak->gbps,
                     "launch_us", peak->launch_us, "upload_gbps", peak->upload_gbps,
                     "download_gbps", peak->download_gbps);
}

int cli_bench_print_json(const struct cli_bench *b, const struct clfcn_dev *dev,
                         struct clfcn_err *err)
{
    char name[512];
    clfcn_dev_describe(&dev->info, name, sizeof(name));
    json_t *all = json_array();
    for (int i = 0; i < b->steps; ++i) {
        json_array_append_new(all, json_real(b->train_ms[i]));
    }
    return cli_print_json(
        json_pack("{ss sf so sf sf sI sI so so so}", "device", name, "train_step_ms",
                  median_of(b, b->train_ms), "train_step_ms_all", all, "infer_ms",
                  median_of(b, b->infer_ms), "first_step_s", b->first_step_s,
                  "device_bytes", (json_int_t)b->device_bytes, "host_peak_kb",
                  (json_int_t)b->host_kb, "peak", peak_to_json(&b->peak), "launch_share",
                  clfcn_json_number(clfcn_net_launch_share(b->net)), "layers",
                  layers_to_json(b)),
        err);
}

/* --- text --- */

/* "12.3", or "-" where there is nothing to say. */
static const char *cell(double v, char buf[16])
{
    snprintf(buf, 16, isfinite(v) ? "%.1f" : "-", v);
    return buf;
}

static void print_pass(const char *layer, const char *pass, const char *algorithm,
                       double ms, double rate, double share)
{
    char m[16], g[16], s[16];
    printf("%-10s %-16s %-18s %9s %9s %9s\n", layer, pass, algorithm, cell(ms, m),
           cell(rate, g), cell(100 * share, s));
}

static void print_layer(const struct cli_bench *b, const struct clfcn_net_layer *l)
{
    const char *name = l->name; /* on the layer's first line only */
    for (int i = 0; i < CLFCN_PASS_COUNT; ++i) {
        const struct clfcn_net_pass *p = &l->pass[i];
        if (p->ms >= 0) {
            print_pass(name, clfcn_pass_name((enum clfcn_pass)i), or_direct(p->algorithm),
                       p->ms, gflops(p->flop, p->ms), of_peak(b, p));
            name = "";
        }
    }
    if (l->rest_ms >= 0) {
        const bool weights = l->backward_flop > 0;
        print_pass(name, weights ? "rest of backward" : "backward", "direct", l->rest_ms,
                   NAN, NAN);
    }
}

static void print_peak(const struct clfcn_peak *p)
{
    printf("peak           %10.1f GFLOP/s, memory %.1f GB/s, upload %.1f GB/s, "
           "download %.1f GB/s\n",
           p->gflops, p->gbps, p->upload_gbps, p->download_gbps);
}

void cli_bench_print_text(const struct cli_bench *b)
{
    char text[CLI_BYTES_LEN];
    const double train = median_of(b, b->train_ms), inference = median_of(b, b->infer_ms);
    printf("%s on %s, batch %d, %dx%d, %d classes\n", clfcn_arch_name(b->desc.arch),
           clfcn_backbone_name(b->desc.backbone), b->desc.batch, b->desc.width,
           b->desc.height, b->desc.classes);
    printf("training step  %10.1f ms  %8.2f img/s  (median of %d)\n", train,
           1e3 * b->desc.batch / train, b->steps);
    printf("inference      %10.1f ms  %8.2f img/s\n", inference,
           1e3 * b->desc.batch / inference);
    printf("first step     %10.1f s   from opening the device on\n", b->first_step_s);
    printf("launch         %10.1f us  a kernel; gaps are %.1f %% of a step\n",
           b->peak.launch_us, 100 * clfcn_net_launch_share(b->net));
    print_peak(&b->peak);
    printf("device memory  %s\n", cli_format_bytes(b->device_bytes, text));
    printf("host memory    %s\n\n", cli_format_bytes((uint64_t)b->host_kb * 1024, text));
    printf("%-10s %-16s %-18s %9s %9s %9s\n", "layer", "pass", "algorithm", "ms",
           "GFLOP/s", "% of peak");
    for (int i = 0; i < clfcn_net_layer_count(b->net); ++i) {
        struct clfcn_net_layer l;
        clfcn_net_layer_get(b->net, i, &l);
        print_layer(b, &l);
    }
}
