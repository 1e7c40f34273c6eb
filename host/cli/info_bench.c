/* info_bench.c - what clfcn info shows of a file that bench --json printed. */
#include "../report/bench_file.h"
#include "../train/runlog.h"
#include "../util/file.h"
#include "../util/json.h"
#include "../util/strbuf.h"
#include "info.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SLOWEST = 5, MOST_BYTES = 4 << 20 /* of a file, as in bench_file.c */ };

bool cli_info_is_bench(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    json_t *first = NULL;
    if (clfcn_file_read(path, MOST_BYTES, &text, &size, NULL) == CLFCN_OK) {
        first = json_loadb(text, size, JSON_DISABLE_EOF_CHECK, NULL);
    }
    const bool is_bench = json_object_get(first, "net") != NULL &&
                          json_object_get(first, "options") != NULL;
    json_decref(first);
    free(text);
    return is_bench;
}

/* A layer's time in a training step; NaN if neither part was measured. */
static double layer_ms(const struct clfcn_bench_layer *l)
{
    return isnan(l->forward_ms)    ? l->backward_ms
           : isnan(l->backward_ms) ? l->forward_ms
                                   : l->forward_ms + l->backward_ms;
}

static int by_time(const void *a, const void *b)
{
    const struct clfcn_bench_layer *const *x = a, *const *y = b;
    const double p = layer_ms(*x), q = layer_ms(*y);
    return isnan(p) || isnan(q) ? isnan(p) - isnan(q) : (p < q) - (p > q);
}

/* The layers that took longest, first the longest; how many there are. */
static int slowest(const struct clfcn_bench_run *run,
                   const struct clfcn_bench_layer *out[SLOWEST])
{
    const struct clfcn_bench_layer **all =
        calloc((size_t)run->layer_count + 1, sizeof(*all));
    int n = 0;
    for (int i = 0; all && i < run->layer_count; ++i) {
        all[i] = &run->layers[i];
    }
    if (all) {
        qsort(all, (size_t)run->layer_count, sizeof(*all), by_time);
    }
    while (all && n < SLOWEST && n < run->layer_count && !isnan(layer_ms(all[n]))) {
        out[n] = all[n];
        ++n;
    }
    free(all);
    return n;
}

static json_t *slowest_to_json(const struct clfcn_bench_run *run)
{
    const struct clfcn_bench_layer *layers[SLOWEST];
    const int n = slowest(run, layers);
    json_t *list = json_array();
    for (int i = 0; i < n; ++i) {
        const struct clfcn_bench_layer *l = layers[i];
        clfcn_json_append(&list,
                          json_pack("{ss ss so so}", "name", l->name, "kind", l->kind,
                                    "forward_ms", clfcn_json_number(l->forward_ms),
                                    "backward_ms", clfcn_json_number(l->backward_ms)));
    }
    return list;
}

static json_t *time_to_json(const struct clfcn_bench_time *t)
{
    return json_pack("{so so so so so sb}", "ms", clfcn_json_number(t->ms), "lowest_ms",
                     clfcn_json_number(t->lowest), "highest_ms",
                     clfcn_json_number(t->highest), "relative",
                     clfcn_json_number(t->relative), "drift", clfcn_json_number(t->drift),
                     "noisy", (int)t->noisy);
}

/* A new reference. */
static json_t *run_to_json(const struct clfcn_bench_run *r)
{
    json_t *o =
        json_pack("{ss ss ss ss ss ss si si si si ss ss ss ss}", "file", r->file,
                  "device", r->hardware, "platform", r->platform, "driver", r->driver,
                  "arch", r->arch, "backbone", r->backbone, "width", r->width, "height",
                  r->height, "batch", r->batch, "classes", r->classes, "loss", r->loss,
                  "optimizer", r->optimizer, "date", r->date, "clfcn", r->clfcn);
    json_t *rest =
        r->failure
            ? json_pack("{ss}", "error", r->failure)
            : json_pack("{so so so sf so so so sb so}", "train", time_to_json(&r->train),
                        "infer", time_to_json(&r->infer), "first_step_s",
                        clfcn_json_number(r->first_step_s), "device_bytes",
                        r->device_bytes, "peak_gflops", clfcn_json_number(r->peak_gflops),
                        "peak_gbps", clfcn_json_number(r->gbps), "correct",
                        r->correct == CLFCN_UNKNOWN
                            ? json_null()
                            : json_boolean(r->correct == CLFCN_RIGHT),
                        "noisy", (int)r->noisy, "slowest", slowest_to_json(r));
    if (!o || !rest || json_object_update(o, rest) < 0) {
        json_decref(o);
        o = NULL; /* cli_print_json() reports it */
    }
    json_decref(rest);
    return o;
}

static void print_time(const char *name, const struct clfcn_bench_time *t, int batch)
{
    char ms[CLFCN_NUMBER_LEN], low[CLFCN_NUMBER_LEN], high[CLFCN_NUMBER_LEN];
    if (isnan(t->ms)) {
        printf("%-11s not measured\n", name);
        return;
    }
    printf("%-11s %s ms, %.2f images/s (%s to %s", name,
           clfcn_format_number(t->ms, 4, ms), 1e3 * batch / t->ms,
           clfcn_format_number(t->lowest, 4, low),
           clfcn_format_number(t->highest, 4, high));
    if (isfinite(t->relative)) {
        printf(", spread %.1f %%", 100 * t->relative);
    }
    if (isfinite(t->drift)) {
        printf(", drift %+.1f %%", 100 * (t->drift - 1));
    }
    printf(")%s\n", t->noisy ? ", too noisy to trust" : "");
}

static void print_verdict(const struct clfcn_bench_run *r)
{
    const struct clfcn_bench_checks *c = &r->checks;
    printf("results     %s", r->correct == CLFCN_UNKNOWN ? "not verified"
                             : r->correct == CLFCN_RIGHT ? "correct"
                                                         : "WRONG");
    if (c->known) {
        printf(", %d of %d passes within bounds", c->passes - c->wrong, c->passes);
    }
    if (c->known && c->worst_at && isfinite(c->worst_error)) {
        printf(", largest relative error %.1e (%s)", c->worst_error, c->worst_at);
    }
    printf("\n");
}

static void print_peak(const struct clfcn_bench_run *r)
{
    char flop[CLFCN_NUMBER_LEN], bytes[CLFCN_NUMBER_LEN];
    if (isfinite(r->peak_gflops)) {
        printf("peak        %s GFLOP/s", clfcn_format_number(r->peak_gflops, 4, flop));
        if (isfinite(r->gbps)) {
            printf(", memory %s GB/s", clfcn_format_number(r->gbps, 3, bytes));
        }
        printf("\n");
    }
}

static void print_slowest(const struct clfcn_bench_run *r)
{
    const struct clfcn_bench_layer *layers[SLOWEST];
    const int n = slowest(r, layers);
    if (n == 0) {
        return;
    }
    printf("\n");
    cli_heading("%-11s %-11s %10s  %11s  %9s", "slowest", "kind", "forward ms",
                "backward ms", "% of all");
    double all = 0;
    for (int i = 0; i < r->layer_count; ++i) {
        all += isnan(layer_ms(&r->layers[i])) ? 0 : layer_ms(&r->layers[i]);
    }
    for (int i = 0; i < n; ++i) {
        const struct clfcn_bench_layer *l = layers[i];
        char forward[CLFCN_NUMBER_LEN] = "-", backward[CLFCN_NUMBER_LEN] = "-";
        if (isfinite(l->forward_ms)) {
            clfcn_format_number(l->forward_ms, 3, forward);
        }
        if (isfinite(l->backward_ms)) {
            clfcn_format_number(l->backward_ms, 3, backward);
        }
        printf("%-11s %-11s %10s  %11s  %9.1f\n", l->name, l->kind, forward, backward,
               all > 0 ? 100 * layer_ms(l) / all : 0);
    }
}

static void print_text(const struct clfcn_bench_run *r)
{
    char size[CLI_BYTES_LEN];
    printf("device      %s\n", r->hardware);
    printf("driver      %s of %s\n", r->driver, r->platform);
    printf("network     %s on %s, %dx%d, batch %d, %d classes, %s, %s\n", r->arch,
           r->backbone, r->width, r->height, r->batch, r->classes, r->loss, r->optimizer);
    printf("measured    %s, by clfcn %s%s%s%s%s\n", r->date, r->clfcn,
           r->os ? " on " : "", r->os ? r->os : "", r->cpu ? ", " : "",
           r->cpu ? r->cpu : "");
    if (r->failure) {
        printf("failed      %s\n", r->failure);
        return;
    }
    print_time("training", &r->train, r->batch);
    print_time("inference", &r->infer, r->batch);
    if (isfinite(r->first_step_s)) {
        printf("first step  %.2f s after opening the device\n", r->first_step_s);
    }
    printf("memory      %s of the device\n",
           cli_format_bytes((uint64_t)r->device_bytes, size));
    print_peak(r);
    print_verdict(r);
    for (size_t i = 0; i < json_array_size(r->lacking); ++i) {
        printf("not measured %s\n", json_string_value(json_array_get(r->lacking, i)));
    }
    print_slowest(r);
}

int cli_info_bench(const struct cli_env *env, const char *path, struct clfcn_err *err)
{
    struct clfcn_bench_run *runs = calloc(CLFCN_BENCH_RUNS, sizeof(*runs));
    int count = 0;
    if (!runs) {
        return clfcn_err_nomem(err);
    }
    int rc = cli_input(clfcn_bench_file_read(path, runs, &count, err), err);
    for (int i = 0; i < count && rc == CLFCN_OK; ++i) {
        if (env->json) {
            rc = cli_print_json(run_to_json(&runs[i]), err);
        } else {
            printf("%s", i > 0 ? "\n" : "");
            print_text(&runs[i]);
        }
    }
    for (int i = 0; i < count; ++i) {
        clfcn_bench_run_free(&runs[i]);
    }
    free(runs);
    return rc;
}
