/* tuner.h - measuring the candidates of one convolution pass: each is built, checked
 * against the definition, and only then timed. */
#ifndef CLFCN_OPS_TUNER_H
#define CLFCN_OPS_TUNER_H

#include "conv.h"

enum { CLFCN_MAX_TRIALS = 40 };

struct clfcn_tuner_config {
    struct clfcn_dev *dev;                      /* borrowed */
    const struct clfcn_conv_impl *const *impls; /* borrowed; NULL-terminated */
    enum clfcn_gemm_kind gemm;                  /* AUTO: every provider there is */
    size_t columns_limit, workspace_limit;      /* as in struct clfcn_op_env */
    const volatile bool *stop; /* give up when this becomes true; may be NULL */
    const struct clfcn_certificate *certificate; /* what it calls wrong is not tried */
    /* Try only what cannot change what a network computes: the algorithm and provider
     * that are used where nothing is known, and those of their variants that give the
     * same bits and need no kernel besides. A variant must be clearly faster to be best,
     * and none is tried where a run is short anyway. */
    bool same_bits;
};

/* How one candidate did. */
struct clfcn_tuner_trial {
    char name[CLFCN_CONV_NAME];
    bool correct; /* built, ran and gave what it should: may be chosen */
    double error; /* relative, in the 2-norm; NaN: not known, or not finite */
    double ms;    /* median of runs; < 0: not timed */
    int runs;
    char why[224]; /* reason if not correct, else "" */
};

struct clfcn_tuner_result {
    struct clfcn_tuner_trial trials[CLFCN_MAX_TRIALS]; /* in the order of preference */
    int count;
    int best; /* the fastest correct one; -1: none is */
};

/* Opaque. */
struct clfcn_tuner;

int clfcn_tuner_create(const struct clfcn_tuner_config *config, struct clfcn_tuner **out,
                       struct clfcn_err *err);
void clfcn_tuner_destroy(struct clfcn_tuner **tuner);

/* Measure every candidate that fits, or with same_bits those: they are tried until end,
 * and those that are correct are timed again and again until race_end (clfcn_clock()
 * times), but at least one is tried, and timed three times or for a second. What is wrong
 * with a candidate only takes it out of the race. CLFCN_EDEVMEM or CLFCN_ENOMEM if the
 * layer itself finds no memory; CLFCN_EINTR. */
int clfcn_tuner_measure(struct clfcn_tuner *tuner, const struct clfcn_conv_shape *shape,
                        enum clfcn_pass pass, double race_end, double end,
                        struct clfcn_tuner_result *out, struct clfcn_err *err);

#endif
