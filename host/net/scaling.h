/* scaling.h - what a training step takes on several ranks, each with a share of the batch
 * on a device of its own: on paper, before there are any.
 *
 * Computing is what one rank's share takes alone. Gradients are summed over all ranks by
 * reduce-scatter and all-gather, in which each of K ranks sends 2 (K-1) messages and
 * 2 (K-1)/K of the vector (Thakur, Rabenseifner, Gropp, 2005, section 4.5), the least
 * that any algorithm can do with (Patarasu, Yuan, 2009). A vector of n bytes so takes
 *
 *     2 (K-1) latency + 2 (K-1)/K n / bandwidth + 2 n / copies
 *
 * where the last term brings it from the device to the host and back. The backward pass
 * makes gradients layer by layer. They go in buckets (exchange.h); a bucket begins when
 * the last of its layers is done and the bucket before has left the link, and the update
 * waits for the last bucket. What so happens during the backward pass is hidden.
 *
 * Synchronised batch norm waits, once in each pass of each such layer, until three (in
 * the forward pass) or two numbers a channel, in double precision, have come from every
 * other rank: (K-1) (latency + 24 or 16 channels / bandwidth).
 *
 * Not in the model: that several buckets are copied and sent at a time, ranks that differ
 * or disturb each other, links that cross, what the exchange takes from a device that
 * computes on the host's cores. */
#ifndef CLFCN_NET_SCALING_H
#define CLFCN_NET_SCALING_H

#include "../comm/allreduce.h"
#include "exchange.h"
#include "net.h"

enum { CLFCN_STEP_LAYERS = 64 /* at least CLFCN_MAX_OPS */ };

/* A piece of the backward pass. */
struct clfcn_step_layer {
    double ms;
    double bytes;      /* of gradients, as floats, that are complete after it */
    int norm_channels; /* of a batch norm; 0: it is none */
};

/* A training step of one rank alone, by its parts. */
struct clfcn_step_times {
    double forward_ms; /* up to the gradient of the logits */
    struct clfcn_step_layer layers[CLFCN_STEP_LAYERS]; /* in order of the backward pass */
    int layer_count;
    bool each; /* a layer's gradients wait for no other's: a bucket each */
    double rest_ms; /* update, and what it takes to keep to a limit of memory */
};

/* The parts of a step that a network would make, by the estimate that
 * clfcn_net_forecast() gives the sum of, and the memory that it would take; memory may be
 * NULL. CLFCN_EDEVMEM as there. (estimate.c) */
int clfcn_step_times_forecast(struct clfcn_dev *dev, const struct clfcn_net_desc *desc,
                              const struct clfcn_net_options *options,
                              struct clfcn_step_times *out,
                              struct clfcn_net_memory *memory, struct clfcn_err *err);

/* Milliseconds of the backward pass, and of the whole step. */
double clfcn_step_backward_ms(const struct clfcn_step_times *t);
double clfcn_step_ms(const struct clfcn_step_times *t);
/* Bytes of all gradients. */
double clfcn_step_bytes(const struct clfcn_step_times *t);

/* By what a measurement differs from the estimate. */
struct clfcn_step_factors {
    double forward, backward, rest;
};
/* So that an estimate becomes a step that was measured to take ms, of which its forward
 * and backward pass share backward_share the latter; NaN: as estimated. */
struct clfcn_step_factors clfcn_step_compare(const struct clfcn_step_times *estimate,
                                             double ms, double backward_share);
void clfcn_step_multiply(struct clfcn_step_times *t, const struct clfcn_step_factors *f);

/* How ranks are joined. */
struct clfcn_link {
    double bytes_per_s;      /* that a rank sends while it receives as many */
    double latency_s;        /* of a message, with what the software adds */
    double copy_bytes_per_s; /* between device and host memory */
    enum clfcn_wire wire;
    bool sync_norm;
};

/* A step of a job of several ranks. */
struct clfcn_scaled_step {
    double compute_ms; /* of the share, alone */
    double norm_ms;    /* waiting for batch norms' sums */
    double exchange_ms; /* of gradients: the sum of the next three, */
    double latency_ms, link_ms, copy_ms;
    double hidden_ms; /* and what of it happens during the backward pass */
    double step_ms;   /* compute, norms, and of the exchange what is not hidden */
    int buckets;
    double bytes; /* of all gradients, as floats */
};

/* share: what a rank's share of the batch takes alone, for the largest of them. */
void clfcn_scale_step(const struct clfcn_step_times *share, const struct clfcn_link *link,
                      int ranks, struct clfcn_scaled_step *out);

/* What keeps a step from taking ideal_ms, the share's part of what the whole takes
 * alone. */
enum clfcn_scaling_limit {
    CLFCN_LIMIT_SHARE, /* small or uneven shares, and what does not get less with them */
    CLFCN_LIMIT_LATENCY,
    CLFCN_LIMIT_BANDWIDTH,
    CLFCN_LIMIT_COPY,
    CLFCN_LIMIT_NORM
};
/* That which costs most. What is hidden costs nothing, and is each part's alike. */
enum clfcn_scaling_limit clfcn_scaling_limit(const struct clfcn_scaled_step *step,
                                             double ideal_ms);

#endif
