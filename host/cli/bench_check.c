/* bench_check.c - whether what clfcn bench timed is right: each pass of a convolution
 * against float64, the whole network against itself. */
#include "../ops/conv.h"
#include "../ops/sample.h"
#include "../util/log.h"
#include "../util/sys.h"
#include "bench.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { REPEATED_STEPS = 2 }; /* so that the second loss depends on gradients */

static void count(struct cli_bench_checks *c, const char *layer, enum clfcn_pass pass,
                  const struct clfcn_net_verdict *v)
{
    if (!v->checked) {
        return;
    }
    /* A NaN is the worst there is. */
    if (c->passes == 0 || !(v->error <= c->worst)) {
        c->worst = isnan(c->worst) && c->passes > 0 ? c->worst : v->error;
        snprintf(c->worst_at, sizeof(c->worst_at), "%s %s", layer, clfcn_pass_name(pass));
    }
    ++c->passes;
    c->wrong += !v->correct;
}

/* Room for the verdicts, if there is none yet. */
static int open_verdicts(struct cli_bench *b, struct clfcn_err *err)
{
    if (!b->verdicts) {
        const size_t layers = (size_t)clfcn_net_layer_count(b->net);
        b->verdicts = calloc(layers, sizeof(*b->verdicts));
        b->checks.worst = NAN;
    }
    return b->verdicts ? CLFCN_OK : clfcn_err_nomem(err);
}

/* Where memory does not suffice for the data of a layer, it stays unchecked. */
int cli_bench_check_pass(struct cli_bench *b, int layer, enum clfcn_pass pass,
                         struct clfcn_err *err)
{
    struct clfcn_net_layer l;
    int rc = open_verdicts(b, err);
    if (rc < 0 || b->verdicts[layer][pass].checked) {
        return rc;
    }
    if (clfcn_flag_is_set(clfcn_interrupt_flag())) {
        return clfcn_err_set(err, CLFCN_EINTR, 0, "interrupted");
    }
    rc = clfcn_net_verify(b->net, layer, pass, &b->verdicts[layer][pass], err);
    if (rc == CLFCN_EDEVMEM || rc == CLFCN_ENOMEM) {
        clfcn_info("%s", err->msg);
        rc = CLFCN_OK;
    }
    clfcn_net_layer_get(b->net, layer, &l);
    count(&b->checks, l.name, pass, &b->verdicts[layer][pass]);
    return rc;
}

static int check_passes(struct cli_bench *b, struct clfcn_err *err)
{
    const int passes = clfcn_net_layer_count(b->net) * CLFCN_PASS_COUNT;
    int unchecked = 0, rc = open_verdicts(b, err);
    for (int i = 0; i < passes && rc == CLFCN_OK; ++i) {
        const int layer = i / CLFCN_PASS_COUNT, pass = i % CLFCN_PASS_COUNT;
        struct clfcn_net_layer l;
        cli_bench_layer(b, layer, &l);
        const double ms = l.pass[pass].ms > 0 ? l.pass[pass].ms : b->train.median;
        if (cli_bench_affords(b, 2e-3 * ms)) {
            rc = cli_bench_check_pass(b, layer, (enum clfcn_pass)pass, err);
        } else if (!b->verdicts[layer][pass].checked) {
            ++unchecked;
        }
    }
    if (rc < 0) {
        return rc;
    }
    if (unchecked > 0) {
        cli_bench_leave_out(b, "verification of %d passes: too slow", unchecked);
    }
    return CLFCN_OK;
}

static int losses_from_start(struct cli_bench *b, float losses[REPEATED_STEPS],
                             struct clfcn_err *err)
{
    int rc = clfcn_net_init(b->net, 0, err);
    b->updates = 0;
    for (int i = 0; i < REPEATED_STEPS && rc == CLFCN_OK; ++i) {
        rc = cli_bench_step(b, &losses[i], err);
    }
    return rc;
}

static int check_steps(struct cli_bench *b, struct clfcn_err *err)
{
    float one[REPEATED_STEPS], two[REPEATED_STEPS];
    if (!cli_bench_affords(b, 2e-3 * REPEATED_STEPS * b->train.median)) {
        cli_bench_leave_out(b, "whether training repeats: too slow");
        return CLFCN_OK;
    }
    b->checks.steps_run = true;
    int rc = losses_from_start(b, one, err);
    if (rc == CLFCN_OK) {
        rc = losses_from_start(b, two, err);
    }
    b->checks.steps_repeat = rc == CLFCN_OK && memcmp(one, two, sizeof(one)) == 0;
    return rc;
}

static double relative_error(const float *got, const float *want, size_t n)
{
    double distance = 0, norm = 0;
    for (size_t i = 0; i < n; ++i) {
        const double off = (double)got[i] - want[i];
        distance += off * off;
        norm += (double)want[i] * want[i];
    }
    return sqrt(distance / norm);
}

static int check_inference(struct cli_bench *b, struct clfcn_err *err)
{
    const size_t n = cli_bench_pixels(b) * (size_t)b->desc.classes;
    struct clfcn_net *net = b->inference ? b->inference : b->net;
    struct cli_bench_checks *c = &b->checks;
    c->inference_error = NAN;
    if (!cli_bench_affords(b, 3e-3 * b->infer.median)) {
        cli_bench_leave_out(b, "whether inference repeats: too slow");
        return CLFCN_OK;
    }
    c->inference_run = true;
    int rc = clfcn_net_init(b->net, 0, err); /* as b->inference was */
    if (rc == CLFCN_OK) {
        rc = cli_bench_infer(b, net, b->logits, err);
    }
    if (rc == CLFCN_OK) {
        rc = cli_bench_infer(b, net, b->other_logits, err);
    }
    if (rc == CLFCN_OK) {
        c->inference_repeats =
            memcmp(b->logits, b->other_logits, n * sizeof(*b->logits)) == 0;
        rc = cli_bench_infer(b, b->net, b->other_logits, err);
    }
    c->inference_error = b->inference && rc == CLFCN_OK
                             ? relative_error(b->logits, b->other_logits, n)
                             : NAN;
    return rc;
}

int cli_bench_check(struct cli_bench *b, struct clfcn_err *err)
{
    int rc = b->alone ? CLFCN_OK : check_passes(b, err);
    if (rc == CLFCN_OK) {
        rc = check_steps(b, err);
    }
    if (rc == CLFCN_OK) {
        rc = check_inference(b, err);
    }
    b->checks.done = rc == CLFCN_OK && (b->checks.passes > 0 || b->checks.steps_run ||
                                        b->checks.inference_run);
    return rc;
}

int cli_bench_verdict(const struct cli_bench *b, struct clfcn_err *err)
{
    const struct cli_bench_checks *c = &b->checks;
    if (!c->done) {
        return CLFCN_OK;
    }
    if (c->wrong > 0) {
        return clfcn_err_set(err, CLFCN_ENUMERIC, 0,
                             "%d of %d passes are computed wrongly, %s worst (relative "
                             "error %.1e, allowed %.0e); try another --gemm, or 'clfcn "
                             "tune', which leaves out what is wrong",
                             c->wrong, c->passes, c->worst_at, c->worst,
                             CLFCN_SAMPLES_BOUND);
    }
    for (int i = 0; i < b->product_count; ++i) {
        const struct clfcn_gemm_rate *r = &b->products[i];
        if (!r->correct) {
            return clfcn_err_set(err, CLFCN_ENUMERIC, 0,
                                 "the matrix product %dx%dx%d (%s) is wrong: relative "
                                 "error %.1e; try another --gemm",
                                 r->m, r->n, r->k, r->provider, r->error);
        }
    }
    if (b->inference && c->inference_run &&
        !(c->inference_error <= CLFCN_SAMPLES_BOUND)) {
        return clfcn_err_set(err, CLFCN_ENUMERIC, 0,
                             "the network built for inference differs from the one that "
                             "trains: relative error %.1e, allowed %.0e",
                             c->inference_error, CLFCN_SAMPLES_BOUND);
    }
    if ((c->steps_run && !c->steps_repeat) ||
        (c->inference_run && !c->inference_repeats)) {
        return clfcn_err_set(err, CLFCN_ENUMERIC, 0,
                             "%s from the same state gives other results when repeated: "
                             "this device or its driver is not to be trusted",
                             c->steps_run && !c->steps_repeat ? "training" : "inference");
    }
    return CLFCN_OK;
}
