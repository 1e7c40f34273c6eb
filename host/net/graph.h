/* graph.h - the network as ops in order of execution, joined by values. */
#ifndef CLFCN_NET_GRAPH_H
#define CLFCN_NET_GRAPH_H

#include "../ops/op.h"
#include <clfcn/net.h>

enum { CLFCN_MAX_OPS = 64 };

/* What one op hands to others. */
struct clfcn_value {
    struct clfcn_tensor tensor;   /* the activation */
    struct clfcn_tensor own_grad; /* its gradient, unless it shares another's */
    struct clfcn_tensor *grad;    /* own_grad or another value's; NULL: not wanted */
    int producer; /* index of the op; -1: the network's input, or never made */
    int consumers;
};

/* How a network that trains takes the batch: the first stages of its backbone part by
 * part, the rest, whose batch norm wants all of it, as a whole. Zero-initialised: all as
 * a whole. */
struct clfcn_parts {
    int count;  /* of parts, all of the same size */
    int stages; /* 1 .. 5 */
};

/* Values and ops have the same addresses for life: ops point at values. */
struct clfcn_graph {
    struct clfcn_op *ops[CLFCN_MAX_OPS];
    int op_count;
    struct clfcn_value values[CLFCN_MAX_OPS + 1]; /* [0] is the input */
    int value_count;
    int in[CLFCN_MAX_OPS], in2[CLFCN_MAX_OPS],
        out[CLFCN_MAX_OPS];     /* values of each op; -1 */
    bool active[CLFCN_MAX_OPS]; /* takes part in the backward pass */
    /* Runs of ops of which other segments read the last one's output only. */
    int segment[CLFCN_MAX_OPS];
    int segment_count; /* the builder raises it where a segment ends */
    int logits;        /* the last value */
    /* Ops 0 .. part_ops-1 are the first segment and run once for each part of the batch;
     * what others read of their outputs is joined by the last of them. */
    struct clfcn_parts parts;
    int part_ops; /* 0: all take the batch as a whole */
};

/* The sizes of the family: convolutions and channels of a backbone's five stages, and
 * channels of the decoder's. (fcn.c) */
extern const int clfcn_vgg_depth[][5];
extern const int clfcn_vgg_channels[5], clfcn_decoder_channels[5];

/* Build the ops of the network desc names, with shapes, parameters and, if env->training,
 * gradients linked. parts may be NULL: none. An env of zeros will do for who runs
 * nothing. graph is zero-initialised by the caller and, also after an error, finished
 * with clfcn_graph_finish(). (fcn.c) */
int clfcn_graph_build(struct clfcn_graph *graph, const struct clfcn_net_desc *desc,
                      bool freeze_backbone, const struct clfcn_parts *parts,
                      const struct clfcn_op_env *env, struct clfcn_err *err);
void clfcn_graph_finish(struct clfcn_graph *graph);

/* Append an op, owned by the graph from here on, also on error: its input and second
 * input (-1: none) are value indices; *out receives its output's. For inference the op
 * before it may absorb it, and that one's output is then not made: ops that also read it
 * must be appended earlier. */
int clfcn_graph_add(struct clfcn_graph *graph, struct clfcn_op *op, const char *name,
                    const char *prefix, int in, int in2, bool frozen,
                    const struct clfcn_op_env *env, int *out, struct clfcn_err *err);

/* Whether op i has parameters that are trained. */
bool clfcn_graph_learns(const struct clfcn_graph *graph, int i);

/* How often op i runs in a pass. */
int clfcn_graph_runs(const struct clfcn_graph *graph, int i);

/* Whether value v is of the whole batch. */
bool clfcn_graph_is_whole(const struct clfcn_graph *graph, int v);

/* Decide which ops run backward, who adds to a gradient, who masks it, who shares it. */
int clfcn_graph_link_gradients(struct clfcn_graph *graph, struct clfcn_err *err);

#endif
