#include "tuner_impl.h"

#include "../util/sys.h"
#include "certificate.h"
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
    MIN_RUNS = 3,       /* before a candidate may be given up, or the race ends */
    SAME_BITS_RUNS = 6, /* with same_bits after the first one */
};

int clfcn_tuner_create(const struct clfcn_tuner_config *config, struct clfcn_tuner **out,
                       struct clfcn_err *err)
{
    struct clfcn_tuner *t = calloc(1, sizeof(*t));
    *out = t;
    if (!t) {
        return clfcn_err_nomem(err);
    }
    t->config = *config;
    clfcn_trial_noise_init(&t->noise);
    clfcn_providers_open(t);
    return CLFCN_OK;
}

void clfcn_tuner_destroy(struct clfcn_tuner **tuner)
{
    if (*tuner) {
        clfcn_providers_close(*tuner);
    }
    free(*tuner);
    *tuner = NULL;
}

/* With same_bits the kernels of the usual candidate know where those of the others lie:
 * these stay until the end. */
static void lose(struct clfcn_bench *b, struct clfcn_candidate *c,
                 const struct clfcn_err *err)
{
    snprintf(c->trial->why, sizeof(c->trial->why), "%.200s", err->msg);
    c->trial->correct = c->racing = false;
    if (!b->tuner->config.same_bits) {
        clfcn_candidate_close(c);
    }
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sort the runs; the median becomes the trial's time. */
static void take_median(struct clfcn_candidate *c)
{
    const int n = c->trial->runs;
    qsort(c->ms, (size_t)n, sizeof(c->ms[0]), by_value);
    c->trial->ms = (c->ms[(n - 1) / 2] + c->ms[n / 2]) / 2;
}

/* Build and check one candidate, unless there is a reason not to. */
static void enter(struct clfcn_bench *b, struct clfcn_tuner_result *out,
                  const struct clfcn_conv_impl *impl,
                  const struct clfcn_conv_variant *variant,
                  struct clfcn_provider *provider, struct clfcn_op_env env,
                  const char *reason)
{
    struct clfcn_candidate *c = &b->candidates[out->count];
    struct clfcn_err err = { 0 };
    int rc;
    c->trial = &out->trials[out->count++];
    *c->trial = (struct clfcn_tuner_trial){ .ms = -1.0, .error = NAN };
    clfcn_conv_impl_name(impl, variant,
                         provider->gemm ? provider->gemm->name : provider->impl->name,
                         c->trial->name);
    if (!reason && clfcn_certificate_fault(env.certificate, c->trial->name,
                                           clfcn_pass_name(b->pass))) {
        reason = "wrong, as 'clfcn selftest' found";
    }
    if (reason) {
        rc = clfcn_err_set(&err, CLFCN_EINTR, 0, "not tried: %s", reason);
    } else {
        rc = clfcn_candidate_open(b, c, impl, variant, provider, &env, &err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_candidate_run(b, c, &c->ms[0], &err);
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
    return clfcn_flag_is_set(t->config.stop);
}

/* Whether two variants of an algorithm, with variants of a provider, plan the same: the
 * structs are the same behind what names them, and the matrix products too. */
static bool plan_the_same(const struct clfcn_bench *b, const struct clfcn_conv_impl *impl,
                          const struct clfcn_conv_variant *v1,
                          const struct clfcn_provider *p1,
                          const struct clfcn_conv_variant *v2,
                          const struct clfcn_provider *p2, const struct clfcn_op_env *env)
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
static bool is_own_choice(const struct clfcn_bench *b, const struct clfcn_conv_impl *impl,
                          const struct clfcn_conv_variant *v,
                          const struct clfcn_provider *p, const struct clfcn_op_env *env)
{
    return (v && plan_the_same(b, impl, v, p, NULL, p, env)) ||
           (p->own != p && plan_the_same(b, impl, v, p, v, p->own, env));
}

/* Why a candidate with this provider need not be tried, or NULL. own is the place of the
 * one with the provider as it chooses by itself; any: some candidate is correct. */
static const char *reason_not_to(const struct clfcn_bench *b,
                                 const struct clfcn_tuner_result *out,
                                 const struct clfcn_provider *p, int own, bool any)
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
static int enter_impl(struct clfcn_bench *b, struct clfcn_tuner_result *out,
                      const struct clfcn_conv_impl *impl, const struct clfcn_op_env *env,
                      bool *any, struct clfcn_err *err)
{
    struct clfcn_tuner *t = b->tuner;
    const int count = impl->uses_gemm ? t->provider_count : 1;
    const struct clfcn_conv_variant *v = NULL;
    int own = 0;
    do {
        for (int i = 0; i < count && out->count < CLFCN_MAX_TRIALS; ++i) {
            struct clfcn_provider *p = &t->providers[i];
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
static int enter_usual(struct clfcn_bench *b, struct clfcn_tuner_result *out,
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
static int enter_all(struct clfcn_bench *b, struct clfcn_tuner_result *out,
                     struct clfcn_err *err)
{
    struct clfcn_tuner *t = b->tuner;
    const struct clfcn_tuner_config *config = &t->config;
    struct clfcn_op_env env = { .dev = config->dev,
                                .gemm_kind = config->gemm,
                                .columns_limit = config->columns_limit,
                                .workspace_limit = config->workspace_limit,
                                .training = true,
                                .certificate = config->certificate };
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
static bool hopeless(const struct clfcn_bench *b, const struct clfcn_candidate *c,
                     double best)
{
    if (c->trial->runs < MIN_RUNS) {
        return false;
    }
    if (b->tuner->config.same_bits) {
        return !clfcn_candidate_is_usual(b, c) &&
               MORE_CLEARLY * c->ms[0] > b->candidates[0].ms[0];
    }
    return c->ms[0] > HOPELESS * best;
}

/* One timed run of each that is still in the race, beginning with another one in each
 * round: what ran before leaves its traces in the caches. Returns how many remain. */
static int run_round(struct clfcn_bench *b, int round, int count)
{
    double best = INFINITY;
    int left = 0;
    for (int i = 0; i < count; ++i) {
        struct clfcn_candidate *c = &b->candidates[(round + i) % count];
        struct clfcn_err err;
        if (!c->racing) {
            continue;
        }
        if (clfcn_candidate_run(b, c, &c->ms[c->trial->runs], &err) < 0) {
            lose(b, c, &err);
            continue;
        }
        ++c->trial->runs;
        take_median(c);
        best = fmin(best, c->trial->ms);
    }
    for (int i = 0; i < count; ++i) {
        struct clfcn_candidate *c = &b->candidates[i];
        c->racing = c->racing && !hopeless(b, c, best);
        left += c->racing;
    }
    return left;
}

/* A candidate's runs are spread over the whole race, so that a slow moment of the machine
 * meets all of them. */
static int race(struct clfcn_bench *b, int count, struct clfcn_err *err)
{
    const bool same_bits = b->tuner->config.same_bits;
    const int rounds =
        same_bits ? SAME_BITS_RUNS : CLFCN_TUNER_RUNS - 1; /* one was before */
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
    struct clfcn_bench *b = calloc(1, sizeof(*b));
    *out = (struct clfcn_tuner_result){ .best = -1 };
    if (!b) {
        return clfcn_err_nomem(err);
    }
    b->tuner = tuner;
    b->shape = *shape;
    b->pass = pass;
    b->race_end = race_end;
    b->end = end;
    int rc = clfcn_bench_open(b, err);
    if (rc == CLFCN_OK) {
        rc = enter_all(b, out, err);
    }
    if (rc == CLFCN_OK) {
        rc = race(b, out->count, err);
    }
    if (rc == CLFCN_OK) {
        out->best = tuner->config.same_bits ? choose_same_bits(out) : choose(out);
    }
    clfcn_bench_close(b);
    free(b);
    return rc;
}
