/* net_impl.h - the parts of a network, shared by the files that build, fill and run it.
 */
#ifndef CLFCN_NET_IMPL_H
#define CLFCN_NET_IMPL_H

#include "../device/buffer.h"
#include "../ops/accumulate.h"
#include "../ops/certificate.h"
#include "../ops/choice.h"
#include "../ops/clip.h"
#include "../ops/gemm.h"
#include "../ops/loss.h"
#include "../ops/optim.h"
#include "../util/log.h"
#include "exchange.h"
#include "graph.h"
#include "net.h"
#include "plan.h"
#include "tape.h"

/* All parameters lie in a row, so that an update is one kernel: first what is trained,
 * then what is frozen, then running statistics. Gradients and optimiser state mirror the
 * first part. What thrift keeps in host memory has no buffer, only times on the device
 * (plan.h); values then holds the statistics alone. */
struct clfcn_params {
    cl_mem values, grads, states[2];
    unsigned char *host_values,
        *host_states[2]; /* of learned_end and trained_end bytes */
    size_t offsets[CLFCN_MAX_OPS][CLFCN_OP_MAX_PARAMS]; /* bytes */
    size_t trained_end, learned_end, end;               /* of the parts */
    size_t values_bytes, grads_bytes, states_bytes;     /* of each buffer; 0: none */
    int state_count; /* of the optimiser, 0 for inference */
};

/* Where a named tensor is. */
enum clfcn_tensor_place { CLFCN_IN_VALUES, CLFCN_IN_STATE, CLFCN_ON_HOST };

struct clfcn_tensor_entry {
    char name[80];
    enum clfcn_tensor_place place;
    const struct clfcn_param *param; /* NULL on the host: num_batches_tracked */
    size_t offset;                   /* bytes within its buffer */
    int state;                       /* which optimiser state */
};

enum { CLFCN_MAX_TENSORS = CLFCN_MAX_OPS * (CLFCN_OP_MAX_PARAMS * 3 + 1) };

/* What a step leaves on the device, as floats. */
enum clfcn_step_result {
    CLFCN_STEP_LOSS,
    CLFCN_STEP_NORM,   /* of the gradients before they are clipped, */
    CLFCN_STEP_FACTOR, /* and by what they are */
    CLFCN_STEP_RESULTS
};

/* One batch on its way. */
struct clfcn_slot {
    cl_mem images, labels;
    cl_mem shared_images, shared_labels; /* the host's own memory, in place of those */
    struct clfcn_net_input input; /* where the host has it, which keeps it until it waits */
    bool has_labels;
    double own_terms, terms; /* of its loss, here and in all ranks: what divides it */
    cl_event uploaded, done; /* NULL when there is nothing to wait for */
    bool stepped;            /* done is a step's, whose results are in result */
    float result[CLFCN_STEP_FACTOR]; /* read back here */
};

/* What the profiled steps took on the device. */
struct clfcn_net_times {
    int steps;
    double pass_s[CLFCN_MAX_OPS][CLFCN_PASS_COUNT]; /* sums over the steps */
    double rest_s[CLFCN_MAX_OPS];
    double gap_s, span_s; /* the compute queue idle, and from first to last command */
    double first, last;   /* of the step under way; last 0: nothing has begun */
};

/* Looks at what a training step does, act by act: between two calls of it the act alone
 * is enqueued. An error ends the step. */
enum { CLFCN_TAP_UPLOAD = -1 };
struct clfcn_net_tap {
    struct clfcn_net *net;
    int slot;
    const struct clfcn_net_hyper *hyper;
    int (*before)(struct clfcn_net_tap *tap, int time, struct clfcn_err *err);
    /* time may be CLFCN_TAP_UPLOAD: the batch is there, no act was done. */
    int (*after)(struct clfcn_net_tap *tap, int time, struct clfcn_err *err);
};

struct clfcn_net {
    struct clfcn_dev *dev; /* borrowed */
    struct clfcn_net_desc desc;
    struct clfcn_net_options options;
    struct clfcn_programs *programs;
    struct clfcn_choices stored; /* of the device, unless options.choices are given */
    struct clfcn_certificate certificate; /* of the device */
    struct clfcn_gemms gemms;
    struct clfcn_graph graph;
    struct clfcn_thrift thrift;
    double usual_ms; /* of a run without the limit of memory that it keeps to; 0: none */
    struct clfcn_tape tape;
    struct clfcn_plan plan;
    struct clfcn_params params;
    struct clfcn_loss_op loss;
    struct clfcn_optim optim;
    struct clfcn_accumulate accumulate;
    struct clfcn_clip clip;
    struct clfcn_net_memory memory;
    size_t columns_bytes, scratch_bytes, state_bytes;
    cl_mem slabs[CLFCN_MAX_SLABS];
    cl_mem columns, scratch, state;
    cl_mem results; /* float [slots][CLFCN_STEP_RESULTS] */
    int part; /* of the batch: where the ops are that take it in parts */
    cl_mem part_grads[CLFCN_OP_MAX_PARAMS]; /* of an op for one part after the first */
    struct clfcn_slot slots[CLFCN_NET_SLOTS];
    bool derived; /* for inference: what ops derive from the parameters as they are */
    int64_t batches_tracked; /* of every batch norm: they all see every batch */
    struct clfcn_tensor_entry tensors[CLFCN_MAX_TENSORS];
    int tensor_count, parameter_tensor_count; /* with and without optimiser state */
    struct clfcn_net_times times;
    struct clfcn_exchange *exchange; /* NULL: there are no other ranks */
    struct clfcn_net_tap *tap;       /* borrowed for a step; NULL: none */
};

/* Bytes that every tensor's place in a shared buffer is a multiple of: what the device
 * demands of sub-buffers, and whole vectors of the widest kernels. */
size_t clfcn_net_align(const struct clfcn_dev *dev);

/* A network of which all is known, but nothing allocated or compiled: memory planned
 * without thrift. parts may be NULL; level: of the message if the device's tuning is of
 * no use. Also after an error *out is for clfcn_net_destroy(). (net.c) */
int clfcn_net_plan(struct clfcn_dev *dev, const struct clfcn_net_desc *desc,
                   const struct clfcn_net_options *options,
                   const struct clfcn_parts *parts, enum clfcn_log_level level,
                   struct clfcn_net **out, struct clfcn_err *err);

/* What options and the device make of an env; no programs, no gemm, no choices. (net.c)
 */
struct clfcn_op_env clfcn_net_env(struct clfcn_dev *dev,
                                  const struct clfcn_net_options *options);

/* Place every parameter and name every tensor; sizes only. (params.c) */
int clfcn_params_plan(struct clfcn_net *net, struct clfcn_err *err);
/* Allocate, and give each param its views. Optimiser states and whatever is no parameter
 * are zero; weights and gradients are undefined. */
int clfcn_params_allocate(struct clfcn_net *net, struct clfcn_err *err);
int clfcn_params_zero_states(struct clfcn_net *net, struct clfcn_err *err);
void clfcn_params_release(struct clfcn_net *net);

/* Bytes of a parameter with the gap behind it. */
size_t clfcn_params_room(const struct clfcn_net *net, const struct clfcn_param *p);

/* Let the host write all parameters, once what was enqueued is done: *learned is where
 * those lie, *statistics the rest. */
int clfcn_params_map(struct clfcn_net *net, unsigned char **learned,
                     unsigned char **statistics, void **mapped, struct clfcn_err *err);

/* Scratch bytes that clipping the gradients takes; 0 if they are not to be. (memory.c) */
size_t clfcn_net_clip_scratch(const struct clfcn_net *net);

/* Plan the memory of a network whose ops and parameters are known, with its thrift. If
 * that takes enough bytes at least, they are what net->memory.total is left to say, and
 * nothing is laid out. (memory.c) */
int clfcn_net_lay_out(struct clfcn_net *net, size_t enough, struct clfcn_err *err);
/* Allocate what was planned, but for parameters that have buffers of their own, and give
 * everything its window on it. */
int clfcn_memory_allocate(struct clfcn_net *net, struct clfcn_err *err);
void clfcn_memory_release(struct clfcn_net *net);
/* Before an act: give what begins to live its memory and, if it comes from the host, its
 * content. After it: take that back to the host where it changed. Neither waits. */
int clfcn_memory_begin(struct clfcn_net *net, int time, struct clfcn_err *err);
int clfcn_memory_end(struct clfcn_net *net, int time, struct clfcn_err *err);

/* The parts of a training step, in this order; none waits for the device. (step.c)
 *
 * Make the compute queue wait for the slot's upload, and the slot's images the network's
 * input. */
int clfcn_net_enter(struct clfcn_net *net, int slot, struct clfcn_err *err);
/* Run op i forward. */
int clfcn_net_op_forward(struct clfcn_net *net, int i, bool training,
                         struct clfcn_err *err);
/* The loss of the slot's labels into results, and the gradient of the logits. */
int clfcn_net_loss(struct clfcn_net *net, int slot, struct clfcn_err *err);
/* Run op i backward, if it is active. */
int clfcn_net_op_backward(struct clfcn_net *net, int i, struct clfcn_err *err);
/* Update op i's parameters, or, i being -1, all, whose gradients are clipped first if the
 * network is to: the norm goes to the slot's results. */
int clfcn_net_update(struct clfcn_net *net, int i, int slot,
                     const struct clfcn_net_hyper *hyper, struct clfcn_err *err);
/* Clip all gradients, once they are known; the norm goes to the slot's results. */
int clfcn_net_clip(struct clfcn_net *net, int slot, struct clfcn_err *err);
/* The act at a time of the tape; hyper is NULL for inference. */
int clfcn_net_act(struct clfcn_net *net, int time, int slot,
                  const struct clfcn_net_hyper *hyper, struct clfcn_err *err);

#endif
