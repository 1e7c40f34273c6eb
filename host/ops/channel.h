/* channel.h - what poolings, batch norms, sums and parts of a batch make of one channel,
 * in float64: they treat each by itself. */
#ifndef CLFCN_OPS_CHANNEL_H
#define CLFCN_OPS_CHANNEL_H

#include "op.h"

/* What an op reads of a channel. */
struct clfcn_channel {
    const double *x, *x2, *dy; /* rows of x, x2 and y; NULL where the op has none */
    bool training;
    int part;               /* of the batch */
    double gamma, beta;     /* of a batch norm */
    double mean, var;       /* its running statistics, which training updates here */
    double d_gamma, d_beta; /* the backward pass of one leaves its gradients here */
};

/* Which floats of a channel an op makes: all, or of the parts of a batch one. */
struct clfcn_channel_span {
    size_t from, count;
    size_t source; /* of a part: where it lies in the channel that it comes from */
};

/* Whether op is of such a kind. */
bool clfcn_channel_knows(const struct clfcn_op *op);
struct clfcn_channel_span clfcn_channel_span(const struct clfcn_op *op, bool backward,
                                             int part);
/* A row of y, or, backward, of dx: what op makes of it is defined, the rest of the row
 * of a part is left as it is. */
void clfcn_channel_define(const struct clfcn_op *op, bool backward,
                          struct clfcn_channel *channel, double *want);

#endif
