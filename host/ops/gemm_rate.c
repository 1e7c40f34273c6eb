#include "gemm_rate.h"

#include "../device/buffer.h"
#include "../util/rng.h"
#include "../util/stats.h"
#include "../util/sys.h"
#include "sample.h"
#include <math.h>
#include <stdlib.h>

enum { A, B, C, MATRICES, RUNS = 3, SAMPLES = 256 };
static const size_t MOST_BYTES = (size_t)256 << 20; /* of b */

struct product {
    struct clfcn_dev *dev;
    struct clfcn_programs *programs;
    struct clfcn_gemm *gemm;
    struct clfcn_gemm_call call;
    struct clfcn_rng rng;
    size_t count[MATRICES];
    float *host[MATRICES];
    cl_mem mem[MATRICES], scratch;
};

static void limit_columns(const struct clfcn_dev *dev, struct clfcn_gemm_rate *rate)
{
    uint64_t most = dev->info.global_bytes / 8;
    most = most < dev->info.max_alloc_bytes ? most : dev->info.max_alloc_bytes;
    most = most < MOST_BYTES ? most : MOST_BYTES;
    const uint64_t n = most / sizeof(float) / (uint64_t)rate->k;
    if (n > 0 && (uint64_t)rate->n > n) {
        rate->n = (int)n;
    }
}

/* a and b random, c NaN: what is not computed shows. */
static int open_matrix(struct product *p, int i, size_t count, struct clfcn_err *err)
{
    static const char *const names[] = { "a", "b", "c" };
    p->count[i] = count;
    p->host[i] = malloc(count * sizeof(float));
    if (!p->host[i]) {
        return clfcn_err_nomem(err);
    }
    for (size_t j = 0; j < count; ++j) {
        p->host[i][j] = i == C ? NAN : (float)(2 * clfcn_rng_double(&p->rng) - 1);
    }
    const int rc =
        clfcn_buffer_create(p->dev, count * sizeof(float), names[i], &p->mem[i], err);
    return rc < 0 ? rc
                  : clfcn_buffer_write(p->dev, p->mem[i], 0, count * sizeof(float),
                                       p->host[i], err);
}

static int open_product(struct product *p, enum clfcn_gemm_kind kind,
                        const struct clfcn_gemm_rate *r, struct clfcn_err *err)
{
    const size_t m = (size_t)r->m, n = (size_t)r->n, k = (size_t)r->k;
    const size_t counts[] = { m * k, k * n, m * n };
    struct clfcn_gemm_plan plan = { 0 };
    clfcn_rng_init(&p->rng, 0, "gemm", 0, 0);
    int rc = clfcn_programs_create(p->dev, &p->programs, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_gemm_create(p->dev, p->programs, kind, &p->gemm, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_programs_build(p->programs, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < MATRICES; ++i) {
        rc = open_matrix(p, i, counts[i], err);
    }
    p->call = (struct clfcn_gemm_call){ .m = r->m,
                                        .n = r->n,
                                        .k = r->k,
                                        .a = { .mem = p->mem[A], .ld = r->k },
                                        .b = { .mem = p->mem[B], .ld = r->n },
                                        .c = { .mem = p->mem[C], .ld = r->n } };
    if (rc == CLFCN_OK) {
        rc = clfcn_gemm_make_plan(p->gemm, &p->call, &plan, err);
    }
    if (rc == CLFCN_OK && plan.scratch_bytes > 0) {
        rc = clfcn_buffer_create(p->dev, plan.scratch_bytes, "scratch", &p->scratch, err);
    }
    return rc;
}

static void close_product(struct product *p)
{
    clFinish(p->dev->compute);
    for (int i = 0; i < MATRICES; ++i) {
        clfcn_buffer_release(p->dev, &p->mem[i]);
        free(p->host[i]);
    }
    clfcn_buffer_release(p->dev, &p->scratch);
    clfcn_programs_destroy(&p->programs); /* releases kernels inside the next one */
    clfcn_gemm_destroy(&p->gemm);
}

static int run_once(struct product *p, double *seconds, struct clfcn_err *err)
{
    const double start = clfcn_clock();
    const int rc = clfcn_gemm_run(p->gemm, &p->call, p->scratch, err);
    const cl_int code = clFinish(p->dev->compute);
    *seconds = clfcn_clock() - start;
    return rc < 0 || code == CL_SUCCESS ? rc : clfcn_cl_err(err, code, "multiplying");
}

static double element(const struct product *p, size_t row, size_t column)
{
    const size_t n = (size_t)p->call.n, k = (size_t)p->call.k;
    double sum = 0;
    for (size_t i = 0; i < k; ++i) {
        sum += (double)p->host[A][row * k + i] * p->host[B][i * n + column];
    }
    return sum;
}

/* Elements anywhere, and the last one, where tiles end. */
static int check(struct product *p, struct clfcn_gemm_rate *r, struct clfcn_err *err)
{
    const size_t n = (size_t)r->n;
    double distance = 0, norm = 0;
    const int rc = clfcn_buffer_read(p->dev, p->mem[C], 0, p->count[C] * sizeof(float),
                                     p->host[C], err);
    for (int i = 0; rc == CLFCN_OK && i < SAMPLES; ++i) {
        const size_t row =
            i ? clfcn_rng_below(&p->rng, (uint32_t)r->m) : (size_t)r->m - 1;
        const size_t column = i ? clfcn_rng_below(&p->rng, (uint32_t)r->n) : n - 1;
        const double want = element(p, row, column);
        const double off = p->host[C][row * n + column] - want;
        distance += off * off;
        norm += want * want;
    }
    r->error = sqrt(distance / norm);
    r->correct = r->error <= CLFCN_SAMPLES_BOUND; /* not if it is NaN */
    return rc;
}

int clfcn_gemm_measure(struct clfcn_dev *dev, enum clfcn_gemm_kind kind,
                       struct clfcn_gemm_rate *rate, struct clfcn_err *err)
{
    struct product p = { .dev = dev };
    double seconds[RUNS], scratch[RUNS], warm;
    rate->gflops = rate->error = NAN;
    rate->correct = false;
    limit_columns(dev, rate);
    int rc = open_product(&p, kind, rate, err);
    if (rc == CLFCN_OK) {
        rate->provider = p.gemm->impl->name; /* of a static table */
        rc = run_once(&p, &warm, err);       /* not timed: runtimes compile now */
    }
    if (rc == CLFCN_OK) {
        rc = check(&p, rate, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < RUNS; ++i) {
        rc = run_once(&p, &seconds[i], err);
    }
    if (rc == CLFCN_OK) {
        rate->gflops = 2e-9 * rate->m * rate->n * (double)rate->k /
                       clfcn_spread_of(seconds, RUNS, scratch).median;
    } else {
        clfcn_err_note(err, "product %dx%dx%d", rate->m, rate->n, rate->k);
    }
    close_product(&p);
    return rc;
}
