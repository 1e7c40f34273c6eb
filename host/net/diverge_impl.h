/* diverge_impl.h - a comparison of two devices under way, shared by the files that run
 * it. */
#ifndef CLFCN_NET_DIVERGE_IMPL_H
#define CLFCN_NET_DIVERGE_IMPL_H

#include "diverge.h"
#include "net_impl.h"

struct clfcn_diverge_run {
    struct clfcn_net *net[2];
    const struct clfcn_diverge_how *how;
    struct clfcn_diverge *out;
    int step, row;  /* row: the next tensor's, if it was made in an earlier step */
    float *host[2]; /* the last tensor, [capacity] */
    size_t capacity;
    float *before; /* A's input gradient before the pass that adds to it, or NULL */
    struct clfcn_ran ran[2];
    /* Sums of squares over the step so far. */
    double gradient[2], gradient_apart, weights, weights_apart;
};

/* What a tensor counts for besides. */
enum clfcn_diverge_part { CLFCN_PART_NONE, CLFCN_PART_GRADIENT, CLFCN_PART_WEIGHTS };

/* How closely two devices must agree. */
enum clfcn_diverge_rigor {
    CLFCN_SAME_BITS, /* nothing was computed */
    CLFCN_ROUNDED,   /* an operation or a few on each element: no sums */
    CLFCN_SUMMED
};

/* A tensor that both nets have just made: views of it, or where it begins in mem. */
struct clfcn_diverge_tensor {
    const char *layer, *kind, *pass, *name;
    int ndim;
    int64_t dims[4];
    cl_mem mem[2];
    size_t offset[2]; /* bytes */
    enum clfcn_diverge_rigor rigor;
    enum clfcn_diverge_part part;
    int op;                           /* index of the op that made it; -1: none did */
    const struct clfcn_conv *conv[2]; /* by which algorithm, or NULL */
};

/* Before a pass: progress, interruption (CLFCN_EINTR), and kernels forgotten. (diverge.c)
 */
int clfcn_diverge_begin(struct clfcn_diverge_run *run, const char *layer,
                        const char *pass, struct clfcn_err *err);
/* Note in err, if rc is a failure, on which device. Returns rc. (diverge.c) */
int clfcn_diverge_blame(int rc, int side, struct clfcn_err *err);

/* Run op i on both, and check what it made. (diverge_op.c) */
int clfcn_diverge_forward(struct clfcn_diverge_run *run, int i, struct clfcn_err *err);
int clfcn_diverge_backward(struct clfcn_diverge_run *run, int i, struct clfcn_err *err);

/* Set shape and memory of an activation or its gradient. (diverge_op.c) */
void clfcn_diverge_place(struct clfcn_diverge_tensor *t, const struct clfcn_tensor *a,
                         const struct clfcn_tensor *b);

/* Compare, note the difference and, unless free running, make B's equal to A's. What both
 * hold is then in run->host. (diverge_check.c) */
int clfcn_diverge_check(struct clfcn_diverge_run *run,
                        const struct clfcn_diverge_tensor *t, struct clfcn_err *err);
/* Make run->host large enough for count floats. (diverge_check.c) */
int clfcn_diverge_reserve(struct clfcn_diverge_run *run, size_t count,
                          struct clfcn_err *err);

/* What belongs at element at of t, in float64, if t is of a convolution: from what lies
 * on A, so that it must be asked before the next op runs. (diverge_reference.c) */
int clfcn_diverge_reference(const struct clfcn_diverge_run *run,
                            const struct clfcn_diverge_tensor *t, size_t at, bool *known,
                            double *value, struct clfcn_err *err);

#endif
