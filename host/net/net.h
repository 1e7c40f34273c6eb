/* net.h - the scheduler's side of a network: parameters, accounts, checks. */
#ifndef CLFCN_NET_INTERNAL_H
#define CLFCN_NET_INTERNAL_H

#include "../ops/op.h"
#include "safetensors.h"
#include <clfcn/net.h>
#include <jansson.h>

/* The norm of all gradients, before they were clipped, of the last step that was waited
 * for on slot; only with options.clip_norm. */
float clfcn_net_gradient_norm(const struct clfcn_net *net, int slot);

/* What steps spent on exchanging gradients with other ranks. */
struct clfcn_exchange_time {
    double busy_s;    /* while some of them were on their way */
    double exposed_s; /* of that, after the backward pass, while nothing else was done */
};
/* Add what they did since the last call of this to *out. */
void clfcn_net_take_exchange(struct clfcn_net *net, struct clfcn_exchange_time *out);

/* A named tensor of the network on the host side of things. */
struct clfcn_net_tensor {
    const char *name;       /* "deconv1.weight", "optim.momentum.deconv1.weight" */
    enum clfcn_dtype dtype; /* F32, or I64 for num_batches_tracked */
    int ndim;
    int64_t dims[4];
    size_t bytes;
};
/* Parameters and buffers in PyTorch's state_dict order; with optimizer_state, then the
 * optimiser's tensors under optim.*. Count, then each by index. */
int clfcn_net_tensor_count(const struct clfcn_net *net, bool optimizer_state);
void clfcn_net_tensor_info(const struct clfcn_net *net, int i,
                           struct clfcn_net_tensor *info);
/* Blocking copies between host and tensor i; data has info.bytes bytes. */
int clfcn_net_tensor_read(struct clfcn_net *net, int i, void *data,
                          struct clfcn_err *err);
int clfcn_net_tensor_write(struct clfcn_net *net, int i, const void *data,
                           struct clfcn_err *err);
/* The gradient of parameter i after a step (tests and diagnosis). CLFCN_EINVAL if it has
 * none. */
int clfcn_net_gradient_read(struct clfcn_net *net, int i, float *data,
                            struct clfcn_err *err);

/* Declare and write all tensors, or load them: shared by clfcn_net_save() and
 * checkpoints. metadata as for clfcn_st_writer_begin(). What was written is the file once
 * the caller, whose *out is, commits it: from any thread, and whatever the network does
 * meanwhile. */
int clfcn_net_write_file(struct clfcn_net *net, const char *path, bool optimizer_state,
                         const char *metadata, struct clfcn_st_writer **out,
                         struct clfcn_err *err);
/* with optimizer_state, its tensors must be there too. name stands for the file in
 * messages. */
int clfcn_net_read_file(struct clfcn_net *net, const struct clfcn_weights_file *f,
                        const char *name, bool optimizer_state, struct clfcn_err *err);

/* What a net will take, known before anything is allocated. */
struct clfcn_net_memory {
    size_t weights, gradients, optimizer, activations, workspace, io;
    size_t total;          /* peak device bytes */
    size_t host;           /* optimiser state that lies in host memory instead */
    size_t largest_buffer; /* largest single buffer */
};

/* What can be said of a net without a device buffer being made. */
struct clfcn_net_forecast {
    struct clfcn_net_memory memory; /* more than options.mem_bytes: it cannot fit */
    double flop;     /* direct arithmetic of a training step or an inference */
    double ms;       /* that it takes, by clfcn_estimate_run(), */
    bool measured;   /* and whether by tuning alone */
    double usual_ms; /* the same without mem_bytes */
    char *thrift;    /* what is done to fit, in words; NULL: nothing had to be */
};
/* Free out->thrift with free(). */
void clfcn_net_get_forecast(const struct clfcn_net *net, struct clfcn_net_forecast *out);
/* Likewise, of a network that is not made. CLFCN_EDEVMEM if an activation alone is larger
 * than the device's largest buffer. */
int clfcn_net_forecast(struct clfcn_dev *dev, const struct clfcn_net_desc *desc,
                       const struct clfcn_net_options *options,
                       struct clfcn_net_forecast *out, struct clfcn_err *err);
void clfcn_net_get_memory(const struct clfcn_net *net, struct clfcn_net_memory *out);

/* One pass of a layer. */
struct clfcn_net_pass {
    const char *algorithm; /* "im2col+native"; NULL: there is nothing to choose */
    double flop;           /* of one batch, direct arithmetic */
    double own_flop;       /* of the products that the algorithm really computes */
    double bytes;          /* what it must at least read and write */
    double ms;             /* on the device, mean of the profiled steps; < 0: none was */
};

/* Per layer: what `bench` lists. */
struct clfcn_net_layer {
    const char *name, *kind; /* "conv1_1", "conv2d" */
    struct clfcn_net_pass pass[CLFCN_PASS_COUNT];
    double rest_ms; /* of the backward pass besides the gradients of input and weights;
                       all of it in layers without weights */
    double backward_flop, backward_ms; /* of the whole backward pass */
};
int clfcn_net_layer_count(const struct clfcn_net *net);
void clfcn_net_layer_get(const struct clfcn_net *net, int i, struct clfcn_net_layer *out);
/* Whether the network runs this pass of a layer; only those with weights have more than
 * the forward one. */
bool clfcn_net_has_pass(const struct clfcn_net *net, int layer, enum clfcn_pass pass);
/* A pass held against its definition in float64. */
struct clfcn_net_verdict {
    bool checked; /* false: there is nothing to check, or it was not done */
    bool correct;
    double error; /* relative, in the 2-norm over samples; NaN: not finite */
    double ms;    /* of the whole batch, by the host's clock */
};
/* Run a pass of a layer on random data of its shape, with the network's workspace
 * (ops/verify.h); of a layer without weights, CLFCN_PASS_INPUT is its whole backward
 * pass. The network must be idle; its tensors and weights stay as they are. CLFCN_EDEVMEM
 * or CLFCN_ENOMEM where there is no memory for the data; CLFCN_ECL. */
int clfcn_net_verify(struct clfcn_net *net, int layer, enum clfcn_pass pass,
                     struct clfcn_net_verdict *out, struct clfcn_err *err);
/* One training step whose kernels' times are added to the layers'; waits for it.
 * Profiling must be on (device/prof.h), the slot's batch uploaded. Changes the weights as
 * a step does. */
int clfcn_net_profile(struct clfcn_net *net, int slot,
                      const struct clfcn_net_hyper *hyper, struct clfcn_err *err);
/* Steps whose times were kept: the first is not where the device's own times are wrong,
 * and the host's clock takes over. */
int clfcn_net_profiled(const struct clfcn_net *net);
/* The share of the profiled steps, from a step's first command on the compute queue to
 * its last, in which that queue had nothing to do: what launching kernels costs. NaN
 * without a profiled step. */
double clfcn_net_launch_share(const struct clfcn_net *net);

/* Whether measured choices of algorithms were there when it was built. */
bool clfcn_net_is_tuned(const struct clfcn_net *net);
/* What its algorithms were chosen by, for clfcn_choices_from_json(). A new reference, or
 * NULL if memory is exhausted. */
json_t *clfcn_net_tuning_to_json(const struct clfcn_net *net);

/* Parse an enumerator's name; CLFCN_EINVAL lists the names there are. */
int clfcn_arch_parse(const char *s, enum clfcn_arch *out, struct clfcn_err *err);
int clfcn_backbone_parse(const char *s, enum clfcn_backbone *out, struct clfcn_err *err);
int clfcn_loss_parse(const char *s, enum clfcn_loss *out, struct clfcn_err *err);
int clfcn_optimizer_parse(const char *s, enum clfcn_optimizer *out,
                          struct clfcn_err *err);
int clfcn_gemm_parse(const char *s, enum clfcn_gemm_kind *out, struct clfcn_err *err);
/* Whether ranks synchronise batch norm of which none has fewer images than so many. */
bool clfcn_sync_bn_wanted(enum clfcn_sync_bn sync, int images);
int clfcn_sync_bn_parse(const char *s, enum clfcn_sync_bn *out, struct clfcn_err *err);
int clfcn_wire_parse(const char *s, enum clfcn_wire *out, struct clfcn_err *err);

/* Check a description: sides multiples of 32, classes, batch. CLFCN_EINVAL says the
 * nearest sizes that would do. */
int clfcn_net_check_desc(const struct clfcn_net_desc *desc, struct clfcn_err *err);

#endif
