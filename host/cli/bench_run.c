/* bench_run.c - one network on one device: training steps and inference on a synthetic
 * batch, timed. */
#include "../device/prof.h"
#include "../net/tune.h"
#include "../util/log.h"
#include "../util/pages.h"
#include "../util/rng.h"
#include "../util/sys.h"
#include "../util/trace.h"
#include "bench.h"
#include "profile.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

enum { PROFILED_STEPS = 3 };

size_t cli_bench_pixels(const struct cli_bench *b)
{
    return (size_t)b->desc.batch * (size_t)b->desc.width * (size_t)b->desc.height;
}

bool cli_bench_affords(const struct cli_bench *b, double seconds)
{
    return clfcn_clock() + seconds <= b->end;
}

void cli_bench_leave_out(struct cli_bench *b, const char *fmt, ...)
{
    va_list args;
    if (b->left_out_count < CLI_BENCH_LEFT_OUT) {
        va_start(args, fmt);
        vsnprintf(b->left_out[b->left_out_count++], sizeof(b->left_out[0]), fmt, args);
        va_end(args);
    }
}

static int allocate(struct cli_bench *b, struct clfcn_err *err)
{
    const size_t pixels = cli_bench_pixels(b), classes = (size_t)b->desc.classes;
    b->images = clfcn_pages_alloc(pixels * 3 * sizeof(float));
    b->logits = calloc(pixels, classes * sizeof(float));
    b->other_logits = calloc(pixels, classes * sizeof(float));
    b->labels = clfcn_pages_alloc(pixels);
    b->train_ms = calloc((size_t)b->steps, sizeof(double));
    b->infer_ms = calloc((size_t)b->steps, sizeof(double));
    b->scratch_ms = calloc((size_t)b->steps, sizeof(double));
    if (!b->images || !b->logits || !b->other_logits || !b->labels || !b->train_ms ||
        !b->infer_ms || !b->scratch_ms) {
        return clfcn_err_nomem(err);
    }
    struct clfcn_rng rng;
    clfcn_rng_init(&rng, 0, "bench", 0, 0);
    for (size_t i = 0; i < 3 * pixels; ++i) {
        b->images[i] = (float)(4 * clfcn_rng_double(&rng) - 2);
    }
    for (size_t i = 0; i < pixels; ++i) {
        b->labels[i] = (uint8_t)clfcn_rng_below(&rng, (uint32_t)b->desc.classes);
    }
    return CLFCN_OK;
}

void cli_bench_close(struct cli_bench *b)
{
    clfcn_net_destroy(&b->inference);
    clfcn_net_destroy(&b->net);
    clfcn_dev_close(&b->dev);
    free(b->images);
    free(b->logits);
    free(b->other_logits);
    free(b->labels);
    free(b->train_ms);
    free(b->infer_ms);
    free(b->scratch_ms);
    free(b->verdicts);
    *b = (struct cli_bench){ .desc = b->desc,
                             .how = b->how,
                             .steps = b->steps,
                             .budget = b->budget,
                             .verify = b->verify };
}

static struct clfcn_net_hyper next_update(struct cli_bench *b)
{
    return (struct clfcn_net_hyper){
        .lr = 1e-4,
        .momentum = 0.7,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .eps = 1e-8,
        .update = ++b->updates,
    };
}

static int upload(struct cli_bench *b, struct clfcn_err *err)
{
    const struct clfcn_net_input in = {
        .images = b->images,
        .labels = b->labels,
        .labelled = (int64_t)cli_bench_pixels(b),
    };
    return clfcn_net_upload(b->net, 0, &in, err);
}

int cli_bench_step(struct cli_bench *b, float *loss, struct clfcn_err *err)
{
    const struct clfcn_net_hyper hyper = next_update(b);
    int rc = upload(b, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_net_step(b->net, 0, &hyper, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_net_wait(b->net, 0, loss, err);
    }
    if (rc == CLFCN_OK && !isfinite(*loss)) {
        rc = clfcn_err_set(
            err, CLFCN_ENUMERIC, 0,
            "the loss of step %lld is not finite: this device computes wrongly",
            (long long)b->updates);
    }
    return rc;
}

int cli_bench_infer(struct cli_bench *b, struct clfcn_net *net, float *logits,
                    struct clfcn_err *err)
{
    const struct clfcn_net_input in = { .images = b->images };
    int rc = clfcn_net_upload(net, 0, &in, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_net_infer(net, 0, logits, err);
    }
    return rc < 0 ? rc : clfcn_net_wait(net, 0, NULL, err);
}

/* What is timed: one training step, from the batch in host memory to its loss in host
 * memory; or an inference, to its logits there. */
static int train_step(struct cli_bench *b, struct clfcn_err *err)
{
    float loss = NAN;
    return cli_bench_step(b, &loss, err);
}

static int infer(struct cli_bench *b, struct clfcn_err *err)
{
    return cli_bench_infer(b, b->inference ? b->inference : b->net, b->logits, err);
}

/* A network built for inference only, as `predict` and `eval` have it. Where memory does
 * not suffice for both, the one that trains stands in. */
static int create_inference(struct cli_bench *b, struct clfcn_err *err)
{
    struct clfcn_net_options how = b->how;
    how.training = false;
    int rc = clfcn_net_create(b->dev, &b->desc, &how, &b->inference, err);
    if (rc == CLFCN_EDEVMEM || rc == CLFCN_ENOMEM) {
        clfcn_info("inference is timed on the network that trains: %s", err->msg);
        return CLFCN_OK;
    }
    return rc < 0 ? rc : clfcn_net_init(b->inference, 0, err);
}

/* Time runs of what until there are so many, the first after one to warm up; or as many
 * as a third of the time left allows: then the first may be the only one. */
static int repeat(struct cli_env *env, struct cli_bench *b, const char *name,
                  int (*what)(struct cli_bench *b, struct clfcn_err *err), double *ms,
                  int *runs, int until, struct clfcn_err *err)
{
    int rc = CLFCN_OK, i = *runs;
    if (i == 0) {
        const double begin = clfcn_clock();
        rc = what(b, err);
        ms[0] = 1e3 * (clfcn_clock() - begin);
        *runs = 1;
    }
    const double each = 1e-3 * ms[*runs - 1];
    const double reserve = isfinite(b->end) ? 2 * (b->end - clfcn_clock()) / 3 : 0;
    for (; i < until && rc == CLFCN_OK && cli_bench_affords(b, each + reserve); ++i) {
        if (clfcn_flag_is_set(clfcn_interrupt_flag())) {
            return clfcn_err_set(err, CLFCN_EINTR, 0, "interrupted");
        }
        double start = clfcn_clock();
        rc = what(b, err);
        ms[i] = 1e3 * (clfcn_clock() - start);
        *runs = i + 1;
        if (env->screen.terminal && !env->json && !env->quiet) {
            char text[80];
            snprintf(text, sizeof(text), "%s %d/%d: %.1f ms", name, i + 1, b->steps,
                     ms[i]);
            cli_screen_live(&env->screen, text);
        }
    }
    return rc;
}

/* A few steps whose kernels are timed by the device: after the timed runs, which know
 * nothing of it. With --profile they, and an inference, are what the file shows. */
static int profile(struct cli_env *env, struct cli_bench *b, struct clfcn_err *err)
{
    const double each = 1e-3 * b->train.median;
    const int steps =
        cli_bench_affords(b, 2 * PROFILED_STEPS * each) ? PROFILED_STEPS : 1;
    if (!cli_bench_affords(b, each)) {
        if (!b->alone) {
            cli_bench_leave_out(b, "times of layers: too slow");
        }
        return CLFCN_OK;
    }
    int rc = cli_profile_start(env, b->dev, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_prof_start(b->dev, err);
    }
    for (int i = 0; i <= steps && clfcn_net_profiled(b->net) < steps && rc == CLFCN_OK;
         ++i) {
        const struct clfcn_net_hyper hyper = next_update(b);
        rc = upload(b, err);
        if (rc == CLFCN_OK) {
            rc = clfcn_net_profile(b->net, 0, &hyper, err);
        }
    }
    if (rc == CLFCN_OK && env->profile.path) {
        rc = infer(b, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_prof_stop(b->dev, err);
    }
    clfcn_trace_stop();
    return rc;
}

/* Where the network leaves no memory for it, all of peak is NaN. */
static int measure_peak(struct cli_bench *b,
                        int (*measure)(struct clfcn_dev *dev, struct clfcn_peak *out,
                                       struct clfcn_err *err),
                        struct clfcn_peak *peak, struct clfcn_err *err)
{
    const int rc = measure(b->dev, peak, err);
    if (rc == CLFCN_EDEVMEM || rc == CLFCN_ENOMEM) {
        cli_bench_leave_out(b, "a measurement of the peak: the network leaves too little "
                               "memory for it");
        return CLFCN_OK;
    }
    return rc;
}

static int look(struct cli_bench *b, struct cli_bench_moment *m, struct clfcn_err *err)
{
    struct clfcn_peak peak;
    clfcn_sensors_read(&m->sensors);
    const int rc = measure_peak(b, clfcn_peak_measure_cached, &peak, err);
    m->gflops = peak.gflops;
    b->cache_gbps = fmax(b->cache_gbps, peak.gbps); /* passes NaN over */
    return rc;
}

/* Half of the runs come first, the others after all that is measured in between, some
 * seconds later: what slows a machine down for a while shows as drift. */
static int first_round(const struct cli_bench *b)
{
    return (b->steps + 1) / 2;
}

/* Device and network, and where that is slow, its layers by themselves. seconds: what of
 * it is done at every start. */
static int prepare(struct cli_env *env, struct cli_bench *b, double *seconds,
                   struct clfcn_err *err)
{
    const double start = clfcn_clock();
    int rc = cli_device_open(env, &b->dev, err);
    const double opened = clfcn_clock();
    double looked = opened;
    if (rc == CLFCN_OK) {
        clfcn_tune_first(b->dev, &b->desc, &b->how, clfcn_interrupt_flag());
        if (b->budget > 0 && b->dev->gflops == 0) {
            clfcn_peak_glance(b->dev);
        }
        looked = clfcn_clock();
        rc = clfcn_net_create(b->dev, &b->desc, &b->how, &b->net, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_net_init(b->net, 0, err);
    }
    *seconds = clfcn_clock() - looked + opened - start;
    if (rc == CLFCN_OK) {
        b->device_bytes = b->dev->peak_bytes; /* steps allocate nothing */
        b->cache_gbps = NAN;
    }
    return rc;
}

static int first_step(struct cli_env *env, struct cli_bench *b, struct clfcn_err *err)
{
    double seconds = 0;
    char time[CLFCN_DURATION_LEN];
    int rc = prepare(env, b, &seconds, err);
    if (rc == CLFCN_OK && cli_bench_is_slow(b)) {
        rc = look(b, &b->before, err);
        rc = rc < 0 ? rc : cli_bench_alone(env, b, err);
    }
    if (rc == CLFCN_OK && b->alone && !cli_bench_affords(b, b->step_s)) {
        cli_bench_leave_out(b, "training step: too slow, about %s",
                            clfcn_format_duration(b->step_s, time));
        return CLFCN_OK;
    }
    const double start = clfcn_clock();
    rc = rc < 0 ? rc : train_step(b, err);
    b->train_ms[0] = 1e3 * (clfcn_clock() - start);
    b->train_runs = b->alone ? 1 : 0; /* others begin with a step to warm up */
    b->first_step_s = seconds + 1e-3 * b->train_ms[0];
    return rc;
}

static int time_inference(struct cli_env *env, struct cli_bench *b, int until,
                          struct clfcn_err *err)
{
    char time[CLFCN_DURATION_LEN];
    if (b->infer_runs == 0) {
        if (b->alone && !cli_bench_affords(b, b->infer_s)) {
            cli_bench_leave_out(b, "inference: too slow, about %s",
                                clfcn_format_duration(b->infer_s, time));
            return CLFCN_OK;
        }
        const int rc = create_inference(b, err);
        if (rc < 0) {
            return rc;
        }
    }
    return repeat(env, b, "inference", infer, b->infer_ms, &b->infer_runs, until, err);
}

/* All NaN if nothing was timed. */
static struct clfcn_spread spread_of(struct cli_bench *b, const double *ms, int runs)
{
    return runs > 0 ? clfcn_spread_of(ms, runs, b->scratch_ms)
                    : (struct clfcn_spread){ NAN, NAN, NAN, NAN, NAN, false };
}

/* Steps and inferences until there are so many of each. */
static int time_runs(struct cli_env *env, struct cli_bench *b, int until,
                     struct clfcn_err *err)
{
    int rc = b->alone ? CLFCN_OK
                      : repeat(env, b, "training step", train_step, b->train_ms,
                               &b->train_runs, until, err);
    if (rc == CLFCN_OK && b->infer_runs == 0) { /* what follows takes memory of its own */
        b->host_kb = clfcn_peak_rss_kb();
    }
    if (rc == CLFCN_OK && (b->infer_runs > 0 || until <= first_round(b))) {
        rc = time_inference(env, b, until, err);
    }
    b->train = spread_of(b, b->train_ms, b->train_runs);
    b->infer = spread_of(b, b->infer_ms, b->infer_runs);
    return rc;
}

static void tell_missing(struct cli_bench *b, const char *name, int runs)
{
    if (runs > 0 && runs < b->steps && !b->alone) {
        cli_bench_leave_out(b, "%d of %d repetitions of the %s: too slow",
                            b->steps - runs, b->steps, name);
    }
}

/* Seconds that a FLOP takes in the forward passes of convolutions; 0: not known. */
static double forward_slowness(const struct cli_bench *b)
{
    double seconds = 0, flop = 0;
    for (int i = 0; i < clfcn_net_layer_count(b->net); ++i) {
        struct clfcn_net_layer l;
        cli_bench_layer(b, i, &l);
        const struct clfcn_net_pass *p = &l.pass[CLFCN_PASS_FORWARD];
        if (p->algorithm && p->ms > 0) {
            seconds += 1e-3 * p->ms;
            flop += p->flop;
        }
    }
    return flop > 0 ? seconds / flop : 0;
}

/* The products of im2col for eight layers of VGG, at this size and batch. What there is
 * no memory for is left out. */
static int measure_products(struct cli_bench *b, struct clfcn_err *err)
{
    static const struct {
        int in, out, shrink;
    } layers[CLI_BENCH_PRODUCTS] = {
        { 64, 64, 1 },   { 64, 128, 2 },  { 128, 128, 2 }, { 128, 256, 4 },
        { 256, 256, 4 }, { 256, 512, 8 }, { 512, 512, 8 }, { 512, 512, 16 },
    };
    enum { RUNS_OF_PRODUCT = 5 };
    double slowness = forward_slowness(b);
    int left_out = 0, without_room = 0;
    for (int i = 0; i < CLI_BENCH_PRODUCTS; ++i) {
        const int s = layers[i].shrink;
        if (clfcn_flag_is_set(clfcn_interrupt_flag())) {
            return clfcn_err_set(err, CLFCN_EINTR, 0, "interrupted");
        }
        struct clfcn_gemm_rate *r = &b->products[b->product_count];
        *r = (struct clfcn_gemm_rate){
            .m = layers[i].out,
            .n = b->desc.batch * (b->desc.height / s) * (b->desc.width / s),
            .k = 9 * layers[i].in,
        };
        const double flop = 2.0 * r->m * r->n * r->k;
        if (!cli_bench_affords(b, RUNS_OF_PRODUCT * flop * slowness)) {
            ++left_out;
            continue;
        }
        const int rc = clfcn_gemm_measure(b->dev, b->how.gemm, r, err);
        if (rc == CLFCN_EDEVMEM || rc == CLFCN_ENOMEM) {
            ++without_room;
            continue;
        }
        if (rc < 0) {
            return rc;
        }
        slowness = fmax(slowness, 1e-9 / r->gflops);
        ++b->product_count;
    }
    if (left_out > 0) {
        cli_bench_leave_out(b, "%d of %d products: too slow", left_out,
                            CLI_BENCH_PRODUCTS);
    }
    if (without_room > 0) {
        cli_bench_leave_out(b, "%d of %d products: too little memory", without_room,
                            CLI_BENCH_PRODUCTS);
    }
    return CLFCN_OK;
}

int cli_bench_run(struct cli_env *env, struct cli_bench *b, struct clfcn_err *err)
{
    clfcn_interrupt_install();
    b->end = b->budget > 0 ? clfcn_clock() + b->budget : INFINITY;
    clfcn_clock_iso(b->date, sizeof(b->date));
    b->first_step_s = b->step_s = b->infer_s = NAN;
    int rc = allocate(b, err);
    if (rc == CLFCN_OK) {
        rc = first_step(env, b, err);
    }
    if (rc == CLFCN_OK && !b->alone) {
        rc = look(b, &b->before, err);
    }
    if (rc == CLFCN_OK) {
        rc = time_runs(env, b, first_round(b), err);
    }
    if (rc == CLFCN_OK) {
        rc = profile(env, b, err);
    }
    if (rc == CLFCN_OK) {
        rc = measure_peak(b, clfcn_peak_measure, &b->peak, err);
    }
    if (rc == CLFCN_OK) {
        rc = measure_products(b, err);
    }
    if (rc == CLFCN_OK) {
        rc = time_runs(env, b, b->steps, err);
    }
    if (rc == CLFCN_OK) {
        rc = look(b, &b->after, err);
    }
    tell_missing(b, "training step", b->train_runs);
    tell_missing(b, "inference", b->infer_runs);
    if (rc == CLFCN_OK && b->verify) {
        rc = cli_bench_check(b, err);
    }
    cli_screen_clear(&env->screen);
    return rc;
}
