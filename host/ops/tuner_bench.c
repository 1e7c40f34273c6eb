#include "tuner_impl.h"

#include "../util/sys.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int make_input(struct clfcn_bench *b, float *host, size_t count, cl_mem mem,
                      struct clfcn_err *err)
{
    clfcn_trial_fill(&b->tuner->noise, host, count);
    return clfcn_buffer_write(b->tuner->config.dev, mem, 0, count * sizeof(float), host,
                              err);
}

int clfcn_bench_open(struct clfcn_bench *b, struct clfcn_err *err)
{
    static const char *const names[CLFCN_TUNER_ARRAYS] = { "x", "y", "weights" };
    static const int made[] = { [CLFCN_PASS_FORWARD] = CLFCN_Y,
                                [CLFCN_PASS_INPUT] = CLFCN_X,
                                [CLFCN_PASS_WEIGHT] = CLFCN_W };
    struct clfcn_dev *dev = b->tuner->config.dev;
    const size_t bias_count = (size_t)b->shape.out;
    int rc = CLFCN_OK;
    b->made = made[b->pass];
    b->count[CLFCN_X] = clfcn_sample_count_x(&b->shape);
    b->count[CLFCN_Y] = clfcn_sample_count_y(&b->shape);
    b->count[CLFCN_W] = clfcn_sample_count_weight(&b->shape);
    for (int i = 0; rc == CLFCN_OK && i < CLFCN_TUNER_ARRAYS; ++i) {
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
        const struct clfcn_sample_data data = { b->host[CLFCN_X], b->host[CLFCN_Y],
                                                b->host[CLFCN_W], b->bias_host };
        clfcn_samples_make(&b->shape, b->pass, &data, &b->tuner->noise.rng, &b->samples);
    }
    return rc;
}

void clfcn_candidate_close(struct clfcn_candidate *c)
{
    clfcn_programs_destroy(&c->programs); /* releases kernels inside the next one */
    clfcn_conv_destroy(&c->cv);
}

void clfcn_bench_close(struct clfcn_bench *b)
{
    struct clfcn_dev *dev = b->tuner->config.dev;
    clFinish(dev->compute);
    for (int i = 0; i < CLFCN_MAX_TRIALS; ++i) {
        clfcn_candidate_close(&b->candidates[i]);
    }
    for (int i = 0; i < CLFCN_TUNER_ARRAYS; ++i) {
        clfcn_buffer_release(dev, &b->mem[i]);
        free(b->host[i]);
    }
    clfcn_buffer_release(dev, &b->bias);
    clfcn_buffer_release(dev, &b->columns);
    clfcn_buffer_release(dev, &b->scratch);
    free(b->bias_host);
    free(b->usual);
}

/* Let *mem have bytes at least. Its content is lost. */
static int reserve(struct clfcn_bench *b, size_t bytes, const char *what, cl_mem *mem,
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

static bool finishes(const struct clfcn_bench *b, const struct clfcn_candidate *c)
{
    return b->pass == CLFCN_PASS_FORWARD && c->cv->impl->finishes;
}

bool clfcn_candidate_is_usual(const struct clfcn_bench *b,
                              const struct clfcn_candidate *c)
{
    return c == &b->candidates[0];
}

/* Ask for the kernels, and build them: those of the usual candidate, or its own. */
static int build(struct clfcn_bench *b, struct clfcn_candidate *c,
                 struct clfcn_op_env *env, struct clfcn_err *err)
{
    const bool borrows = b->tuner->config.same_bits && !clfcn_candidate_is_usual(b, c);
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

static int plan(struct clfcn_bench *b, struct clfcn_candidate *c,
                const struct clfcn_conv_impl *impl,
                const struct clfcn_conv_variant *variant, struct clfcn_provider *provider,
                struct clfcn_op_env *env, struct clfcn_err *err)
{
    if (impl->uses_gemm && clfcn_provider_use(b->tuner, provider) < 0) {
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

/* With whatever the layer would have to add to it. */
int clfcn_candidate_run(struct clfcn_bench *b, struct clfcn_candidate *c, double *ms,
                        struct clfcn_err *err)
{
    struct clfcn_dev *dev = b->tuner->config.dev;
    const struct clfcn_op_run how = {
        .dev = dev, .training = true, .columns = b->columns, .scratch = b->scratch
    };
    const struct clfcn_conv_call call = { .x = b->mem[CLFCN_X],
                                          .y = b->mem[CLFCN_Y],
                                          .weight = b->mem[CLFCN_W],
                                          .bias = finishes(b, c) ? b->bias : NULL,
                                          .relu = finishes(b, c) };
    const double start = clfcn_clock();
    int rc = c->cv->impl->run(c->cv, &how, &call, err);
    if (rc == CLFCN_OK && b->pass == CLFCN_PASS_FORWARD && !finishes(b, c)) {
        const struct clfcn_conv_shape *s = &b->shape;
        const struct clfcn_tensor y = {
            s->out, s->n, (int)(b->count[CLFCN_Y] / (size_t)s->out / (size_t)s->n), 1,
            call.y
        };
        rc = clfcn_bias_relu_forward(&c->bias, dev, &y, b->bias, err);
    }
    const cl_int code = clFinish(dev->compute);
    *ms = 1e3 * (clfcn_clock() - start);
    return rc < 0 || code == CL_SUCCESS ? rc : clfcn_cl_err(err, code, "running");
}

/* Run once on poisoned memory and compare. */
static int verify(struct clfcn_bench *b, struct clfcn_candidate *c, struct clfcn_err *err)
{
    struct clfcn_dev *dev = b->tuner->config.dev;
    float *got = b->host[b->made];
    const size_t bytes = b->count[b->made] * sizeof(*got);
    double ms;
    int rc = clfcn_trial_poison(dev, b->mem[b->made], bytes, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_trial_poison(dev, b->columns, b->columns_bytes, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_trial_poison(dev, b->scratch, b->scratch_bytes, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_candidate_run(b, c, &ms, err);
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
static int compare_bits(struct clfcn_bench *b, struct clfcn_candidate *c,
                        struct clfcn_err *err)
{
    const size_t bytes = b->count[b->made] * sizeof(*b->usual);
    if (clfcn_candidate_is_usual(b, c)) {
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

int clfcn_candidate_open(struct clfcn_bench *b, struct clfcn_candidate *c,
                         const struct clfcn_conv_impl *impl,
                         const struct clfcn_conv_variant *variant,
                         struct clfcn_provider *provider, struct clfcn_op_env *env,
                         struct clfcn_err *err)
{
    int rc = plan(b, c, impl, variant, provider, env, err);
    if (rc == CLFCN_OK) {
        rc = reserve(b, c->cv->columns_bytes, "columns", &b->columns, &b->columns_bytes,
                     err);
    }
    if (rc == CLFCN_OK) {
        rc = reserve(b, c->cv->scratch_bytes, "scratch", &b->scratch, &b->scratch_bytes,
                     err);
    }
    if (rc == CLFCN_OK) {
        rc = verify(b, c, err);
    }
    return rc < 0 || !b->tuner->config.same_bits ? rc : compare_bits(b, c, err);
}
