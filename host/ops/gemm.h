/* gemm.h - single-precision matrix product on the device, by one of several providers. */
#ifndef CLFCN_OPS_GEMM_H
#define CLFCN_OPS_GEMM_H

#include "../device/program.h"
#include <clfcn/net.h>

/* A row-major matrix inside a buffer; offset and ld in floats. */
struct clfcn_mat {
    cl_mem mem;
    size_t offset;
    int ld;
};

/* c[m][n] = op(a)[m][k] * op(b)[k][n] + beta * c, where op transposes if trans_* is set
 * (then a is stored [k][m], b [n][k]); beta is 0 (c is written, whatever it held) or 1.
 * m, n, k >= 1.
 *
 * With a batch it is as many products of this shape, and matrix i of each of a, b and c
 * begins i strides (floats) after the first; those of c do not overlap. */
struct clfcn_gemm_call {
    bool trans_a, trans_b;
    int m, n, k;
    struct clfcn_mat a, b, c;
    float beta;
    struct {
        int count; /* 0 or 1: a single product */
        size_t stride_a, stride_b, stride_c;
    } batch;
};

/* What a provider makes of a call, whatever offsets and buffers it has. */
struct clfcn_gemm_plan {
    size_t scratch_bytes;
    int parameters[2]; /* a provider that has the same ones for it does the same */
};

/* A choice of one parameter: for `clfcn tune` to try. */
struct clfcn_gemm_variant {
    const char *name;     /* "kt=32"; NULL ends a list */
    int parameter, value; /* for create() */
};

struct clfcn_gemm;

/* One static const table per kind of kernels. */
struct clfcn_gemm_impl {
    const char *name; /* "clblast", "native" */
    const struct clfcn_gemm_variant
        *variants; /* beside what create() chooses by itself */
    /* Whether a variant is for the device. */
    bool (*fits)(const struct clfcn_gemm_variant *variant,
                 const struct clfcn_device_info *info);
    /* variant may be NULL. The kernels are wanted from programs. */
    int (*create)(struct clfcn_dev *dev, struct clfcn_programs *programs,
                  const struct clfcn_gemm_variant *variant, struct clfcn_gemm **out,
                  struct clfcn_err *err);
    int (*plan)(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
                struct clfcn_gemm_plan *out, struct clfcn_err *err);
    int (*run)(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
               cl_mem scratch, struct clfcn_err *err);
    void (*finish)(struct clfcn_gemm *g);
};

enum { CLFCN_GEMM_NAME = 24 };

/* A provider with its parameters. */
struct clfcn_gemm {
    const struct clfcn_gemm_impl *impl;
    char name[CLFCN_GEMM_NAME]; /* with the variant, if it is one: "native:kt=32" */
    struct clfcn_dev *dev;
};

/* The provider of this kind for a device. AUTO takes the device class's default. */
const struct clfcn_gemm_impl *clfcn_gemm_impl_of(const struct clfcn_device_info *info,
                                                 enum clfcn_gemm_kind kind);
/* The next of a provider's variants that fit the device, after v: first NULL, its own
 * choice, and NULL again behind the last. */
const struct clfcn_gemm_variant *
clfcn_gemm_next_variant(const struct clfcn_gemm_impl *impl,
                        const struct clfcn_device_info *info,
                        const struct clfcn_gemm_variant *v);

/* Whether the device can do products of that kind at all: CLFCN_EINVAL says why not. */
int clfcn_gemm_check_kind(const struct clfcn_device_info *info, enum clfcn_gemm_kind kind,
                          struct clfcn_err *err);
/* "native", "native:kt=32" */
void clfcn_gemm_name_of(const struct clfcn_gemm_impl *impl,
                        const struct clfcn_gemm_variant *variant,
                        char name[CLFCN_GEMM_NAME]);

/* The kernels are wanted from programs, which the caller builds before the first run;
 * destroy the programs first, then this. */
int clfcn_gemm_create(struct clfcn_dev *dev, struct clfcn_programs *programs,
                      enum clfcn_gemm_kind kind, struct clfcn_gemm **out,
                      struct clfcn_err *err);
/* This provider, in one of its variants that fit the device, or NULL. */
int clfcn_gemm_create_by(const struct clfcn_gemm_impl *impl,
                         const struct clfcn_gemm_variant *variant, struct clfcn_dev *dev,
                         struct clfcn_programs *programs, struct clfcn_gemm **out,
                         struct clfcn_err *err);
/* As CLBlast's header says it, "1.5.3". */
const char *clfcn_gemm_clblast_version(void);
void clfcn_gemm_destroy(struct clfcn_gemm **gemm);

/* Products that call asks for, >= 1; and the one of them at index, alone. */
int clfcn_gemm_count(const struct clfcn_gemm_call *call);
struct clfcn_gemm_call clfcn_gemm_at(const struct clfcn_gemm_call *call, int index);

int clfcn_gemm_make_plan(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
                         struct clfcn_gemm_plan *out, struct clfcn_err *err);
int clfcn_gemm_run(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
                   cl_mem scratch, struct clfcn_err *err);

enum { CLFCN_MAX_GEMMS = 16 };

/* The providers that the layers of a network share. They are made when they are first
 * asked for, so that no kernel is built in vain. Zero-initialised is empty. */
struct clfcn_gemms {
    struct clfcn_dev *dev;           /* borrowed */
    struct clfcn_programs *programs; /* likewise: where the kernels are wanted from */
    enum clfcn_gemm_kind kind;       /* AUTO: all */
    struct clfcn_gemm *list[CLFCN_MAX_GEMMS];
    int count;
};

/* The one that is used where nothing else is known. */
int clfcn_gemms_default(struct clfcn_gemms *gemms, const struct clfcn_gemm **out,
                        struct clfcn_err *err);
/* The one of this name. *out is NULL if there is none on this device, or none of that
 * kind. */
int clfcn_gemms_find(struct clfcn_gemms *gemms, const char *name,
                     const struct clfcn_gemm **out, struct clfcn_err *err);
/* After the programs. */
void clfcn_gemms_destroy(struct clfcn_gemms *gemms);

#endif
