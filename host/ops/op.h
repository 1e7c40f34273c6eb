/* op.h - a layer on the device: what every layer kind provides, and what it is given.
 *
 * The net creates an op, sets x (and x2), calls impl->infer(), gives memory to tensors
 * and parameters, calls impl->prepare(), builds the programs, then runs forward and
 * backward in order on the device's compute queue. Nothing here waits for the device, but
 * for what ranks must tell each other. */
#ifndef CLFCN_OPS_OP_H
#define CLFCN_OPS_OP_H

#include "../device/program.h"
#include <clfcn/net.h>

/* A float32 tensor [C][N][H][W]. The memory is the net's. */
struct clfcn_tensor {
    int c, n, h, w;
    cl_mem mem;
};

/* Elements of one channel row, N*H*W, and of the whole. */
size_t clfcn_tensor_row(const struct clfcn_tensor *t);
size_t clfcn_tensor_count(const struct clfcn_tensor *t);

/* How PyTorch initialises a parameter. */
enum clfcn_init {
    CLFCN_INIT_ZERO,
    CLFCN_INIT_ONE,
    CLFCN_INIT_NORMAL, /* mean 0, deviation init_scale */
    CLFCN_INIT_UNIFORM /* in [-init_scale, init_scale] */
};

/* A parameter, or a buffer that training updates without a gradient (running statistics).
 */
struct clfcn_param {
    const char *suffix; /* "weight": the full name is the op's prefix, a dot, this */
    int ndim;
    int64_t dims[4];
    size_t count;
    bool learned; /* has a gradient and is updated by the optimiser */
    enum clfcn_init init;
    double init_scale;
    cl_mem value;
    cl_mem grad; /* given by the net before it runs; NULL: frozen or not learned */
    cl_mem states[2]; /* the optimiser's, if it is updated by itself */
};

enum { CLFCN_OP_MAX_PARAMS = 4 };

/* What a layer with weights computes. */
enum clfcn_pass {
    CLFCN_PASS_FORWARD, /* y from x and the weights */
    CLFCN_PASS_INPUT,   /* the gradient of x from that of y and the weights */
    CLFCN_PASS_WEIGHT,  /* the gradient of the weights from x and the gradient of y */
    CLFCN_PASS_COUNT
};

struct clfcn_gemms;
struct clfcn_conv;
struct clfcn_conv_impl;
struct clfcn_conv_variant;
struct clfcn_choices;
struct clfcn_certificate;
struct clfcn_comm;

/* What an op may use while it prepares. */
struct clfcn_op_env {
    struct clfcn_dev *dev; /* NULL: shapes and parameters are all that is wanted */
    struct clfcn_programs *programs;
    struct clfcn_gemms *gemms;      /* the matrix products (gemm.h) */
    enum clfcn_gemm_kind gemm_kind; /* what the user asked for */
    size_t columns_limit;           /* bytes of im2col columns an op may ask for */
    size_t workspace_limit;         /* bytes that a convolution may ask for in all */
    bool training;
    /* A convolution's algorithm for each pass (conv.h) where it fits; NULL: choose. */
    const struct clfcn_conv_impl *conv[CLFCN_PASS_COUNT];
    const struct clfcn_conv_variant *conv_variant; /* of that; NULL: its own choice */
    const struct clfcn_choices *choices; /* what was measured (choice.h), or NULL */
    const struct clfcn_certificate *certificate; /* what is wrong here, or NULL */
};

/* What an op is given while it runs. Both buffers are shared by all ops: their content
 * lasts until the op returns. */
struct clfcn_op_run {
    struct clfcn_dev *dev;
    bool training;  /* batch norm uses the batch's statistics and updates the running ones
                     */
    int part;       /* of the batch, counted from 0: where ops take it in parts */
    cl_mem columns; /* at least the op's columns_bytes */
    cl_mem scratch; /* at least the op's scratch_bytes: GEMM packing, partial sums */
    /* The ranks that share the batch, each of which runs the same ops on its images;
     * NULL: one process has it all. What sums over a batch takes part in a round trip
     * then, for which the host waits (sync.h). */
    struct clfcn_comm *comm;
    bool sync_batchnorm; /* batch norm takes the statistics of all ranks' images */
};

struct clfcn_op;

/* One static const table per op_*.c file. All slots but the last five are required. */
struct clfcn_op_impl {
    const char *kind;
    bool backward_reads_x, backward_reads_y;
    bool masks_dx; /* can multiply dx by (x > 0), saving the op that made x a pass */
    bool adds_dx;  /* can add to dx */
    /* From x (and x2): shape of y, parameter shapes, FLOPs, columns_bytes and
     * scratch_bytes. */
    int (*infer)(struct clfcn_op *op, const struct clfcn_op_env *env,
                 struct clfcn_err *err);
    /* Ask env->programs for the kernels. */
    int (*prepare)(struct clfcn_op *op, const struct clfcn_op_env *env,
                   struct clfcn_err *err);
    int (*forward)(struct clfcn_op *op, const struct clfcn_op_run *run,
                   struct clfcn_err *err);
    /* From dy: parameter gradients, and dx where it is wanted. An op with relu set masks
     * dy in place; others leave it alone. */
    int (*backward)(struct clfcn_op *op, const struct clfcn_op_run *run,
                    struct clfcn_err *err);
    /* Frees what the kind allocated beside op; may be NULL. */
    void (*finish)(struct clfcn_op *op);
    /* The convolution of a pass (conv.h), NULL where there is none; the slot may be NULL.
     */
    struct clfcn_conv *(*conv)(const struct clfcn_op *op, enum clfcn_pass pass);
    /* For inference: make what depends on the parameters alone, in op->state. Runs before
     * the first forward pass, and again when parameters have changed. The slot may be
     * NULL.
     */
    int (*derive)(struct clfcn_op *op, const struct clfcn_op_run *run,
                  struct clfcn_err *err);
    /* For inference: whether op can do what next does with its output, which nobody else
     * reads. If so, its output becomes next's, whose forward pass is not run any more.
     * Both have inferred their shapes. The slot may be NULL. */
    bool (*absorb)(struct clfcn_op *op, const struct clfcn_op *next);
};

struct clfcn_op {
    const struct clfcn_op_impl *impl;
    char name[32];   /* "conv3_1": messages, profile */
    char prefix[48]; /* of the parameters' names: "pretrained_net.features.10" */
    const struct clfcn_tensor *x, *x2; /* inputs, borrowed; x2 NULL for most kinds */
    struct clfcn_tensor *y;            /* borrowed; infer sets its shape */
    /* Gradients, borrowed, of the shapes of x and y; NULL where not wanted. The gradient
     * of x2 is dy itself: x2 is only ever added to the output. */
    const struct clfcn_tensor *dx, *dy;
    bool relu;      /* y is the output of a ReLU */
    bool dx_add;    /* dx holds another consumer's share: add to it */
    bool mask_dx;   /* x is a ReLU's output: multiply dx by (x > 0) */
    bool dy_masked; /* the consumer of y did that for this op */
    struct clfcn_param params[CLFCN_OP_MAX_PARAMS];
    int param_count;
    size_t columns_bytes, scratch_bytes;
    size_t state_bytes; /* memory that lasts from forward to backward, or from derive */
    cl_mem state;       /* given by the net; NULL if state_bytes is 0 */
    bool absorbed;      /* the op that makes x does this one's work */
    bool frozen;        /* its parameters are not trained */
    double forward_flop, backward_flop;
};

/* 2-D convolution, stride 1, odd kernel, padding (kernel-1)/2, bias, optional ReLU.
 * Parameters: weight [Cout][Cin][k][k], bias [Cout]. */
int clfcn_conv2d_create(int out_channels, int kernel, bool relu, struct clfcn_op **out,
                        struct clfcn_err *err);
/* Transposed convolution 3x3, stride 2, padding 1, output padding 1 (the output has twice
 * the sides), bias, ReLU. Parameters: weight [Cin][Cout][3][3], bias [Cout]. */
int clfcn_deconv2d_create(int out_channels, struct clfcn_op **out, struct clfcn_err *err);
/* Max pooling 2x2, stride 2; an odd last row or column is dropped. */
int clfcn_maxpool_create(struct clfcn_op **out, struct clfcn_err *err);
#define CLFCN_BATCHNORM_EPS 1e-5f
/* Batch normalisation over N*H*W; if x2 is set, y = bn(x) + x2. Momentum 0.1.
 * Parameters: weight, bias, running_mean, running_var, all [C]. */
int clfcn_batchnorm_create(struct clfcn_op **out, struct clfcn_err *err);
/* y = x + x2. */
int clfcn_add_create(struct clfcn_op **out, struct clfcn_err *err);
/* One part of a batch, of so many images, out of the whole (x), and back into a whole (y)
 * of so many: run->part says which. Each part's gradient is that part of the whole's. */
int clfcn_split_create(int images, struct clfcn_op **out, struct clfcn_err *err);
int clfcn_join_create(int images, struct clfcn_op **out, struct clfcn_err *err);

/* Set the name and the parameters' prefix (NULL: none). */
void clfcn_op_set_name(struct clfcn_op *op, const char *name, const char *prefix);
/* Free *op and set it to NULL. Takes a pointer to NULL. */
void clfcn_op_destroy(struct clfcn_op **op);

#endif
