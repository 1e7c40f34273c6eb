/* conv.h - one pass of a convolution on the device, by one of several algorithms.
 *
 * Each conv_*.c file is an algorithm, a candidate for the passes it can do; conv.c lists
 * them and chooses. */
#ifndef CLFCN_OPS_CONV_H
#define CLFCN_OPS_CONV_H

#include "op.h"

/* A convolution of stride 1 with an odd kernel and padding (kernel-1)/2; or a transposed
 * one, 3x3, stride 2, padding 1, output padding 1. Channels in and out, images, and the
 * input's sides, which the transposed one doubles. */
struct clfcn_conv_shape {
    int in, out, kernel, n, h, w;
    bool transposed;
};

/* Batch normalisation by statistics that are known, and what is added after it. */
struct clfcn_conv_norm {
    cl_mem state, gamma, beta; /* as in cl/batchnorm.cl */
    cl_mem skip;               /* of y's shape; NULL: nothing */
};

/* What a pass reads and writes. In the backward passes y is the gradient of the output
 * (masked by the ReLU already), x or weight that of the input or weights. */
struct clfcn_conv_call {
    cl_mem x, y, weight;
    cl_mem bias; /* forward, and only if the candidate finishes it */
    bool relu;   /* likewise */
    /* Forward, and only if the candidate absorbs: after the ReLU, y is 2x2 max-pooled, or
     * normalised if norm is not NULL. */
    bool pool;
    const struct clfcn_conv_norm *norm;
    cl_mem kept; /* forward, if kept_bytes is not 0: what derive() made of the weights */
    bool add;    /* input gradient: onto what x holds */
};

struct clfcn_conv;
struct clfcn_gemm;
struct clfcn_gemm_call;

/* A choice of parameters: for `clfcn tune` to try. */
struct clfcn_conv_variant {
    const char *name; /* "tiles=48"; NULL ends a list */
    int value;        /* for plan() */
};

/* One static const table per conv_*.c file. All slots but variants, derive, finish and
 * flop are required. */
struct clfcn_conv_impl {
    const char *name;                          /* "winograd4" */
    const struct clfcn_conv_variant *variants; /* beside what plan() chooses by itself */
    bool finishes;   /* the forward pass adds the bias and applies the ReLU */
    bool absorbs;    /* and can normalise the result after that, or pool it if its sides
                        are even */
    bool thrifty;    /* keeps to the workspace as far as it can be done at all */
    bool on_request; /* never chosen by default, whatever else fits */
    bool uses_gemm;  /* its matrix products go through the clfcn_conv's gemm */
    size_t size;     /* bytes of its struct, which begins with a struct clfcn_conv */
    /* Whether it can do the pass on the device, and as env->gemm_kind demands. */
    bool (*fits)(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                 const struct clfcn_op_env *env);
    /* Choose parameters, those of cv->variant if it is set; set columns_bytes,
     * scratch_bytes and kept_bytes. */
    int (*plan)(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                struct clfcn_err *err);
    /* Ask env->programs for the kernels. */
    int (*prepare)(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                   struct clfcn_err *err);
    int (*run)(struct clfcn_conv *cv, const struct clfcn_op_run *run,
               const struct clfcn_conv_call *call, struct clfcn_err *err);
    /* Make of the weights what run() is to be given as kept; NULL if kept_bytes is always
     * 0. */
    int (*derive)(struct clfcn_conv *cv, const struct clfcn_op_run *run, cl_mem weight,
                  cl_mem kept, struct clfcn_err *err);
    /* Frees what the algorithm keeps beside cv; may be NULL. */
    void (*finish)(struct clfcn_conv *cv);
    /* Arithmetic of the products it really computes; NULL: that of the definition. */
    double (*flop)(const struct clfcn_conv *cv);
};

enum { CLFCN_CONV_NAME = 48 };

/* A chosen algorithm with its parameters and kernels, for one pass of one layer. */
struct clfcn_conv {
    const struct clfcn_conv_impl *impl;
    const struct clfcn_conv_variant *variant; /* NULL: plan() chooses */
    const struct clfcn_gemm *gemm;            /* the provider, for those that use one */
    char name[CLFCN_CONV_NAME];               /* of clfcn_conv_impl_name() */
    struct clfcn_conv_shape shape;
    enum clfcn_pass pass;
    size_t columns_bytes, scratch_bytes; /* of the memory in struct clfcn_op_run */
    size_t kept_bytes; /* inference: transformed weights, kept from run to run */
    uint64_t products; /* hash of what the provider makes of the matrix products */
    char instead_of[CLFCN_CONV_NAME]; /* of what is wrong on this device; "" */
};

/* The candidates, NULL-terminated: the first that fits, is not for requests only, and is
 * thrifty or stays within the workspace is what is used where nothing else is known. */
extern const struct clfcn_conv_impl *const clfcn_conv_impls[];

/* "forward", "input gradient", "weight gradient" */
const char *clfcn_pass_name(enum clfcn_pass pass);

/* The name to show and to store: the algorithm's, with its variant if there is one
 * ("winograd4:tiles=48"), and with the name of the provider of its matrix products if it
 * uses one ("im2col+native", "im2col+native:kt=32"). */
void clfcn_conv_impl_name(const struct clfcn_conv_impl *impl,
                          const struct clfcn_conv_variant *variant, const char *gemm,
                          char name[CLFCN_CONV_NAME]);
/* The next of an algorithm's variants after v: first NULL, its own choice, and NULL again
 * behind the last. */
const struct clfcn_conv_variant *
clfcn_conv_next_variant(const struct clfcn_conv_impl *impl,
                        const struct clfcn_conv_variant *v);

/* Choose and plan: what env->conv forces, else what env->choices say, else the first that
 * fits, passing over what env->certificate says is wrong. CLFCN_ENUMERIC if nothing else
 * is left. Free with clfcn_conv_destroy(), after the programs of env. */
int clfcn_conv_create(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                      const struct clfcn_op_env *env, struct clfcn_conv **out,
                      struct clfcn_err *err);
/* Plan this algorithm, which must fit, with one of its variants or NULL, and with this
 * provider, NULL if it uses none. Free it likewise. */
int clfcn_conv_create_by(const struct clfcn_conv_impl *impl,
                         const struct clfcn_conv_variant *variant,
                         const struct clfcn_gemm *gemm,
                         const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                         const struct clfcn_op_env *env, struct clfcn_conv **out,
                         struct clfcn_err *err);
void clfcn_conv_destroy(struct clfcn_conv **cv);

/* Plan the first of impls that fits, is not for requests only, and is affordable. */
int clfcn_conv_create_default(const struct clfcn_conv_impl *const *impls,
                              const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                              const struct clfcn_op_env *env, struct clfcn_conv **out,
                              struct clfcn_err *err);

/* For plan(): raise scratch_bytes to what a product by cv's provider needs, and note in
 * products how it is done. */
int clfcn_conv_want_scratch(struct clfcn_conv *cv, const struct clfcn_gemm_call *call,
                            struct clfcn_err *err);
/* Whether it is thrifty or stays within the workspace. */
bool clfcn_conv_affordable(const struct clfcn_conv *cv, const struct clfcn_op_env *env);
/* Multiplications and additions of the definition, whatever the algorithm saves. */
double clfcn_conv_flop(const struct clfcn_conv_shape *shape);
/* Those of cv's algorithm: fewer for Winograd's, whose transforms are not counted. */
double clfcn_conv_own_flop(const struct clfcn_conv *cv);

extern const struct clfcn_conv_impl clfcn_conv_winograd4, clfcn_conv_winograd2,
    clfcn_conv_winograd4_batched, clfcn_conv_winograd2_batched, clfcn_conv_convgemm,
    clfcn_conv_implicit, clfcn_conv_im2col, clfcn_conv_im2col_transposed,
    clfcn_conv_tiled;

#endif
