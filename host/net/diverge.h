/* diverge.h - the same training steps on two devices, every tensor compared.
 *
 * Rounding alone makes training chaotic: once a ReLU or a pooling decides differently, a
 * whole gradient moves by 1e-3 to 1e-2, and nothing that comes later can be blamed on a
 * layer. So after each pass of each layer what it made on device A also takes the place
 * of what it made on B: every difference is then of that pass alone, and may be held to a
 * tight tolerance. Left free instead, both run on by themselves. */
#ifndef CLFCN_NET_DIVERGE_H
#define CLFCN_NET_DIVERGE_H

#include "../ops/conv.h"
#include "difference.h"
#include "net.h"
#include "ran.h"

struct clfcn_diverge_how {
    int steps;        /* >= 1 */
    uint64_t seed;    /* of the weights and of the batches */
    double tolerance; /* of the relative 2-norm */
    bool free_running;
    const volatile bool *stop; /* may be NULL */
    /* Before a pass of a layer in a step that counts from 1; may be NULL. */
    void (*progress)(void *user, int step, const char *layer, const char *pass);
    void *user;
};

/* A tensor that a pass makes, once a step. */
struct clfcn_diverge_row {
    const char *kind, *pass; /* "conv2d", "input gradient"; static */
    char layer[32];          /* "conv3_1" */
    char tensor[80];         /* "output", "running_mean", "deconv1.weight" */
    int ndim;
    int64_t dims[4];
    char algorithm[2][CLFCN_CONV_NAME]; /* on A and B; "" where there is no choice */
    double tolerance;
    int beyond; /* steps in which the difference was beyond it */
    struct clfcn_difference worst;
    int worst_step;
};

enum {
    /* One wrong element of a million hardly moves the norm: unless running free, an
     * element may also be off by this many times the tolerance, of its size and the root
     * mean square of all. Rounding was seen to reach 4e-5. */
    CLFCN_DIVERGE_FAR = 100
};

/* The first difference beyond tolerance. */
struct clfcn_diverge_first {
    int step; /* from 1; 0: before the first */
    int row;
    struct clfcn_difference difference;
    int64_t index[4];   /* of its worst element, in dims of the row */
    bool has_reference; /* what belongs there, in float64, from A's inputs */
    double reference;
    char kernels[2][CLFCN_RAN_TEXT]; /* that ran in the pass on A and B: "a, b" */
};

/* A step as a whole. */
struct clfcn_diverge_step {
    double loss[2];
    double gradient[2];                   /* 2-norms of the gradients of all parameters */
    double gradient_apart, weights_apart; /* relative 2-norms of their differences */
};

/* Zero-initialised is empty. Free with clfcn_diverge_free() in every case. */
struct clfcn_diverge {
    struct clfcn_diverge_row *rows; /* in the order in which they were made first */
    int row_count;
    bool found; /* then first says what */
    struct clfcn_diverge_first first;
    struct clfcn_diverge_step *steps; /* [how.steps], of which steps_done are known */
    int steps_done;
};

/* Train on dev[0], which is A, and on dev[1], B, which may be the same device opened
 * twice. options.training must be set. A difference is no error; CLFCN_EINTR if stopped,
 * CLFCN_ENUMERIC if a loss is not finite on either device. What was compared by then is
 * in out, also after an error. */
int clfcn_diverge_run(struct clfcn_dev *const dev[2], const struct clfcn_net_desc *desc,
                      const struct clfcn_net_options *options,
                      const struct clfcn_diverge_how *how, struct clfcn_diverge *out,
                      struct clfcn_err *err);
void clfcn_diverge_free(struct clfcn_diverge *diverge);

#endif
