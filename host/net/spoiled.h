/* spoiled.h - the first tensor of a training step that holds NaN or infinity. */
#ifndef CLFCN_NET_SPOILED_H
#define CLFCN_NET_SPOILED_H

#include "audit.h"

enum clfcn_spoiled_by {
    CLFCN_BY_PICTURE,  /* the batch had it */
    CLFCN_BY_WEIGHTS,  /* parameters or optimiser state had it before the step */
    CLFCN_BY_EXCHANGE, /* the ranks' gradients were finite, and their sum is not */
    CLFCN_BY_SIZE,     /* what is right there is beyond floats, or nearly */
    CLFCN_BY_DEVICE,   /* float64 makes a number of the same inputs */
    CLFCN_BY_UNKNOWN
};

struct clfcn_spoiled {
    bool found;
    int time; /* of the act on the tape that made it; CLFCN_TAP_UPLOAD: before the first
               */
    enum clfcn_spoiled_by by;
    char layer[32], tensor[80];
    const char *kind, *pass; /* static; NULL for weights that had it before */
    int ndim;
    int64_t dims[4], index[4]; /* of the first such element */
    float value;
    size_t count;     /* such elements */
    double reference; /* by the device: what float64 makes; NaN where that is not known */
    double largest_weight, largest_input; /* magnitudes that the pass reads; 0: none */
    char algorithm[CLFCN_CONV_NAME];
};

/* A step as by clfcn_net_step(), all tensors being looked at as they are made: uploads
 * and weights first, then in the order of the passes. When one is found, the step ends
 * there, or among several ranks goes on, as the others wait for its gradients; the
 * network is of no use any more. Slow: waits for the device each time. */
int clfcn_net_step_traced(struct clfcn_net *net, int slot,
                          const struct clfcn_net_hyper *hyper, struct clfcn_spoiled *out,
                          struct clfcn_err *err);

#endif
