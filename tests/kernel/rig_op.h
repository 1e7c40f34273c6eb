/* rig_op.h - one layer on the rig, every buffer just as large as the layer asked for. */
#ifndef CLFCN_TESTS_RIG_OP_H
#define CLFCN_TESTS_RIG_OP_H

#include "../../host/ops/gemm.h"
#include "rig.h"
#include <clfcn/net.h>

/* How a layer is used. Zero-initialised: plain training. */
struct rig_use {
    bool inference; /* statistics of batch norm as stored; no backward */
    bool pooled;    /* a pooling follows, to be absorbed: then y is what that makes */
    bool normed;    /* likewise a batch norm */
    bool with_skip; /* which adds something to its result */
    bool with_x2;   /* a second input of x's shape */
    bool no_dx;     /* the gradient of x is not wanted */
    bool frozen;    /* nor are those of the parameters; convolutions only */
    bool dx_add;    /* dx holds another consumer's share; convolutions only */
    bool mask_dx;   /* x is a ReLU's output */
    bool dy_masked; /* the consumer multiplied dy by (y > 0) */
    int part;       /* of the batch, for an op that takes it in parts */
    struct clfcn_comm *comm;            /* as in struct clfcn_op_run */
    bool sync_batchnorm;                /* likewise */
    size_t columns_limit;               /* bytes; 0: plenty */
    enum clfcn_gemm_kind gemm;          /* AUTO: the native one, which starts fast */
    const struct clfcn_conv_impl *conv; /* for every pass it can do; NULL: the default */
    const struct clfcn_conv_variant *variant; /* of conv */
};

struct rig_op {
    struct rig *rig;
    struct rig_use use;
    struct clfcn_op *op;
    struct clfcn_programs *programs;
    struct clfcn_gemms gemms;
    struct clfcn_tensor tx, tx2, ty, tdx, tdy;
    struct vec x, x2, y, dy, dx;
    struct vec value[CLFCN_OP_MAX_PARAMS], grad[CLFCN_OP_MAX_PARAMS];
    struct vec columns, scratch, state;
    struct rig_norm {
        struct clfcn_op *op;
        struct clfcn_tensor tskip;
        struct vec value[CLFCN_OP_MAX_PARAMS], skip, state;
    } norm;        /* of normed */
    bool absorbed; /* the pooling or batch norm was */
};

/* Take op over, infer for an input [c][n][h][w], allocate and build. Then the caller
 * fills the host copies of x, x2 and value[], calls rig_op_forward(), fills dy (and dx
 * with dx_add) and calls rig_op_backward(). */
void rig_op_open(struct rig_op *t, struct rig *rig, struct clfcn_op *op, int c, int n,
                 int h, int w, const struct rig_use *use);
void rig_op_close(struct rig_op *t);

/* Whether this algorithm computes one of the op's passes: one that does not fit has been
 * replaced by the default. */
bool rig_op_uses(const struct rig_op *t, const struct clfcn_conv_impl *impl);

/* Normal values in everything an op reads before forward; x is cut at 0 with mask_dx. */
void rig_op_fill(struct rig_op *t);

/* Upload, run, read back y and the parameters (batch norm updates some), check every
 * guard. */
void rig_op_forward(struct rig_op *t);
/* Upload, run, read back dx and the gradients; check every guard. What the layer says its
 * backward does not read is NaN by then. */
void rig_op_backward(struct rig_op *t);

/* Fill, run forward and backward twice, and assert that all results have the same bits.
 */
void rig_op_check_repeats(struct rig_op *t);

/* Compare dx with want, to which what dx_add and mask_dx ask for is applied first; share
 * is what dx held before, NULL without dx_add. */
void rig_op_check_dx(struct rig_op *t, double *want, const double *share,
                     struct tolerance tolerance);

#endif
