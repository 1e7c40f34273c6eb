#include "bench_file.h"
#include "../util/file.h"
#include "../util/json.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of a file, which parsed takes up to 80 times as much. */
enum { MOST_BYTES = 4 << 20 };

enum {
    MOST_TEXT = 1000, /* of a string, but for a failure's reason */
    MOST_LAYERS = 512,
    MOST_LACKING = 64,
};

/* Where we are, for messages; an error stays once it is set. */
struct reader {
    const char *file;
    int run; /* counts from 1 */
    int rc;
    struct clfcn_err *err;
};

static void bad(struct reader *r, const char *field, const char *why)
{
    if (r->rc == CLFCN_OK) {
        r->rc = clfcn_err_set(r->err, CLFCN_EDATA, 0,
                              "%s: run %d: '%s' %s; files are what 'clfcn bench --json' "
                              "prints",
                              r->file, r->run, field, why);
    }
}

/* s: of the field. "?" stands in for what is bad. */
static const char *check_text(struct reader *r, const char *s, const char *field)
{
    if (!s) {
        bad(r, field, "is missing or no text");
    } else if (strlen(s) > MOST_TEXT) {
        bad(r, field, "is too long");
    } else if (!clfcn_is_one_line(s)) {
        bad(r, field, "holds control characters");
    } else {
        return s;
    }
    return "?";
}

static const char *text(struct reader *r, const json_t *o, const char *field)
{
    return check_text(r, json_string_value(json_object_get(o, field)), field);
}

static const char *text_or_null(struct reader *r, const json_t *o, const char *field)
{
    const json_t *v = json_object_get(o, field);
    return v && !json_is_null(v) ? text(r, o, field) : NULL;
}

/* NaN for null. Nothing that is measured is below 0 or beyond 10^18. */
static double number_or_nan(struct reader *r, const json_t *o, const char *field)
{
    const json_t *v = json_object_get(o, field);
    if (!v || json_is_null(v)) {
        return NAN;
    }
    const double x = json_number_value(v);
    if (!json_is_number(v)) {
        bad(r, field, "is no number");
    } else if (!(x >= 0 && x <= 1e18)) {
        bad(r, field, "is out of range");
    }
    return x;
}

static double number(struct reader *r, const json_t *o, const char *field)
{
    const double x = number_or_nan(r, o, field);
    if (isnan(x)) {
        bad(r, field, "is missing or no number");
    }
    return x;
}

/* A time or rate, which others are divided by. */
static double positive(struct reader *r, const json_t *o, const char *field)
{
    const double x = number(r, o, field);
    if (!(x >= 1e-9)) {
        bad(r, field, "is not above 0");
    }
    return x;
}

/* NaN for null; else what others are divided by. */
static double positive_or_nan(struct reader *r, const json_t *o, const char *field)
{
    return isnan(number_or_nan(r, o, field)) ? NAN : positive(r, o, field);
}

static int whole(struct reader *r, const json_t *o, const char *field, int least)
{
    const json_t *v = json_object_get(o, field);
    const json_int_t i = json_integer_value(v);
    if (!json_is_integer(v) || i < least || i > INT_MAX) {
        bad(r, field, "is missing or no whole number in range");
        return least;
    }
    return (int)i;
}

static bool flag(struct reader *r, const json_t *o, const char *field)
{
    const json_t *v = json_object_get(o, field);
    if (!json_is_boolean(v)) {
        bad(r, field, "is neither true nor false");
    }
    return json_is_true(v);
}

static enum clfcn_verdict verdict(struct reader *r, const json_t *o, const char *field)
{
    const json_t *v = json_object_get(o, field);
    return !v || json_is_null(v) ? CLFCN_UNKNOWN
           : flag(r, o, field)   ? CLFCN_RIGHT
                                 : CLFCN_WRONG;
}

static const json_t *object(struct reader *r, const json_t *o, const char *field)
{
    const json_t *v = json_object_get(o, field);
    if (!json_is_object(v)) {
        bad(r, field, "is missing or no object");
    }
    return v;
}

static void read_question(struct reader *r, struct clfcn_bench_run *run)
{
    const json_t *net = object(r, run->json, "net");
    const json_t *options = object(r, run->json, "options");
    const json_t *hardware = object(r, run->json, "hardware");
    const json_t *system = object(r, run->json, "system");
    run->device = text(r, run->json, "device");
    run->arch = text(r, net, "arch");
    run->backbone = text(r, net, "backbone");
    run->width = whole(r, net, "width", 1);
    run->height = whole(r, net, "height", 1);
    run->batch = whole(r, net, "batch", 1);
    run->classes = whole(r, net, "classes", 1);
    run->loss = text(r, options, "loss");
    run->optimizer = text(r, options, "optimizer");
    run->gemm = text(r, options, "gemm");
    run->steps = whole(r, options, "steps", 1);
    run->hardware = text(r, hardware, "name");
    run->platform = text(r, hardware, "platform");
    run->driver = text(r, hardware, "driver");
    run->clfcn = text(r, system, "clfcn");
    run->date = text(r, system, "date");
    run->os = text_or_null(r, system, "os");
    run->cpu = text_or_null(r, system, "cpu");
    run->cpus = whole(r, system, "cpus", 0);
}

static void read_time(struct reader *r, const json_t *run, const char *median,
                      const char *spread, struct clfcn_bench_time *t)
{
    const json_t *s = object(r, run, spread);
    t->ms = positive_or_nan(r, run, median);
    t->lowest = isnan(t->ms) ? NAN : positive(r, s, "lowest_ms");
    t->highest = isnan(t->ms) ? NAN : positive(r, s, "highest_ms");
    t->relative = number_or_nan(r, s, "relative");
    t->drift = number_or_nan(r, s, "drift");
    t->noisy = flag(r, s, "noisy");
}

static void read_pass(struct reader *r, const json_t *o, struct clfcn_bench_pass *p)
{
    p->name = text(r, o, "pass");
    p->algorithm = text(r, o, "algorithm");
    p->ms = number_or_nan(r, o, "ms");
    p->gflops = number_or_nan(r, o, "gflops");
    p->of_peak = number_or_nan(r, o, "of_peak");
    p->own_flop = number_or_nan(r, o, "own_flop");
    p->bytes = number_or_nan(r, o, "bytes");
    p->error = number_or_nan(r, o, "error");
    p->correct = verdict(r, o, "correct");
}

static void read_layer(struct reader *r, const json_t *o, struct clfcn_bench_layer *l)
{
    const json_t *passes = json_object_get(o, "passes");
    l->name = text(r, o, "name");
    l->kind = text(r, o, "kind");
    l->forward_ms = number_or_nan(r, o, "forward_ms");
    l->backward_ms = number_or_nan(r, o, "backward_ms");
    l->backward_error = number_or_nan(r, o, "backward_error");
    l->backward_correct = verdict(r, o, "backward_correct");
    if (!json_is_array(passes) || json_array_size(passes) > CLFCN_BENCH_PASSES) {
        bad(r, "passes", "is missing or no short list");
        return;
    }
    l->pass_count = (int)json_array_size(passes);
    for (int i = 0; i < l->pass_count; ++i) {
        read_pass(r, json_array_get(passes, (size_t)i), &l->passes[i]);
    }
}

static void read_layers(struct reader *r, struct clfcn_bench_run *run)
{
    const json_t *layers = json_object_get(run->json, "layers");
    const size_t n = json_array_size(layers);
    if (!json_is_array(layers) || n > MOST_LAYERS) {
        bad(r, "layers", "is missing, no list, or too long");
        return;
    }
    run->layers = calloc(n + 1, sizeof(*run->layers));
    if (!run->layers) {
        r->rc = clfcn_err_nomem(r->err);
        return;
    }
    run->layer_count = (int)n;
    for (size_t i = 0; i < n; ++i) {
        read_layer(r, json_array_get(layers, i), &run->layers[i]);
    }
}

static void read_checks(struct reader *r, struct clfcn_bench_run *run)
{
    const json_t *v = json_object_get(run->json, "checks");
    struct clfcn_bench_checks *c = &run->checks;
    run->correct = verdict(r, run->json, "correct");
    if (!v || json_is_null(v)) {
        return;
    }
    v = object(r, run->json, "checks");
    c->known = true;
    c->passes = whole(r, v, "passes", 0);
    c->wrong = whole(r, v, "wrong", 0);
    c->worst_error = number_or_nan(r, v, "worst_error");
    c->worst_at = text_or_null(r, v, "worst_at");
    c->bound = positive(r, v, "bound");
    c->inference_error = number_or_nan(r, v, "inference_error");
    c->training_repeats = verdict(r, v, "training_repeats");
    c->inference_repeats = verdict(r, v, "inference_repeats");
}

/* Files of earlier versions have no such list. */
static void read_lacking(struct reader *r, struct clfcn_bench_run *run)
{
    const json_t *list = json_object_get(run->json, "left_out");
    if (!list) {
        return;
    }
    if (!json_is_array(list) || json_array_size(list) > MOST_LACKING) {
        bad(r, "left_out", "is no short list");
        return;
    }
    for (size_t i = 0; i < json_array_size(list); ++i) {
        check_text(r, json_string_value(json_array_get(list, i)), "left_out");
    }
    run->lacking = list;
}

static void read_answer(struct reader *r, struct clfcn_bench_run *run)
{
    const json_t *json = run->json, *peak = object(r, json, "peak");
    read_time(r, json, "train_step_ms", "train_spread", &run->train);
    read_time(r, json, "infer_ms", "infer_spread", &run->infer);
    run->first_step_s = number_or_nan(r, json, "first_step_s");
    run->device_bytes = number(r, json, "device_bytes");
    run->peak_before = positive_or_nan(r, object(r, json, "before"), "gflops");
    run->peak_after = positive_or_nan(r, object(r, json, "after"), "gflops");
    run->peak_gflops = positive_or_nan(r, peak, "gflops");
    run->gbps = positive_or_nan(r, peak, "gbps");
    run->cache_gbps = positive_or_nan(r, peak, "cache_gbps");
    run->launch_us = number_or_nan(r, peak, "launch_us");
    run->noisy = flag(r, json, "noisy");
    run->tuned = flag(r, json, "tuned");
    run->layers_alone = json_is_true(json_object_get(json, "layers_alone"));
    read_checks(r, run);
    read_layers(r, run);
    read_lacking(r, run);
}

/* One object that was taken out of a file. */
static int read_run(struct reader *r, struct clfcn_bench_run *run)
{
    if (!json_is_object(run->json)) {
        bad(r, "{}", "is missing: this is no object");
        return r->rc;
    }
    read_question(r, run);
    run->failure = text_or_null(r, run->json, "error");
    if (!run->failure) {
        read_answer(r, run);
    }
    return r->rc;
}

static size_t skip_space(const char *data, size_t at, size_t size)
{
    while (at < size && strchr(" \t\r\n", data[at]) && data[at]) {
        ++at;
    }
    return at;
}

static int read_runs(struct reader *r, const char *data, size_t size,
                     struct clfcn_bench_run *runs, int *count)
{
    for (size_t at = skip_space(data, 0, size); at < size;
         at = skip_space(data, at, size)) {
        json_error_t why;
        int rc;
        ++r->run;
        if (*count == CLFCN_BENCH_RUNS) {
            return clfcn_err_set(r->err, CLFCN_EDATA, 0, "%s: more than %d runs in all",
                                 r->file, CLFCN_BENCH_RUNS);
        }
        json_t *json = clfcn_json_read(data + at, size - at, JSON_DISABLE_EOF_CHECK, &why,
                                       &rc, r->err);
        if (rc == CLFCN_ENOMEM) {
            return rc;
        }
        if (!json) {
            return clfcn_err_set(r->err, CLFCN_EDATA, 0,
                                 "%s: run %d: no JSON; files are what 'clfcn bench "
                                 "--json' prints",
                                 r->file, r->run);
        }
        struct clfcn_bench_run *run = &runs[(*count)++];
        *run = (struct clfcn_bench_run){ .json = json, .file = r->file };
        if (read_run(r, run) < 0) {
            return r->rc;
        }
        at += (size_t)why.position;
    }
    return r->run > 0 ? CLFCN_OK
                      : clfcn_err_set(r->err, CLFCN_EDATA, 0,
                                      "%s: it is empty; fill it by 'clfcn bench --json'",
                                      r->file);
}

int clfcn_bench_file_read(const char *path, struct clfcn_bench_run *runs, int *count,
                          struct clfcn_err *err)
{
    struct reader r = { .file = path, .err = err };
    char *data = NULL;
    size_t size = 0;
    int rc = clfcn_file_read(path, MOST_BYTES, &data, &size, err);
    if (rc == CLFCN_OK) {
        rc = read_runs(&r, data, size, runs, count);
    }
    free(data);
    return rc;
}

void clfcn_bench_run_free(struct clfcn_bench_run *run)
{
    json_decref(run->json);
    free(run->layers);
    *run = (struct clfcn_bench_run){ 0 };
}
