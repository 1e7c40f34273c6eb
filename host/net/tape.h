/* tape.h - what a network does from an input to its end, act by act: the order in which
 * memory lives and commands are enqueued. */
#ifndef CLFCN_NET_TAPE_H
#define CLFCN_NET_TAPE_H

#include "graph.h"

enum clfcn_act_kind {
    CLFCN_ACT_FORWARD,  /* of an op; again, to make an activation that was given up */
    CLFCN_ACT_LOSS,     /* and its gradient */
    CLFCN_ACT_BACKWARD, /* of an op */
    CLFCN_ACT_UPDATE    /* of an op's parameters, or, op being -1, of all */
};

struct clfcn_act {
    enum clfcn_act_kind kind;
    int op;
};

/* An act's index is its time. Every tape begins with the forward pass of all ops that are
 * not absorbed. */
enum { CLFCN_MAX_ACTS = 4 * CLFCN_MAX_OPS + 2 };

/* Acts begin .. end-1, which are all done for one part of the batch and then for the
 * next; empty where there are no parts. */
struct clfcn_loop {
    int begin, end;
};

struct clfcn_tape {
    struct clfcn_act acts[CLFCN_MAX_ACTS];
    int count, forward_count;
    struct clfcn_loop forward_parts, backward_parts;
};

/* What shares one memory, or leaves it for the host's: each level with all that is
 * before it, in the order of what they cost. */
enum clfcn_level {
    CLFCN_APART,           /* activations with each other, as anyway */
    CLFCN_SHARE_WORKSPACE, /* the workspace of each act with what is not alive then */
    /* An op's parameters are updated right after its backward pass, and their gradients
     * live in between. */
    CLFCN_UPDATE_EACH,
    CLFCN_HOST_STATES,  /* optimiser state comes from host memory for an op's update */
    CLFCN_HOST_WEIGHTS, /* and its parameters for every act of it */
};

/* How a training step saves memory. Zero-initialised: not at all. */
struct clfcn_thrift {
    enum clfcn_level level;
    /* Bit s: the activations within segment s of the graph are given up after the forward
     * pass, and made again when the backward pass comes to them. Same bits: the last op
     * of a segment, which alone may have statistics to update, is not run again. Parts of
     * the batch always do so, whatever their segment's bit. */
    unsigned again;
};

void clfcn_tape_for_inference(struct clfcn_tape *tape, const struct clfcn_graph *graph);
void clfcn_tape_for_training(struct clfcn_tape *tape, const struct clfcn_graph *graph,
                             const struct clfcn_thrift *thrift);

/* The loop that an act is in, or NULL. */
const struct clfcn_loop *clfcn_tape_loop(const struct clfcn_tape *tape, int time);

/* Whether an act reads the activation of value v. */
bool clfcn_act_reads(const struct clfcn_act *act, const struct clfcn_graph *graph, int v);

#endif
