/* bench_alone.c - what clfcn bench measures first where a whole step may not fit in its
 * budget: layers by themselves, the cheapest first, and from them what a step would take.
 */
#include "../ops/conv.h"
#include "../util/log.h"
#include "../util/sys.h"
#include "bench.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Steps that a run comes to at least: the first, a timed, a profiled and a repeated one.
 */
enum { STEPS_OF_RUN = 4 };
/* Of the budget, what is kept for peaks and inference; of a prediction, what it may be
 * off by: padding to whole tiles alone makes layers of few pixels several times slower.
 */
static const double KEPT = 0.25, CAUTION = 2;
/* FLOPs that moving a byte counts for. */
static const double FLOP_PER_BYTE = 1;
/* A prediction worth a line of its own. */
static const double LONG_S = 20;

struct job {
    int layer;
    enum clfcn_pass pass;
    double cost; /* FLOPs, bytes among them */
};

static struct clfcn_net_forecast forecast_of(const struct cli_bench *b)
{
    struct clfcn_net_forecast f;
    clfcn_net_get_forecast(b->net, &f);
    free(f.thrift);
    f.thrift = NULL;
    return f;
}

/* 0 where the layer has no such pass that can be verified. */
static double cost_of(const struct cli_bench *b, int layer, enum clfcn_pass pass)
{
    struct clfcn_net_layer l;
    clfcn_net_layer_get(b->net, layer, &l);
    const struct clfcn_net_pass *forward = &l.pass[CLFCN_PASS_FORWARD];
    const double cost = forward->flop + FLOP_PER_BYTE * forward->bytes;
    if (pass == CLFCN_PASS_FORWARD || clfcn_net_has_pass(b->net, layer, pass)) {
        return cost;
    }
    return !forward->algorithm && pass == CLFCN_PASS_INPUT ? 2 * cost : 0;
}

static int by_cost(const void *a, const void *b)
{
    const double x = ((const struct job *)a)->cost, y = ((const struct job *)b)->cost;
    return (x > y) - (x < y);
}

static int list_jobs(const struct cli_bench *b, struct job *jobs)
{
    int count = 0;
    for (int i = 0; i < clfcn_net_layer_count(b->net) * CLFCN_PASS_COUNT; ++i) {
        struct job job = { i / CLFCN_PASS_COUNT, (enum clfcn_pass)(i % CLFCN_PASS_COUNT),
                           0 };
        job.cost = cost_of(b, job.layer, job.pass);
        if (job.cost > 0) {
            jobs[count++] = job;
        }
    }
    qsort(jobs, (size_t)count, sizeof(*jobs), by_cost);
    return count;
}

static void tell(struct cli_env *env, const struct cli_bench *b, const struct job *job,
                 double seconds)
{
    struct clfcn_net_layer l;
    char text[128], time[CLFCN_DURATION_LEN];
    clfcn_net_layer_get(b->net, job->layer, &l);
    snprintf(text, sizeof(text), "%s, %s: about %s", l.name, clfcn_pass_name(job->pass),
             clfcn_format_duration(seconds, time));
    if (seconds > LONG_S) {
        clfcn_info("%s", text);
    } else if (env->screen.terminal && !env->json && !env->quiet) {
        cli_screen_live(&env->screen, text);
    }
}

/* Seconds for all passes of a step, and those of an inference: as measured, else as the
 * last that were. */
static void predict(struct cli_bench *b, const struct job *jobs, int count,
                    double slowness)
{
    b->step_s = b->infer_s = 0;
    for (int i = 0; i < count; ++i) {
        const struct clfcn_net_verdict *v =
            b->verdicts ? &b->verdicts[jobs[i].layer][jobs[i].pass] : NULL;
        const double seconds = v && v->checked ? 1e-3 * v->ms : slowness * jobs[i].cost;
        b->step_s += seconds;
        b->infer_s += jobs[i].pass == CLFCN_PASS_FORWARD ? seconds : 0;
    }
}

/* Seconds for a FLOP, before anything has run. */
static double first_guess(const struct cli_bench *b)
{
    const struct clfcn_net_forecast f = forecast_of(b);
    return 1e-3 * f.ms / f.flop;
}

/* Those measured last: the cheapest passes tell little about the dearest. */
struct latest {
    double slowness[16];
    int count;
};

/* Add one, and get the middle one, so that a moment in which the machine had other things
 * to do decides nothing. */
static double lately(struct latest *seen, double slowness)
{
    double sorted[CLFCN_ARRAY_LEN(seen->slowness)];
    seen->slowness[seen->count++ % CLFCN_ARRAY_LEN(sorted)] = slowness;
    const int n =
        seen->count < CLFCN_ARRAY_LEN(sorted) ? seen->count : CLFCN_ARRAY_LEN(sorted);
    memcpy(sorted, seen->slowness, (size_t)n * sizeof(*sorted));
    return cli_median(sorted, n);
}

static int measure(struct cli_env *env, struct cli_bench *b, const struct job *jobs,
                   int count, struct clfcn_err *err)
{
    const double kept = KEPT * (b->end - clfcn_clock());
    double slowness = first_guess(b); /* seconds for a FLOP */
    struct latest seen = { .count = 0 };
    int left = 0;
    for (int i = 0; i < count; ++i) {
        const struct job *job = &jobs[i];
        const double expected = slowness * job->cost;
        if (!cli_bench_affords(b, kept + CAUTION * expected)) {
            ++left;
            continue;
        }
        tell(env, b, job, expected);
        const int rc = cli_bench_check_pass(b, job->layer, job->pass, err);
        if (rc < 0) {
            return rc;
        }
        const struct clfcn_net_verdict *v = &b->verdicts[job->layer][job->pass];
        if (v->checked) {
            slowness = lately(&seen, 1e-3 * v->ms / job->cost);
        }
    }
    if (left > 0) {
        cli_bench_leave_out(b, "%d of %d passes of layers: too slow", left, count);
    }
    predict(b, jobs, count, slowness);
    return CLFCN_OK;
}

bool cli_bench_is_slow(const struct cli_bench *b)
{
    return !cli_bench_affords(b, STEPS_OF_RUN * 1e-3 * forecast_of(b).ms);
}

int cli_bench_alone(struct cli_env *env, struct cli_bench *b, struct clfcn_err *err)
{
    const int most = clfcn_net_layer_count(b->net) * CLFCN_PASS_COUNT;
    struct job *jobs = calloc((size_t)most, sizeof(*jobs));
    char step[CLFCN_DURATION_LEN], infer[CLFCN_DURATION_LEN];
    if (!jobs) {
        return clfcn_err_nomem(err);
    }
    clfcn_info("this device is slow: its layers are measured one by one first");
    b->alone = true;
    const int rc = measure(env, b, jobs, list_jobs(b, jobs), err);
    free(jobs);
    if (rc == CLFCN_OK) {
        clfcn_info("a training step takes about %s, an inference %s",
                   clfcn_format_duration(b->step_s, step),
                   clfcn_format_duration(b->infer_s, infer));
    }
    return rc;
}

/* Milliseconds; < 0 if it was not verified. */
static double ms_of(const struct clfcn_net_verdict *v)
{
    return v->checked ? v->ms : -1;
}

/* Of the backward pass of a layer with weights: < 0 unless all that it has was verified.
 */
static double backward_ms(const struct cli_bench *b, int layer)
{
    double sum = 0;
    bool any = false;
    for (int p = CLFCN_PASS_INPUT; p < CLFCN_PASS_COUNT; ++p) {
        if (clfcn_net_has_pass(b->net, layer, (enum clfcn_pass)p)) {
            const double ms = ms_of(&b->verdicts[layer][p]);
            sum = sum < 0 || ms < 0 ? -1 : sum + ms;
            any = true;
        }
    }
    return any ? sum : -1;
}

void cli_bench_layer(const struct cli_bench *b, int i, struct clfcn_net_layer *out)
{
    clfcn_net_layer_get(b->net, i, out);
    if (!b->alone || clfcn_net_profiled(b->net) > 0 || !b->verdicts) {
        return;
    }
    for (int p = 0; p < CLFCN_PASS_COUNT; ++p) {
        if (clfcn_net_has_pass(b->net, i, (enum clfcn_pass)p)) {
            out->pass[p].ms = ms_of(&b->verdicts[i][p]);
        }
    }
    if (out->pass[CLFCN_PASS_FORWARD].algorithm) {
        out->backward_ms = backward_ms(b, i);
    } else {
        out->rest_ms = out->backward_ms = ms_of(&b->verdicts[i][CLFCN_PASS_INPUT]);
    }
}
