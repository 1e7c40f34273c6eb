/* bench_json.c - what clfcn bench --json prints, and clfcn compare reads. */
#include "../device/slice.h"
#include "../ops/sample.h"
#include "../train/runlog.h"
#include "../util/json.h"
#include "bench.h"
#include <math.h>

/* NaN where it was not measured. */
static double measured(double ms)
{
    return ms >= 0 ? ms : NAN;
}

/* FLOPs are those of direct convolution, so that Winograd may be above 1. */
static double of_peak(const struct cli_bench *b, const struct clfcn_net_pass *p)
{
    return cli_bench_rate(p->flop, p->ms) / b->peak.gflops;
}

static json_t *text(const char *s)
{
    return *s ? json_string(s) : json_null();
}

/* Of a layer without weights, whose backward pass is no pass of its own in the list. */
static const struct clfcn_net_verdict *backward_verdict(const struct cli_bench *b,
                                                        int layer)
{
    struct clfcn_net_layer l;
    cli_bench_layer(b, layer, &l);
    return b->verdicts && l.pass[CLFCN_PASS_INPUT].ms < 0
               ? &b->verdicts[layer][CLFCN_PASS_INPUT]
               : NULL;
}

/* null where nothing was checked; v may be NULL. */
static json_t *error_to_json(const struct clfcn_net_verdict *v)
{
    return v && v->checked ? clfcn_json_number(v->error) : json_null();
}

static json_t *verdict_to_json(const struct clfcn_net_verdict *v)
{
    return v && v->checked ? json_boolean(v->correct) : json_null();
}

static json_t *pass_to_json(const struct cli_bench *b, const struct clfcn_net_pass *p,
                            enum clfcn_pass pass, const struct clfcn_net_verdict *v)
{
    return json_pack("{ss ss so so so sf sf sf so so}", "pass", clfcn_pass_name(pass),
                     "algorithm", cli_bench_algorithm(p), "ms", clfcn_json_number(p->ms),
                     "gflops", clfcn_json_number(cli_bench_rate(p->flop, p->ms)),
                     "of_peak", clfcn_json_number(of_peak(b, p)), "flop", p->flop,
                     "own_flop", p->own_flop, "bytes", p->bytes, "error",
                     v ? clfcn_json_number(v->error) : json_null(), "correct",
                     v && v->checked ? json_boolean(v->correct) : json_null());
}

/* The passes of a layer with weights; of others, forward alone. */
static json_t *passes_to_json(const struct cli_bench *b, int layer,
                              const struct clfcn_net_layer *l)
{
    json_t *list = json_array();
    for (int i = 0; i < CLFCN_PASS_COUNT; ++i) {
        const struct clfcn_net_verdict *v = b->verdicts ? &b->verdicts[layer][i] : NULL;
        if (l->pass[i].ms >= 0) {
            clfcn_json_append(&list, pass_to_json(b, &l->pass[i], (enum clfcn_pass)i, v));
        }
    }
    return list;
}

static json_t *layer_to_json(const struct cli_bench *b, int layer)
{
    struct clfcn_net_layer l;
    cli_bench_layer(b, layer, &l);
    const struct clfcn_net_pass *forward = &l.pass[CLFCN_PASS_FORWARD];
    const struct clfcn_net_verdict *backward = backward_verdict(b, layer);
    return json_pack("{ss ss ss so so so so so so so so}", "name", l.name, "kind", l.kind,
                     "algorithm", cli_bench_algorithm(forward), "forward_ms",
                     clfcn_json_number(measured(forward->ms)), "backward_ms",
                     clfcn_json_number(measured(l.backward_ms)), "forward_gflops",
                     clfcn_json_number(cli_bench_rate(forward->flop, forward->ms)),
                     "backward_gflops",
                     clfcn_json_number(cli_bench_rate(l.backward_flop, l.backward_ms)),
                     "backward_rest_ms", clfcn_json_number(measured(l.rest_ms)),
                     "backward_error", error_to_json(backward), "backward_correct",
                     verdict_to_json(backward), "passes", passes_to_json(b, layer, &l));
}

static json_t *layers_to_json(const struct cli_bench *b)
{
    json_t *list = json_array();
    for (int i = 0; i < clfcn_net_layer_count(b->net); ++i) {
        clfcn_json_append(&list, layer_to_json(b, i));
    }
    return list;
}

static json_t *left_out_to_json(const struct cli_bench *b)
{
    json_t *list = json_array();
    for (int i = 0; i < b->left_out_count; ++i) {
        clfcn_json_append(&list, json_string(b->left_out[i]));
    }
    return list;
}

static json_t *peak_to_json(const struct cli_bench *b)
{
    const struct clfcn_peak *p = &b->peak;
    return json_pack("{so so so so so so}", "gflops", clfcn_json_number(p->gflops),
                     "gbps", clfcn_json_number(p->gbps), "launch_us",
                     clfcn_json_number(p->launch_us), "upload_gbps",
                     clfcn_json_number(p->upload_gbps), "download_gbps",
                     clfcn_json_number(p->download_gbps), "cache_gbps",
                     clfcn_json_number(b->cache_gbps));
}

static json_t *products_to_json(const struct cli_bench *b)
{
    json_t *list = json_array();
    for (int i = 0; i < b->product_count; ++i) {
        const struct clfcn_gemm_rate *r = &b->products[i];
        clfcn_json_append(&list,
                          json_pack("{si si si ss so so sb}", "m", r->m, "n", r->n, "k",
                                    r->k, "provider", r->provider, "gflops",
                                    clfcn_json_number(r->gflops), "error",
                                    clfcn_json_number(r->error), "correct", r->correct));
    }
    return list;
}

static json_t *all_to_json(const double *ms, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; ++i) {
        clfcn_json_append(&list, json_real(ms[i]));
    }
    return list;
}

static json_t *spread_to_json(const struct clfcn_spread *s)
{
    return json_pack("{so so so so sb}", "lowest_ms", clfcn_json_number(s->lowest),
                     "highest_ms", clfcn_json_number(s->highest), "relative",
                     clfcn_json_number(s->relative), "drift", clfcn_json_number(s->drift),
                     "noisy", s->noisy);
}

static json_t *moment_to_json(const struct cli_bench_moment *m)
{
    return json_pack("{so so so}", "gflops", clfcn_json_number(m->gflops), "cpu_mhz",
                     clfcn_json_number(m->sensors.mhz), "celsius",
                     clfcn_json_number(m->sensors.celsius));
}

static json_t *checks_to_json(const struct cli_bench *b)
{
    const struct cli_bench_checks *c = &b->checks;
    if (!c->done) {
        return json_null();
    }
    return json_pack("{si si so so sf so so so}", "passes", c->passes, "wrong", c->wrong,
                     "worst_error", clfcn_json_number(c->worst), "worst_at",
                     text(c->worst_at), "bound", CLFCN_SAMPLES_BOUND, "training_repeats",
                     c->steps_run ? json_boolean(c->steps_repeat) : json_null(),
                     "inference_repeats",
                     c->inference_run ? json_boolean(c->inference_repeats) : json_null(),
                     "inference_error", clfcn_json_number(c->inference_error));
}

static json_t *correct_to_json(const struct cli_bench *b)
{
    return b->checks.done ? json_boolean(cli_bench_verdict(b, NULL) == CLFCN_OK)
                          : json_null();
}

static json_t *net_to_json(const struct clfcn_net_desc *d)
{
    return json_pack("{ss ss si si si si}", "arch", clfcn_arch_name(d->arch), "backbone",
                     clfcn_backbone_name(d->backbone), "width", d->width, "height",
                     d->height, "batch", d->batch, "classes", d->classes);
}

static json_t *options_to_json(const struct cli_bench *b)
{
    return json_pack("{ss ss ss sI si sf}", "loss", clfcn_loss_name(b->how.loss),
                     "optimizer", clfcn_optimizer_name(b->how.optimizer), "gemm",
                     clfcn_gemm_name(b->how.gemm), "workspace_bytes",
                     (json_int_t)b->how.workspace_bytes, "steps", b->steps,
                     "max_kernel_ms", clfcn_slice_limit(b->dev));
}

static json_t *hardware_to_json(const struct clfcn_device_info *i)
{
    return json_pack("{ss ss ss ss ss sI sI sI}", "name", i->name, "vendor", i->vendor,
                     "platform", i->platform, "driver", i->driver, "opencl", i->version,
                     "compute_units", (json_int_t)i->compute_units, "clock_mhz",
                     (json_int_t)i->clock_mhz, "global_bytes",
                     (json_int_t)i->global_bytes);
}

static json_t *system_to_json(const struct cli_bench *b)
{
    struct clfcn_machine m;
    clfcn_machine_get(&m);
    return json_pack("{ss ss ss so so si ss}", "clfcn", clfcn_version(), "date", b->date,
                     "clblast", clfcn_gemm_clblast_version(), "os", text(m.os), "cpu",
                     text(m.cpu), "cpus", m.cpus, "kernel_options",
                     clfcn_program_options);
}

/* What was asked, of which device. */
static json_t *question_to_json(const struct cli_bench *b,
                                const struct clfcn_device_info *info)
{
    char name[512];
    clfcn_dev_describe(info, name, sizeof(name));
    return json_pack("{ss so so so so}", "device", name, "net", net_to_json(&b->desc),
                     "options", options_to_json(b), "hardware", hardware_to_json(info),
                     "system", system_to_json(b));
}

/* Both references are taken; what either cannot hold makes the whole NULL. */
static json_t *join(json_t *a, json_t *b)
{
    if (!a || !b || json_object_update(a, b) < 0) {
        json_decref(a);
        a = NULL;
    }
    json_decref(b);
    return a;
}

int cli_bench_print_json(const struct cli_bench *b, struct clfcn_err *err)
{
    json_t *times = json_pack("{so so so so so sI so so so sb}", "train_step_ms",
                              clfcn_json_number(b->train.median), "train_step_ms_all",
                              all_to_json(b->train_ms, b->train_runs), "infer_ms",
                              clfcn_json_number(b->infer.median), "infer_ms_all",
                              all_to_json(b->infer_ms, b->infer_runs), "first_step_s",
                              clfcn_json_number(b->first_step_s), "device_bytes",
                              (json_int_t)b->device_bytes, "host_peak_kb",
                              b->first ? json_integer(b->host_kb) : json_null(),
                              "train_spread", spread_to_json(&b->train), "infer_spread",
                              spread_to_json(&b->infer), "noisy", !cli_bench_steady(b));
    json_t *rest = json_pack(
        "{so so so so so so so sb so sb so}", "left_out", left_out_to_json(b), "before",
        moment_to_json(&b->before), "after", moment_to_json(&b->after), "correct",
        correct_to_json(b), "checks", checks_to_json(b), "peak", peak_to_json(b),
        "products", products_to_json(b), "tuned", clfcn_net_is_tuned(b->net),
        "launch_share", clfcn_json_number(clfcn_net_launch_share(b->net)), "layers_alone",
        b->alone && clfcn_net_profiled(b->net) == 0, "layers", layers_to_json(b));
    return cli_print_json(
        join(join(question_to_json(b, clfcn_dev_get_info(b->dev)), times), rest), err);
}

int cli_bench_print_failure(const struct cli_bench *b,
                            const struct clfcn_device_info *info, const char *why,
                            struct clfcn_err *err)
{
    return cli_print_json(
        join(question_to_json(b, info), json_pack("{ss}", "error", why)), err);
}
