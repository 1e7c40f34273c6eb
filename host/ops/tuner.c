#include "tuner.h"

#include "../util/sys.h"
#include "op_impl.h"
#include "sample.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A candidate that stands further up in the table is kept unless another is faster by
 * this factor: less than that is noise. With same_bits, where runs are few, by the second
 * one. */
static const double CLEARLY = 1.03, MORE_CLEARLY = 1.05;
/* Milliseconds of a run, with same_bits, that is not worth the trouble: what launching it
 * costs, which a network does meanwhile, would decide. */
static const double SHORT_RUN = 1.0;
/* Whose fastest run takes so many times what the best usually does is not timed again. */
static const double HOPELESS = 1.5;
/* A provider's variants are not tried with an algorithm that with the provider itself
 * takes so many times what the best candidate does, and these milliseconds longer, which
 * are worth saving: parameters gain less. */
static const double FAR_BEHIND = 2.0, WORTH_SAVING = 20.0;
/* A round of so many seconds is steady enough to need no second one. */
static const double LONG_ROUND = 1.0;

enum {
    MIN_RUNS = 3, /* before a candidate may be given up, or the race ends */
    MAX_RUNS = 31,
    SAME_BITS_RUNS = 6, /* instead of these */
    NOISE = 65537,      /* prime: no tensor has rows that repeat with it */
    ARRAYS = 3,
};

/* A GEMM provider in one of its variants, with kernels of its own, which are built when
 * they are first needed; with same_bits with those of the first provider. */
struct provider {
    struct clfcn_programs *programs; /* NULL: those of the first */
    const struct clfcn_gemm_impl *impl;
    struct clfcn_gemm *gemm;    /* NULL: it cannot be made */
    const struct provider *own; /* the same, as it chooses by itself */
    bool tried;                 /* to make or build it, and what that gave: */
    int rc;
    struct clfcn_err err;
};

struct clfcn_tuner {
    struct clfcn_tuner_config config;
    struct provider providers[CLFCN_MAX_GEMMS];
    int provider_count;
    struct clfcn_rng rng;
    float noise[NOISE];
};

/* A candidate in the race, and the kernels that are its own; with same_bits those of the
 * first candidate, the usual one, are everyone's. */
struct candidate {
    struct clfcn_tuner_trial *trial;
    struct clfcn_programs *programs; /* NULL: those of the first */
    struct clfcn_conv *cv;           /* NULL: lost before it was planned */
    struct clfcn_bias_relu bias;     /* forward, for one that does not finish */
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
    float *usual; /* with same_bits: what the usual candidate gave */
    cl_mem mem[ARRAYS], bias, columns, scratch;
    size_t columns_bytes, scratch_bytes;
    struct clfcn_samples samples;
    struct candidate candidates[CLFCN_MAX_TRIALS];
    double race_end, end; /* clfcn_clock() times */
};

/* Build what p, which is there, needs, if that has not been tried yet. */
static int use_provider(struct clfcn_tuner *t, struct provider *p)
{
    if (!p->tried) {
        p->tried = true;
        p->rc = clfcn_programs_build(p->programs ? p->programs : t->providers[0].programs,
                                     &p->err);
    }
    return p->rc;
}

/* Make a provider. With same_bits not one that shares too little with the first, which
 * therefore is built at once. */
static int add_provider(struct clfcn_tuner *t, const struct clfcn_gemm_impl *impl,
                        const struct clfcn_gemm_variant *variant,
                        const struct provider *own)
{
    struct provider *p = &t->providers[t->provider_count++];
    struct clfcn_programs *programs = t->providers[0].programs;
    const bool borrows = t->config.same_bits && p != t->providers;
    p->impl = impl;
    p->own = own ? own : p;
    if (!borrows) {
        p->rc = clfcn_programs_create(t->config.dev, &p->programs, &p->err);
        programs = p->programs;
    }
    const int before = p->rc < 0 ? 0 : clfcn_programs_kernel_count(programs);
    if (p->rc == CLFCN_OK) {
        p->rc = clfcn_gemm_create_by(impl, variant, t->config.dev, programs, &p->gemm,
                                     &p->err);
    }
    p->tried = p->rc < 0;
    if (borrows && p->gemm && clfcn_programs_kernel_count(programs) > before) {
        clfcn_programs_forget(programs);
        clfcn_gemm_destroy(&p->gemm);
        --t->provider_count;
        return CLFCN_OK;
    }
    return t->config.same_bits ? use_provider(t, p) : p->rc;
}

/* A provider, and its variants if it can be made. */
static void add_providers(struct clfcn_tuner *t, enum clfcn_gemm_kind kind)
{
    const struct clfcn_device_info *info = &t->config.dev->info;
    const struct clfcn_gemm_impl *impl = clfcn_gemm_impl_of(info, kind);
    const struct provider *own = &t->providers[t->provider_count];
    const struct clfcn_gemm_variant *v = NULL;
    if (add_provider(t, impl, NULL, NULL) < 0) {
        return;
    }
    while (t->provider_count < CLFCN_MAX_GEMMS &&
           (v = clfcn_gemm_next_variant(impl, info, v))) {
        add_provider(t, impl, v, own);
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
    const bool all = config->gemm == CLFCN_GEMM_AUTO;
    const enum clfcn_gemm_kind usual =
        all ? clfcn_defaults_for(&config->dev->info).gemm : config->gemm;
    add_providers(t, usual);
    if (all && !config->same_bits) {
        add_providers(t, usual == CLFCN_GEMM_NATIVE ? CLFCN_GEMM_CLBLAST
                                                    : CLFCN_GEMM_NATIVE);
    }
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
    free(b->usual);
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

static bool is_usual(const struct bench *b, const struct candidate *c)
{
    return c == &b->candidates[0];
}

/* Ask for the kernels, and build them: those of the usual candidate, or its own. */
static int build(struct bench *b, struct candidate *c, struct clfcn_op_env *env,
                 struct clfcn_err *err)
{
    const bool borrows = b->tuner->config.same_bits && !is_usual(b, c);
    int rc = borrows ? CLFCN_OK : clfcn_programs_create(env->dev, &c->programs, err);
    env->programs = borrows ? b->candidates[0].programs : c->programs;
    const int before = rc < 0 ? 0 : clfcn_programs_kernel_count(env->programs);
    if (rc == CLFCN_OK) {
        rc = c->cv->impl->prepare(c->cv, env, err);
    }
    if (rc == CLFCN_OK && b->pass == CLFCN_PASS_FORWARD && !finishes(b, c)) {
        rc = clfcn_bias_relu_prepare(&c->bias, true, false, env, err);
    }
    if (rc == CLFCN_OK && borrows &&
        clfcn_programs_kernel_count(env->programs) > before) {
        rc = clfcn_err_set(err, CLFCN_EINVAL, 0, "needs kernels of its own");
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_programs_build(env->programs, err);
    }
    if (rc < 0 && borrows) {
        clfcn_programs_forget(env->programs);
    }
    return rc;
}

static int plan(struct bench *b, struct candidate *c, const struct clfcn_conv_impl *impl,
                const struct clfcn_conv_variant *variant, struct provider *provider,
                struct clfcn_op_env *env, struct clfcn_err *err)
{
    if (impl->uses_gemm && use_provider(b->tuner, provider) < 0) {
        return clfcn_err_set(err, provider->rc, 0, "%s", provider->err.msg);
    }
    int rc = clfcn_conv_create_by(impl, variant, provider->gemm, &b->shape, b->pass, env,
                                  &c->cv, err);
    if (rc == CLFCN_OK && !clfcn_conv_affordable(c->cv, env)) {
        rc = clfcn_err_set(
            err, CLFCN_EDEVMEM, 0, "takes %zu bytes of workspace, %zu are allowed",
            c->cv->columns_bytes + c->cv->scratch_bytes, env->workspace_limit);
    }
    return rc < 0 ? rc : build(b, c, env, err);
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

/* With same_bits: keep what the usual candidate gave, compare what another did.
 *
 * This decides for all data, not only for these. What a variant changes is which tiles,
 * columns or values of k are taken together, and hence at most the order of a sum; each
 * element of the result comes from the same instructions, the kernels being the same.
 * Winograd's blocks of tiles, for one: forward, and for the input gradient, the sum over
 * channels for a tile is made by itself, whatever block it lies in; but the gradient of
 * the weights is a sum over tiles, block by block, and so depends on them. Where the
 * order differs it does so for every element, and of thousands of random ones some show
 * it. */
static int compare_bits(struct bench *b, struct candidate *c, struct clfcn_err *err)
{
    const size_t bytes = b->count[b->made] * sizeof(*b->usual);
    if (is_usual(b, c)) {
        b->usual = malloc(bytes);
        if (!b->usual) {
            return clfcn_err_nomem(err);
        }
        memcpy(b->usual, b->host[b->made], bytes);
    }
    if (memcmp(b->usual, b->host[b->made], bytes) == 0) {
        return CLFCN_OK;
    }
    return clfcn_err_set(err, CLFCN_ENUMERIC, 0, "gives other bits than the default");
}

/* With same_bits the kernels of the usual candidate know where those of the others lie:
 * these stay until the end. */
static void lose(struct bench *b, struct candidate *c, const struct clfcn_err *err)
{
    snprintf(c->trial->why, sizeof(c->trial->why), "%.200s", err->msg);
    c->trial->correct = c->racing = false;
    if (!b->tuner->config.same_bits) {
        close_candidate(c);
    }
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

/* Build and check one candidate, unless there is a reason not to. */
static void enter(struct bench *b, struct clfcn_tuner_result *out,
                  const struct clfcn_conv_impl *impl,
                  const struct clfcn_conv_variant *variant, struct provider *provider,
                  struct clfcn_op_env env, const char *reason)
{
    struct candidate *c = &b->candidates[out->count];
    struct clfcn_err err = { 0 };
    int rc;
    c->trial = &out->trials[out->count++];
    *c->trial = (struct clfcn_tuner_trial){ .ms = -1.0, .error = NAN };
    clfcn_conv_impl_name(impl, variant,
                         provider->gemm ? provider->gemm->name : provider->impl->name,
                         c->trial->name);
    if (reason) {
        rc = clfcn_err_set(&err, CLFCN_EINTR, 0, "not tried: %s", reason);
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
    if (rc == CLFCN_OK && b->tuner->config.same_bits) {
        rc = compare_bits(b, c, &err);
    }
    if (rc == CLFCN_OK) {
        rc = run(b, c, &c->ms[0], &err);
    }
    c->racing = rc == CLFCN_OK;
    if (rc < 0) {
        lose(b, c, &err);
        return;
    }
    c->trial->runs = 1;
    take_median(c);
}

static bool stopped(const struct clfcn_tuner *t)
{
    return t->config.stop && *t->config.stop;
}

/* Whether two variants of an algorithm, with variants of a provider, plan the same: the
 * structs are the same behind what names them, and the matrix products too. */
static bool plan_the_same(const struct bench *b, const struct clfcn_conv_impl *impl,
                          const struct clfcn_conv_variant *v1, const struct provider *p1,
                          const struct clfcn_conv_variant *v2, const struct provider *p2,
                          const struct clfcn_op_env *env)
{
    const size_t head = sizeof(struct clfcn_conv);
    struct clfcn_conv *one = NULL, *other = NULL;
    const bool same =
        (!impl->uses_gemm || (p1->gemm && p2->gemm)) &&
        clfcn_conv_create_by(impl, v1, p1->gemm, &b->shape, b->pass, env, &one, NULL) ==
            CLFCN_OK &&
        clfcn_conv_create_by(impl, v2, p2->gemm, &b->shape, b->pass, env, &other, NULL) ==
            CLFCN_OK &&
        one->products == other->products &&
        memcmp((char *)one + head, (char *)other + head, impl->size - head) == 0;
    clfcn_conv_destroy(&one);
    clfcn_conv_destroy(&other);
    return same;
}

/* Whether a variant, of the algorithm or of the provider, plans what either chooses by
 * itself. */
static bool is_own_choice(const struct bench *b, const struct clfcn_conv_impl *impl,
                          const struct clfcn_conv_variant *v, const struct provider *p,
                          const struct clfcn_op_env *env)
{
    return (v && plan_the_same(b, impl, v, p, NULL, p, env)) ||
           (p->own != p && plan_the_same(b, impl, v, p, v, p->own, env));
}

/* Why a candidate with this provider need not be tried, or NULL. own is the place of the
 * one with the provider as it chooses by itself; any: some candidate is correct. */
static const char *reason_not_to(const struct bench *b,
                                 const struct clfcn_tuner_result *out,
                                 const struct provider *p, int own, bool any)
{
    double best = INFINITY;
    if (any && clfcn_clock() > b->end) {
        return "the budget is used up";
    }
    for (int i = 0; i < out->count; ++i) {
        if (out->trials[i].correct) {
            best = fmin(best, out->trials[i].ms);
        }
    }
    return p->own != p && out->trials[own].ms > FAR_BEHIND * best + WORTH_SAVING
               ? "far behind with its provider"
               : NULL;
}

/* An algorithm in all its variants, with every provider in all of its own if it uses one.
 */
static int enter_impl(struct bench *b, struct clfcn_tuner_result *out,
                      const struct clfcn_conv_impl *impl, const struct clfcn_op_env *env,
                      bool *any, struct clfcn_err *err)
{
    struct clfcn_tuner *t = b->tuner;
    const int count = impl->uses_gemm ? t->provider_count : 1;
    const struct clfcn_conv_variant *v = NULL;
    int own = 0;
    do {
        for (int i = 0; i < count && out->count < CLFCN_MAX_TRIALS; ++i) {
            struct provider *p = &t->providers[i];
            if (stopped(t)) {
                return clfcn_err_set(err, CLFCN_EINTR, 0, "interrupted");
            }
            if (is_own_choice(b, impl, v, p, env)) {
                continue;
            }
            own = p->own == p ? out->count : own;
            enter(b, out, impl, v, p, *env, reason_not_to(b, out, p, own, *any));
            const struct clfcn_tuner_trial *entered = &out->trials[out->count - 1];
            *any = *any || entered->correct;
            if (t->config.same_bits && out->count == 1 && !(entered->ms >= SHORT_RUN)) {
                return CLFCN_OK;
            }
        }
    } while ((v = clfcn_conv_next_variant(impl, v)));
    return CLFCN_OK;
}

/* With same_bits: the algorithm that is used where nothing is known. */
static int enter_usual(struct bench *b, struct clfcn_tuner_result *out,
                       struct clfcn_op_env *env, bool *any, struct clfcn_err *err)
{
    struct clfcn_gemms gemms = { .dev = env->dev, .kind = env->gemm_kind };
    struct clfcn_conv *usual = NULL;
    int rc = clfcn_programs_create(env->dev, &gemms.programs, err); /* never built */
    env->gemms = &gemms;
    if (rc == CLFCN_OK) {
        rc = clfcn_conv_create_default(b->tuner->config.impls, &b->shape, b->pass, env,
                                       &usual, err);
    }
    const struct clfcn_conv_impl *impl = rc < 0 ? NULL : usual->impl;
    clfcn_conv_destroy(&usual);
    clfcn_programs_destroy(&gemms.programs);
    clfcn_gemms_destroy(&gemms);
    env->gemms = NULL;
    return rc < 0 ? rc : enter_impl(b, out, impl, env, any, err);
}

/* Every algorithm that fits. */
static int enter_all(struct bench *b, struct clfcn_tuner_result *out,
                     struct clfcn_err *err)
{
    struct clfcn_tuner *t = b->tuner;
    const struct clfcn_tuner_config *config = &t->config;
    struct clfcn_op_env env = { .dev = config->dev,
                                .gemm_kind = config->gemm,
                                .columns_limit = config->columns_limit,
                                .workspace_limit = config->workspace_limit,
                                .training = true };
    bool any = false;
    int rc = CLFCN_OK;
    if (config->same_bits) {
        return enter_usual(b, out, &env, &any, err);
    }
    for (int i = 0; rc == CLFCN_OK && config->impls[i]; ++i) {
        if (config->impls[i]->fits(&b->shape, b->pass, &env)) {
            rc = enter_impl(b, out, config->impls[i], &env, &any, err);
        }
    }
    return rc;
}

/* Whether c need not be timed again. With same_bits: if its fastest run was not clearly
 * faster than the fastest of the usual candidate. */
static bool hopeless(const struct bench *b, const struct candidate *c, double best)
{
    if (c->trial->runs < MIN_RUNS) {
        return false;
    }
    if (b->tuner->config.same_bits) {
        return !is_usual(b, c) && MORE_CLEARLY * c->ms[0] > b->candidates[0].ms[0];
    }
    return c->ms[0] > HOPELESS * best;
}

/* One timed run of each that is still in the race, beginning with another one in each
 * round: what ran before leaves its traces in the caches. Returns how many remain. */
static int run_round(struct bench *b, int round, int count)
{
    double best = INFINITY;
    int left = 0;
    for (int i = 0; i < count; ++i) {
        struct candidate *c = &b->candidates[(round + i) % count];
        struct clfcn_err err;
        if (!c->racing) {
            continue;
        }
        if (run(b, c, &c->ms[c->trial->runs], &err) < 0) {
            lose(b, c, &err);
            continue;
        }
        ++c->trial->runs;
        take_median(c);
        best = fmin(best, c->trial->ms);
    }
    for (int i = 0; i < count; ++i) {
        struct candidate *c = &b->candidates[i];
        c->racing = c->racing && !hopeless(b, c, best);
        left += c->racing;
    }
    return left;
}

/* A candidate's runs are spread over the whole race, so that a slow moment of the machine
 * meets all of them. */
static int race(struct bench *b, int count, struct clfcn_err *err)
{
    const bool same_bits = b->tuner->config.same_bits;
    const int rounds = same_bits ? SAME_BITS_RUNS : MAX_RUNS - 1; /* one was before */
    int left = count;
    double last = 0.0;
    for (int round = 0; round < rounds; ++round) {
        const double now = clfcn_clock();
        const bool enough = round >= MIN_RUNS || last > LONG_ROUND;
        if (stopped(b->tuner)) {
            return clfcn_err_set(err, CLFCN_EINTR, 0, "interrupted");
        }
        if (same_bits ? left < 2 || now > b->end : enough && now > b->race_end) {
            break;
        }
        left = run_round(b, round, count);
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

/* The usual one, unless one that went all the way is clearly faster. */
static int choose_same_bits(const struct clfcn_tuner_result *r)
{
    const struct clfcn_tuner_trial *usual = &r->trials[0];
    int best = 0;
    if (r->count == 0 || !usual->correct || usual->ms < 0) {
        return -1;
    }
    for (int i = 1; i < r->count; ++i) {
        const struct clfcn_tuner_trial *t = &r->trials[i];
        if (t->correct && t->runs > SAME_BITS_RUNS && MORE_CLEARLY * t->ms <= usual->ms &&
            t->ms < r->trials[best].ms) {
            best = i;
        }
    }
    return best;
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
        out->best = tuner->config.same_bits ? choose_same_bits(out) : choose(out);
    }
    close_bench(b);
    return rc;
}
