#include "tuner.h"

#include "../util/sys.h"
#include "op_impl.h"
#include "sample.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A candidate that stands further up in the table is kept unless another is faster by
 * this factor: less than that is noise. */
static const double CLEARLY = 1.03;
/* Whose fastest run takes so many times what the best usually does is not timed again. */
static const double HOPELESS = 1.5;
/* A round of so many seconds is steady enough to need no second one. */
static const double LONG_ROUND = 1.0;

enum {
    MIN_RUNS = 3, /* before a candidate may be given up, or the race ends */
    MAX_RUNS = 31,
    PROVIDERS = 2,
    NOISE = 65537, /* prime: no tensor has rows that repeat with it */
    ARRAYS = 3,
};

/* A GEMM provider with its own kernels; gemm NULL: not to be had, and why. */
struct provider {
    const char *name;
    struct clfcn_programs *programs;
    struct clfcn_gemm *gemm;
    struct clfcn_err err;
};

struct clfcn_tuner {
    struct clfcn_tuner_config config;
    struct provider providers[PROVIDERS];
    int provider_count;
    struct clfcn_rng rng;
    float noise[NOISE];
};

/* A candidate in the race, and the kernels that are its own. */
struct candidate {
    struct clfcn_tuner_trial *trial;
    struct clfcn_programs *programs;
    struct clfcn_conv *cv;       /* NULL: lost before it was planned */
    struct clfcn_bias_relu bias; /* forward, for one that does not finish */
    double ms[MAX_RUNS];
    bool racing;
};

/* x, y and weight, by index. */
enum { X, Y, W };

/* One layer's data, on host and device, and the memory that the candidates share. */
struct bench {
    struct clfcn_tuner *tuner;
    struct clfcn_conv_shape shape;
    enum clfcn_pass pass;
    int made; /* which of the arrays the pass writes */
    size_t count[ARRAYS];
    float *host[ARRAYS], *bias_host;
    cl_mem mem[ARRAYS], bias, columns, scratch;
    size_t columns_bytes, scratch_bytes;
    struct clfcn_samples samples;
    struct candidate candidates[CLFCN_MAX_TRIALS];
    double race_end, end; /* clfcn_clock() times */
};

static void open_provider(struct clfcn_tuner *t, enum clfcn_gemm_kind kind)
{
    struct provider *p = &t->providers[t->provider_count++];
    p->name = kind == CLFCN_GEMM_NATIVE ? "native" : "clblast";
    int rc = clfcn_programs_create(t->config.dev, &p->programs, &p->err);
    if (rc == CLFCN_OK) {
        rc = clfcn_gemm_create(t->config.dev, p->programs, kind, &p->gemm, &p->err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_programs_build(p->programs, &p->err);
    }
    if (rc < 0) {
        clfcn_programs_destroy(&p->programs);
        clfcn_gemm_destroy(&p->gemm);
    }
}

int clfcn_tuner_create(const struct clfcn_tuner_config *config, struct clfcn_tuner **out,
                       struct clfcn_err *err)
{
    struct clfcn_tuner *t = calloc(1, sizeof(*t));
    *out = t;
    if (!t) {
        return clfcn_err_nomem(err);
    }
    t->config = *config;
    clfcn_rng_init(&t->rng, 0, "tuner", 0, 0);
    for (int i = 0; i < NOISE; ++i) {
        t->noise[i] = (float)clfcn_rng_normal(&t->rng);
    }
    if (config->gemm != CLFCN_GEMM_AUTO) {
        open_provider(t, config->gemm);
        return CLFCN_OK;
    }
    const enum clfcn_gemm_kind usual = clfcn_defaults_for(&config->dev->info).gemm;
    open_provider(t, usual);
    open_provider(t, usual == CLFCN_GEMM_NATIVE ? CLFCN_GEMM_CLBLAST : CLFCN_GEMM_NATIVE);
    return CLFCN_OK;
}

void clfcn_tuner_destroy(struct clfcn_tuner **tuner)
{
    struct clfcn_tuner *t = *tuner;
    for (int i = 0; t && i < t->provider_count; ++i) {
        clfcn_programs_destroy(&t->providers[i].programs);
        clfcn_gemm_destroy(&t->providers[i].gemm);
    }
    free(t);
    *tuner = NULL;
}

static void fill(struct clfcn_tuner *t, float *v, size_t count)
{
    size_t from = clfcn_rng_below(&t->rng, NOISE);
    for (size_t i = 0; i < count; ++i) {
        v[i] = t->noise[from];
        from = from + 1 < NOISE ? from + 1 : 0;
    }
}

static int make_input(struct bench *b, float *host, size_t count, cl_mem mem,
                      struct clfcn_err *err)
{
    fill(b->tuner, host, count);
    return clfcn_buffer_write(b->tuner->config.dev, mem, 0, count * sizeof(float), host,
                              err);
}

static int open_bench(struct bench *b, struct clfcn_err *err)
{
    static const char *const names[ARRAYS] = { "x", "y", "weights" };
    static const int made[] = {
        [CLFCN_PASS_FORWARD] = Y, [CLFCN_PASS_INPUT] = X, [CLFCN_PASS_WEIGHT] = W
    };
    struct clfcn_dev *dev = b->tuner->config.dev;
    const size_t bias_count = (size_t)b->shape.out;
    int rc = CLFCN_OK;
    b->made = made[b->pass];
    b->count[X] = clfcn_sample_count_x(&b->shape);
    b->count[Y] = clfcn_sample_count_y(&b->shape);
    b->count[W] = clfcn_sample_count_weight(&b->shape);
    for (int i = 0; rc == CLFCN_OK && i < ARRAYS; ++i) {
        const size_t bytes = b->count[i] * sizeof(float);
        b->host[i] = malloc(bytes);
        rc = b->host[i] ? clfcn_buffer_create(dev, bytes, names[i], &b->mem[i], err)
                        : clfcn_err_nomem(err);
        if (rc == CLFCN_OK && i != b->made) {
            rc = make_input(b, b->host[i], b->count[i], b->mem[i], err);
        }
    }
    if (rc == CLFCN_OK) {
        const size_t bytes = bias_count * sizeof(float);
        b->bias_host = malloc(bytes);
        rc = b->bias_host ? clfcn_buffer_create(dev, bytes, "bias", &b->bias, err)
                          : clfcn_err_nomem(err);
    }
    if (rc == CLFCN_OK) {
        rc = make_input(b, b->bias_host, bias_count, b->bias, err);
    }
    if (rc == CLFCN_OK) {
        const struct clfcn_sample_data data = { b->host[X], b->host[Y], b->host[W],
                                                b->bias_host };
        clfcn_samples_make(&b->shape, b->pass, &data, &b->tuner->rng, &b->samples);
    }
    return rc;
}

static void close_candidate(struct candidate *c)
{
    clfcn_programs_destroy(&c->programs); /* releases kernels inside the next one */
    clfcn_conv_destroy(&c->cv);
}

static void close_bench(struct bench *b)
{
    struct clfcn_dev *dev = b->tuner->config.dev;
    clFinish(dev->compute);
    for (int i = 0; i < CLFCN_MAX_TRIALS; ++i) {
        close_candidate(&b->candidates[i]);
    }
    for (int i = 0; i < ARRAYS; ++i) {
        clfcn_buffer_release(dev, &b->mem[i]);
        free(b->host[i]);
    }
    clfcn_buffer_release(dev, &b->bias);
    clfcn_buffer_release(dev, &b->columns);
    clfcn_buffer_release(dev, &b->scratch);
    free(b->bias_host);
    free(b);
}

/* Let *mem have bytes at least. Its content is lost. */
static int reserve(struct bench *b, size_t bytes, const char *what, cl_mem *mem,
                   size_t *have, struct clfcn_err *err)
{
    struct clfcn_dev *dev = b->tuner->config.dev;
    if (bytes <= *have) {
        return CLFCN_OK;
    }
    clFinish(dev->compute);
    clfcn_buffer_release(dev, mem);
    *have = 0;
    const int rc = clfcn_buffer_create(dev, bytes, what, mem, err);
    *have = rc == CLFCN_OK ? bytes : 0;
    return rc;
}

/* NaN everywhere: what is left unwritten, or read before it was written, shows. */
static int poison(struct bench *b, cl_mem mem, size_t bytes, struct clfcn_err *err)
{
    const cl_float nan = NAN;
    const cl_int code =
        mem ? clEnqueueFillBuffer(b->tuner->config.dev->compute, mem, &nan, sizeof(nan),
                                  0, bytes / sizeof(nan) * sizeof(nan), 0, NULL, NULL)
            : CL_SUCCESS;
    return code == CL_SUCCESS ? CLFCN_OK : clfcn_cl_err(err, code, "filling a buffer");
}

static bool finishes(const struct bench *b, const struct candidate *c)
{
    return b->pass == CLFCN_PASS_FORWARD && c->cv->impl->finishes;
}

static int plan(struct bench *b, struct candidate *c, const struct clfcn_conv_impl *impl,
                const struct clfcn_conv_variant *variant, const struct provider *provider,
                struct clfcn_op_env *env, struct clfcn_err *err)
{
    struct clfcn_dev *dev = env->dev;
    if (impl->uses_gemm && !provider->gemm) {
        return clfcn_err_set(err, provider->err.code, 0, "%s", provider->err.msg);
    }
    int rc = clfcn_conv_create_by(impl, variant, provider->gemm, &b->shape, b->pass, env,
                                  &c->cv, err);
    if (rc == CLFCN_OK && !clfcn_conv_affordable(c->cv, env)) {
        rc = clfcn_err_set(
            err, CLFCN_EDEVMEM, 0, "takes %zu bytes of workspace, %zu are allowed",
            c->cv->columns_bytes + c->cv->scratch_bytes, env->workspace_limit);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_programs_create(dev, &c->programs, err);
    }
    env->programs = c->programs;
    if (rc == CLFCN_OK) {
        rc = impl->prepare(c->cv, env, err);
    }
    if (rc == CLFCN_OK && b->pass == CLFCN_PASS_FORWARD && !finishes(b, c)) {
        rc = clfcn_bias_relu_prepare(&c->bias, true, false, env, err);
    }
    return rc < 0 ? rc : clfcn_programs_build(c->programs, err);
}

/* One run, and whatever the layer would have to add to it, to its end. */
static int run(struct bench *b, struct candidate *c, double *ms, struct clfcn_err *err)
{
    struct clfcn_dev *dev = b->tuner->config.dev;
    const struct clfcn_op_run how = {
        .dev = dev, .training = true, .columns = b->columns, .scratch = b->scratch
    };
    const struct clfcn_conv_call call = { .x = b->mem[X],
                                          .y = b->mem[Y],
                                          .weight = b->mem[W],
                                          .bias = finishes(b, c) ? b->bias : NULL,
                                          .relu = finishes(b, c) };
    const double start = clfcn_clock();
    int rc = c->cv->impl->run(c->cv, &how, &call, err);
    if (rc == CLFCN_OK && b->pass == CLFCN_PASS_FORWARD && !finishes(b, c)) {
        const struct clfcn_conv_shape *s = &b->shape;
        const struct clfcn_tensor y = {
            s->out, s->n, (int)(b->count[Y] / (size_t)s->out / (size_t)s->n), 1, call.y
        };
        rc = clfcn_bias_relu_forward(&c->bias, dev, &y, b->bias, err);
    }
    const cl_int code = clFinish(dev->compute);
    *ms = 1e3 * (clfcn_clock() - start);
    return rc < 0 || code == CL_SUCCESS ? rc : clfcn_cl_err(err, code, "running");
}

/* Run once on poisoned memory and compare. */
static int verify(struct bench *b, struct candidate *c, struct clfcn_err *err)
{
    struct clfcn_dev *dev = b->tuner->config.dev;
    float *got = b->host[b->made];
    const size_t bytes = b->count[b->made] * sizeof(*got);
    double ms;
    int rc = poison(b, b->mem[b->made], bytes, err);
    if (rc == CLFCN_OK) {
        rc = poison(b, b->columns, b->columns_bytes, err);
    }
    if (rc == CLFCN_OK) {
        rc = poison(b, b->scratch, b->scratch_bytes, err);
    }
    if (rc == CLFCN_OK) {
        rc = run(b, c, &ms, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_buffer_read(dev, b->mem[b->made], 0, bytes, got, err);
    }
    if (rc < 0) {
        return rc;
    }
    c->trial->error = clfcn_samples_error(&b->samples, got);
    if (isnan(c->trial->error)) {
        return clfcn_err_set(err, CLFCN_ENUMERIC, 0,
                             "wrong: leaves values that are not finite");
    }
    if (c->trial->error > CLFCN_SAMPLES_BOUND) {
        return clfcn_err_set(err, CLFCN_ENUMERIC, 0,
                             "wrong: relative error %.1e, allowed %.0e", c->trial->error,
                             CLFCN_SAMPLES_BOUND);
    }
    c->trial->correct = true;
    return CLFCN_OK;
}

static void lose(struct candidate *c, const struct clfcn_err *err)
{
    snprintf(c->trial->why, sizeof(c->trial->why), "%.200s", err->msg);
    c->trial->correct = c->racing = false;
    close_candidate(c);
}

/* Build and check one candidate; late: there is no time left for it. */
static void enter(struct bench *b, struct clfcn_tuner_result *out,
                  const struct clfcn_conv_impl *impl,
                  const struct clfcn_conv_variant *variant,
                  const struct provider *provider, struct clfcn_op_env env, bool late)
{
    struct candidate *c = &b->candidates[out->count];
    struct clfcn_err err = { 0 };
    int rc;
    c->trial = &out->trials[out->count++];
    *c->trial = (struct clfcn_tuner_trial){ .ms = -1.0, .error = NAN };
    clfcn_conv_impl_name(impl, variant, provider->name, c->trial->name);
    if (late) {
        rc = clfcn_err_set(&err, CLFCN_EINTR, 0, "not tried: the budget is used up");
    } else {
        rc = plan(b, c, impl, variant, provider, &env, &err);
    }
    if (rc == CLFCN_OK) {
        rc = reserve(b, c->cv->columns_bytes, "columns", &b->columns, &b->columns_bytes,
                     &err);
    }
    if (rc == CLFCN_OK) {
        rc = reserve(b, c->cv->scratch_bytes, "scratch", &b->scratch, &b->scratch_bytes,
                     &err);
    }
    if (rc == CLFCN_OK) {
        rc = verify(b, c, &err);
    }
    c->racing = rc == CLFCN_OK;
    if (rc < 0) {
        lose(c, &err);
    }
}

static bool stopped(const struct clfcn_tuner *t)
{
    return t->config.stop && *t->config.stop;
}

/* Whether a variant plans what the algorithm chooses by itself: the structs are the same
 * behind what names them. */
static bool is_own_choice(const struct bench *b, const struct clfcn_conv_impl *impl,
                          const struct clfcn_conv_variant *v,
                          const struct clfcn_gemm *gemm, const struct clfcn_op_env *env)
{
    const size_t head = sizeof(struct clfcn_conv);
    struct clfcn_conv *own = NULL, *other = NULL;
    const bool same =
        clfcn_conv_create_by(impl, NULL, gemm, &b->shape, b->pass, env, &own, NULL) ==
            CLFCN_OK &&
        clfcn_conv_create_by(impl, v, gemm, &b->shape, b->pass, env, &other, NULL) ==
            CLFCN_OK &&
        memcmp((char *)own + head, (char *)other + head, impl->size - head) == 0;
    clfcn_conv_destroy(&own);
    clfcn_conv_destroy(&other);
    return same;
}

/* An algorithm in all its variants, with every provider if it uses one. */
static int enter_impl(struct bench *b, struct clfcn_tuner_result *out,
                      const struct clfcn_conv_impl *impl, const struct clfcn_op_env *env,
                      bool *any, struct clfcn_err *err)
{
    struct clfcn_tuner *t = b->tuner;
    const int count = impl->uses_gemm ? t->provider_count : 1;
    const struct clfcn_conv_variant *v = NULL;
    do {
        for (int p = 0; p < count && out->count < CLFCN_MAX_TRIALS; ++p) {
            if (stopped(t)) {
                return clfcn_err_set(err, CLFCN_EINTR, 0, "interrupted");
            }
            if (v && is_own_choice(b, impl, v, t->providers[p].gemm, env)) {
                continue;
            }
            const bool late = *any && clfcn_clock() > b->end;
            enter(b, out, impl, v, &t->providers[p], *env, late);
            *any = *any || out->trials[out->count - 1].correct;
        }
    } while ((v = clfcn_conv_next_variant(impl, v)));
    return CLFCN_OK;
}

/* Every algorithm that fits. */
static int enter_all(struct bench *b, struct clfcn_tuner_result *out,
                     struct clfcn_err *err)
{
    struct clfcn_tuner *t = b->tuner;
    const struct clfcn_tuner_config *config = &t->config;
    const struct clfcn_op_env env = { .dev = config->dev,
                                      .gemm = t->providers[0].gemm,
                                      .gemm_kind = config->gemm,
                                      .columns_limit = config->columns_limit,
                                      .workspace_limit = config->workspace_limit,
                                      .training = true };
    bool any = false;
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && config->impls[i]; ++i) {
        if (config->impls[i]->fits(&b->shape, b->pass, &env)) {
            rc = enter_impl(b, out, config->impls[i], &env, &any, err);
        }
    }
    return rc;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sort the runs; the median becomes the trial's time. */
static void take_median(struct candidate *c)
{
    const int n = c->trial->runs;
    qsort(c->ms, (size_t)n, sizeof(c->ms[0]), by_value);
    c->trial->ms = (c->ms[(n - 1) / 2] + c->ms[n / 2]) / 2;
}

/* One timed run of each that is still in the race. */
static void run_round(struct bench *b, int count)
{
    double best = INFINITY;
    for (int i = 0; i < count; ++i) {
        struct candidate *c = &b->candidates[i];
        struct clfcn_err err;
        if (!c->racing) {
            continue;
        }
        if (run(b, c, &c->ms[c->trial->runs], &err) < 0) {
            lose(c, &err);
            continue;
        }
        ++c->trial->runs;
        take_median(c);
        best = fmin(best, c->trial->ms);
    }
    for (int i = 0; i < count; ++i) {
        struct candidate *c = &b->candidates[i];
        const bool hopeless = c->trial->runs >= MIN_RUNS && c->ms[0] > HOPELESS * best;
        c->racing = c->racing && !hopeless;
    }
}

/* A candidate's runs are spread over the whole race, so that a slow moment of the machine
 * meets all of them. */
static int race(struct bench *b, int count, struct clfcn_err *err)
{
    double last = 0.0;
    for (int round = 0; round < MAX_RUNS; ++round) {
        const double now = clfcn_clock();
        const bool enough = round >= MIN_RUNS || last > LONG_ROUND;
        if (stopped(b->tuner)) {
            return clfcn_err_set(err, CLFCN_EINTR, 0, "interrupted");
        }
        if (enough && now > b->race_end) {
            break;
        }
        run_round(b, count);
        last = clfcn_clock() - now;
    }
    return CLFCN_OK;
}

static int choose(const struct clfcn_tuner_result *r)
{
    double fastest = INFINITY;
    for (int i = 0; i < r->count; ++i) {
        if (r->trials[i].correct && r->trials[i].ms >= 0) {
            fastest = fmin(fastest, r->trials[i].ms);
        }
    }
    for (int i = 0; i < r->count; ++i) {
        const struct clfcn_tuner_trial *t = &r->trials[i];
        if (t->correct && t->ms >= 0 && t->ms <= CLEARLY * fastest) {
            return i;
        }
    }
    return -1;
}

int clfcn_tuner_measure(struct clfcn_tuner *tuner, const struct clfcn_conv_shape *shape,
                        enum clfcn_pass pass, double race_end, double end,
                        struct clfcn_tuner_result *out, struct clfcn_err *err)
{
    struct bench *b = calloc(1, sizeof(*b));
    *out = (struct clfcn_tuner_result){ .best = -1 };
    if (!b) {
        return clfcn_err_nomem(err);
    }
    b->tuner = tuner;
    b->shape = *shape;
    b->pass = pass;
    b->race_end = race_end;
    b->end = end;
    int rc = open_bench(b, err);
    if (rc == CLFCN_OK) {
        rc = enter_all(b, out, err);
    }
    if (rc == CLFCN_OK) {
        rc = race(b, out->count, err);
    }
    if (rc == CLFCN_OK) {
        out->best = choose(out);
    }
    close_bench(b);
    return rc;
}
