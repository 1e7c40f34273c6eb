/* selftest.h - every kernel against its definition in float64, on shapes and numbers that
 * are hard to get right. */
#ifndef CLFCN_OPS_SELFTEST_H
#define CLFCN_OPS_SELFTEST_H

#include "certificate.h"
#include "op.h"

struct clfcn_selftest {
    struct clfcn_dev *dev;                      /* borrowed */
    const struct clfcn_conv_impl *const *impls; /* borrowed; NULL-terminated */
    enum clfcn_gemm_kind gemm;                  /* AUTO: every provider there is */
    size_t columns_limit, workspace_limit;      /* as in struct clfcn_op_env */
    const volatile bool *stop; /* give up when this becomes true; may be NULL */
    /* Before subject is tested; may be NULL. */
    void (*progress)(void *user, const char *subject);
    void *user;
};

/* Test every algorithm in every variant, with every provider, in every pass on small
 * awkward shapes, with normal numbers, large ones, and large ones that are all alike;
 * then the providers alone and all other layers, losses and optimisers. What is found is
 * added to out; what is wrong with a kernel is no error. CLFCN_EINTR; CLFCN_ENOMEM. */
int clfcn_selftest_run(const struct clfcn_selftest *t, struct clfcn_certificate *out,
                       struct clfcn_err *err);

/* Test every algorithm that fits likewise on this shape alone, with normal numbers; what
 * finds no memory for it is left out. */
int clfcn_selftest_shape(const struct clfcn_selftest *t,
                         const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                         struct clfcn_certificate *out, struct clfcn_err *err);

/* The parts of clfcn_selftest_run() without convolutions. (selftest_layers.c,
 * selftest_kernels.c) */
int clfcn_selftest_layers(const struct clfcn_selftest *t, struct clfcn_certificate *out,
                          struct clfcn_err *err);
int clfcn_selftest_kernels(const struct clfcn_selftest *t, struct clfcn_certificate *out,
                           struct clfcn_err *err);
/* What they are tested on: rows that are no multiple of a vector or a work-group, and one
 * of many chunks. */
enum { CLFCN_SELFTEST_TENSORS = 4 };
extern const struct clfcn_tensor clfcn_selftest_tensors[CLFCN_SELFTEST_TENSORS];

/* Join a test's finding, or the error rc with which it ended, with what is known; memory
 * that does not suffice is no fault. CLFCN_EINTR if it is to stop. */
int clfcn_selftest_note(const struct clfcn_selftest *t, struct clfcn_finding *found,
                        const char *subject, const char *pass, const char *at, int rc,
                        const struct clfcn_err *why, struct clfcn_certificate *out,
                        struct clfcn_err *err);

#endif
