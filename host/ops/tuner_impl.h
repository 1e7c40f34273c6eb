/* tuner_impl.h - the parts of a race between candidates: providers of matrix products,
 * and one layer's data on which candidates are run. */
#ifndef CLFCN_OPS_TUNER_IMPL_H
#define CLFCN_OPS_TUNER_IMPL_H

#include "op_impl.h"
#include "sample.h"
#include "trial_data.h"
#include "tuner.h"

enum {
    CLFCN_TUNER_RUNS = 31, /* of a candidate at most */
};

/* x, y and weight, by index. */
enum { CLFCN_X, CLFCN_Y, CLFCN_W, CLFCN_TUNER_ARRAYS };

/* A GEMM provider in one of its variants, with kernels of its own, which are built when
 * they are first needed; with same_bits with those of the first provider. */
struct clfcn_provider {
    struct clfcn_programs *programs; /* NULL: those of the first */
    const struct clfcn_gemm_impl *impl;
    struct clfcn_gemm *gemm;          /* NULL: it cannot be made */
    const struct clfcn_provider *own; /* the same, as it chooses by itself */
    bool tried;                       /* to make or build it, and what that gave: */
    int rc;
    struct clfcn_err err;
};

struct clfcn_tuner {
    struct clfcn_tuner_config config;
    struct clfcn_provider providers[CLFCN_MAX_GEMMS];
    int provider_count;
    struct clfcn_trial_noise noise;
};

/* A candidate in the race, and the kernels that are its own; with same_bits those of the
 * first candidate, the usual one, are everyone's. */
struct clfcn_candidate {
    struct clfcn_tuner_trial *trial;
    struct clfcn_programs *programs; /* NULL: those of the first */
    struct clfcn_conv *cv;           /* NULL: lost before it was planned */
    struct clfcn_bias_relu bias;     /* forward, for one that does not finish */
    double ms[CLFCN_TUNER_RUNS];
    bool racing;
};

/* One layer's data, on host and device, and the memory that the candidates share. */
struct clfcn_bench {
    struct clfcn_tuner *tuner;
    struct clfcn_conv_shape shape;
    enum clfcn_pass pass;
    int made; /* which of the arrays the pass writes */
    size_t count[CLFCN_TUNER_ARRAYS];
    float *host[CLFCN_TUNER_ARRAYS], *bias_host;
    float *usual; /* with same_bits: what the usual candidate gave */
    cl_mem mem[CLFCN_TUNER_ARRAYS], bias, columns, scratch;
    size_t columns_bytes, scratch_bytes;
    struct clfcn_samples samples;
    struct clfcn_candidate candidates[CLFCN_MAX_TRIALS];
    double race_end, end; /* clfcn_clock() times */
};

/* The providers that config asks for, with their variants. (tuner_provider.c) */
void clfcn_providers_open(struct clfcn_tuner *tuner);
void clfcn_providers_close(struct clfcn_tuner *tuner);
/* Build what p, which is there, needs, if that has not been tried yet. */
int clfcn_provider_use(struct clfcn_tuner *tuner, struct clfcn_provider *p);

/* Make the layer's data: tuner, shape and pass are set, the rest is 0. (tuner_bench.c) */
int clfcn_bench_open(struct clfcn_bench *b, struct clfcn_err *err);
/* Releases all but b itself. */
void clfcn_bench_close(struct clfcn_bench *b);

bool clfcn_candidate_is_usual(const struct clfcn_bench *b,
                              const struct clfcn_candidate *c);
/* Plan, build, and run once to see whether the result is right, and with same_bits the
 * usual one; what it says of that goes to c->trial. */
int clfcn_candidate_open(struct clfcn_bench *b, struct clfcn_candidate *c,
                         const struct clfcn_conv_impl *impl,
                         const struct clfcn_conv_variant *variant,
                         struct clfcn_provider *provider, struct clfcn_op_env *env,
                         struct clfcn_err *err);
/* One run to its end, of so many ms. */
int clfcn_candidate_run(struct clfcn_bench *b, struct clfcn_candidate *c, double *ms,
                        struct clfcn_err *err);
void clfcn_candidate_close(struct clfcn_candidate *c);

#endif
