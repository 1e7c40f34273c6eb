#include "tune.h"

#include "../ops/peak.h"
#include "../util/log.h"
#include "../util/sys.h"
#include "net_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double FIRST_LOOK = 5.0, FIRST_LOOK_CPU = 2.0; /* seconds */

static struct clfcn_tune_row *find_row(struct clfcn_tuning *t,
                                       const struct clfcn_conv *cv)
{
    for (int i = 0; i < t->count; ++i) {
        struct clfcn_tune_row *row = &t->rows[i];
        if (row->pass == cv->pass && clfcn_conv_shape_equal(&row->shape, &cv->shape)) {
            return row;
        }
    }
    return NULL;
}

/* Note that layer computes cv; rows has room. */
static void add_row(struct clfcn_tuning *t, const char *layer,
                    const struct clfcn_conv *cv)
{
    struct clfcn_tune_row *row = find_row(t, cv);
    if (!row) {
        row = &t->rows[t->count++];
        *row = (struct clfcn_tune_row){ .shape = cv->shape,
                                        .pass = cv->pass,
                                        .flop = clfcn_conv_flop(&cv->shape) };
        snprintf(row->usual, sizeof(row->usual), "%s", cv->name);
        const struct clfcn_choice *stored =
            clfcn_choices_find(&t->choices, &cv->shape, cv->pass, t->options.gemm);
        if (stored && !clfcn_certificate_fault(&t->certificate, stored->algorithm,
                                               clfcn_pass_name(cv->pass))) {
            row->stored = true;
            row->choice = *stored;
        }
    }
    const size_t len = strlen(row->layers);
    snprintf(row->layers + len, sizeof(row->layers) - len, "%s%s", len ? " " : "", layer);
    ++row->layer_count;
}

static void list_rows(struct clfcn_tuning *t, const struct clfcn_graph *graph)
{
    for (int i = 0; i < graph->op_count; ++i) {
        const struct clfcn_op *op = graph->ops[i];
        const bool wanted[CLFCN_PASS_COUNT] = {
            [CLFCN_PASS_FORWARD] = true,
            [CLFCN_PASS_INPUT] = op->dx != NULL,
            [CLFCN_PASS_WEIGHT] = t->options.training && !op->frozen,
        };
        for (int p = 0; op->impl->conv && p < CLFCN_PASS_COUNT; ++p) {
            const struct clfcn_conv *cv = op->impl->conv(op, (enum clfcn_pass)p);
            if (cv && wanted[p]) {
                add_row(t, op->name, cv);
            }
        }
    }
}

int clfcn_tuning_open(struct clfcn_dev *dev, const struct clfcn_net_desc *desc,
                      const struct clfcn_net_options *options, enum clfcn_log_level level,
                      struct clfcn_tuning *out, struct clfcn_err *err)
{
    struct clfcn_programs *programs = NULL; /* never built: kernels are not run here */
    struct clfcn_gemms gemms = { .dev = dev, .kind = options->gemm };
    struct clfcn_graph *graph = calloc(1, sizeof(*graph));
    *out = (struct clfcn_tuning){ .dev = dev, .options = *options };
    out->rows = calloc((size_t)CLFCN_MAX_OPS * CLFCN_PASS_COUNT, sizeof(*out->rows));
    int rc = graph && out->rows ? clfcn_programs_create(dev, &programs, err)
                                : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        clfcn_choices_load(dev, level, &out->choices);
        clfcn_certificate_load(dev, &out->certificate);
        gemms.programs = programs;
        struct clfcn_op_env env = clfcn_net_env(dev, options);
        env.programs = programs;
        env.gemms = &gemms;
        env.certificate = &out->certificate;
        rc = clfcn_graph_build(graph, desc, options->freeze_backbone, NULL, &env, err);
    }
    if (rc == CLFCN_OK) {
        list_rows(out, graph);
    }
    clfcn_programs_destroy(&programs);
    clfcn_gemms_destroy(&gemms);
    if (graph) {
        clfcn_graph_finish(graph);
    }
    free(graph);
    return rc;
}

void clfcn_tuning_close(struct clfcn_tuning *tuning)
{
    clfcn_choices_free(&tuning->choices);
    clfcn_certificate_free(&tuning->certificate);
    free(tuning->rows);
    *tuning = (struct clfcn_tuning){ 0 };
}

static double weight(const struct clfcn_tune_row *row)
{
    return row->flop * row->layer_count;
}

static int heaviest_first(const void *a, const void *b)
{
    const double x = weight(*(struct clfcn_tune_row *const *)a);
    const double y = weight(*(struct clfcn_tune_row *const *)b);
    return (x < y) - (x > y);
}

/* Measure one row and note its winner. What is wrong with the row is kept in it. */
static int measure_row(struct clfcn_tuning *t, struct clfcn_tuner *tuner,
                       struct clfcn_tune_row *row, bool same_bits, double race_end,
                       double end, struct clfcn_err *err)
{
    const int rc = clfcn_tuner_measure(tuner, &row->shape, row->pass, race_end, end,
                                       &row->result, err);
    if (rc == CLFCN_EINTR) {
        return rc;
    }
    if (rc < 0) {
        snprintf(row->why, sizeof(row->why), "%.200s", err->msg);
        return CLFCN_OK;
    }
    row->measured = true;
    if (row->result.best < 0) {
        snprintf(row->why, sizeof(row->why), "no algorithm works");
        row->stored = false;
        clfcn_choices_remove(&t->choices, &row->shape, row->pass, t->options.gemm);
        return CLFCN_OK;
    }
    if (same_bits && row->result.best == 0) {
        return CLFCN_OK;
    }
    const struct clfcn_tuner_trial *best = &row->result.trials[row->result.best];
    row->choice = (struct clfcn_choice){ .shape = row->shape,
                                         .pass = row->pass,
                                         .gemm = t->options.gemm,
                                         .ms = best->ms,
                                         .error = best->error };
    snprintf(row->choice.algorithm, sizeof(row->choice.algorithm), "%s", best->name);
    row->stored = true;
    return clfcn_choices_set(&t->choices, &row->choice, err);
}

static int measure_rows(struct clfcn_tuning *t, struct clfcn_tuner *tuner,
                        struct clfcn_tune_row **order, const struct clfcn_tune_how *how,
                        struct clfcn_err *err)
{
    const double end = clfcn_clock() + how->budget;
    double left = 0.0;
    int rc = CLFCN_OK;
    for (int i = 0; i < t->count; ++i) {
        left += weight(order[i]);
    }
    for (int i = 0; rc == CLFCN_OK && i < t->count; ++i) {
        const double now = clfcn_clock();
        if (i > 0 && now > end) {
            snprintf(order[i]->why, sizeof(order[i]->why), "the budget was used up");
            continue;
        }
        if (how->progress) {
            how->progress(how->user, order[i], i);
        }
        const double share = (end - now) * weight(order[i]) / left;
        rc = measure_row(t, tuner, order[i], how->same_bits, now + share, end, err);
        left -= weight(order[i]);
    }
    return rc;
}

int clfcn_tuning_measure(struct clfcn_tuning *t, const struct clfcn_tune_how *how,
                         struct clfcn_err *err)
{
    const struct clfcn_op_env env = clfcn_net_env(t->dev, &t->options);
    const struct clfcn_tuner_config config = { .dev = t->dev,
                                               .impls = clfcn_conv_impls,
                                               .gemm = t->options.gemm,
                                               .columns_limit = env.columns_limit,
                                               .workspace_limit = env.workspace_limit,
                                               .stop = how->stop,
                                               .certificate = &t->certificate,
                                               .same_bits = how->same_bits };
    struct clfcn_tuner *tuner = NULL;
    struct clfcn_tune_row *order[CLFCN_MAX_OPS * CLFCN_PASS_COUNT];
    struct clfcn_peak peak;
    if (!how->same_bits && clfcn_peak_measure(t->dev, &peak, NULL) == CLFCN_OK) {
        t->choices.peak_gflops = peak.gflops; /* only to be shown */
    }
    t->choices.first_look = how->first_look;
    for (int i = 0; i < t->count; ++i) {
        order[i] = &t->rows[i];
    }
    qsort(order, (size_t)t->count, sizeof(order[0]), heaviest_first);
    int rc = clfcn_tuner_create(&config, &tuner, err);
    if (rc < 0) {
        return rc;
    }
    const double start = clfcn_clock();
    rc = measure_rows(t, tuner, order, how, err);
    clfcn_debug("measuring took %.2f s; %d choices are stored", clfcn_clock() - start,
                t->choices.count);
    clfcn_tuner_destroy(&tuner);
    if (rc == CLFCN_OK || rc == CLFCN_EINTR) {
        const int saved = clfcn_choices_save(&t->choices, t->dev, rc < 0 ? NULL : err);
        rc = rc < 0 ? rc : saved;
    }
    return rc;
}

/* Whether one run of the heaviest row, at a share of the peak that slow kernels reach,
 * would take longer than the budget, which is only looked at between runs. */
static bool too_slow(const struct clfcn_tuning *t, double budget)
{
    static const double share = 0.02;
    double most = 0;
    clfcn_peak_glance(t->dev);
    for (int i = 0; i < t->count; ++i) {
        most = t->rows[i].flop > most ? t->rows[i].flop : most;
    }
    return t->dev->gflops > 0 && 1e-9 * most / (share * t->dev->gflops) > budget;
}

void clfcn_tune_first(struct clfcn_dev *dev, const struct clfcn_net_desc *desc,
                      const struct clfcn_net_options *options, const volatile bool *stop)
{
    struct clfcn_tuning tuning = { 0 };
    struct clfcn_err err;
    const bool cpu = dev->info.is_cpu;
    const struct clfcn_tune_how how = { .budget = cpu ? FIRST_LOOK_CPU : FIRST_LOOK,
                                        .first_look = true,
                                        .same_bits = cpu,
                                        .stop = stop };
    if (clfcn_choices_stored(dev)) {
        return;
    }
    clfcn_info("nothing is tuned for this device yet: trying %s for up to %.0f s; "
               "'clfcn tune' does it thoroughly",
               cpu ? "parameters" : "algorithms", how.budget);
    int rc = clfcn_tuning_open(dev, desc, options, CLFCN_LOG_DEBUG, &tuning, &err);
    if (rc == CLFCN_OK && too_slow(&tuning, how.budget)) {
        clfcn_info("this device is too slow for that: its defaults stay");
    } else if (rc == CLFCN_OK) {
        rc = clfcn_tuning_measure(&tuning, &how, &err);
    }
    if (rc < 0 && rc != CLFCN_EINTR) {
        clfcn_warn("%s were not tried: %s", cpu ? "parameters" : "algorithms", err.msg);
    }
    clfcn_tuning_close(&tuning);
}
