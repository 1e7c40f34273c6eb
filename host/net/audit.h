/* audit.h - one pass of one layer of a training step, recomputed in float64.
 *
 * What a pass read and what it made are taken from the device right before and after it,
 * as its memory is soon used for something else, and the definition is evaluated on that:
 * everywhere in what is small, else in one image, in some channels, or at a few hundred
 * places, corners and edges among them. The step keeps its bits. */
#ifndef CLFCN_NET_AUDIT_H
#define CLFCN_NET_AUDIT_H

#include "../ops/conv.h"
#include "net.h"
#include "ran.h"

/* How a pass that was wrong did when it was run once more on the same inputs. */
enum clfcn_audit_again { CLFCN_AUDIT_NOT_REPEATED, CLFCN_AUDIT_RIGHT, CLFCN_AUDIT_WRONG };

struct clfcn_audit {
    char layer[32];
    const char *kind, *pass; /* "conv2d", "input gradient"; static */
    int part;                /* of the batch, where the layer takes it in parts */
    double ms;               /* the host took, the device being idle */
    size_t compared;         /* numbers in all tensors of the pass */
    /* The first wrong tensor of the pass, or the one that is farthest off. A distance is
     * taken in the 2-norm over the places that were compared, and relative to that of
     * what is summed there (the products' magnitudes), which rounding is in proportion
     * to. */
    char tensor[80];
    int ndim;
    int64_t dims[4];
    double apart, tolerance;
    bool wrong;
    /* The pass reads NaN or infinity; what is right is beyond floats, or nearly: what is
     * concerned was not compared. */
    bool not_finite, too_large;
    /* Of a wrong tensor the worst element. */
    int64_t index[4];
    float device;
    double reference;
    char algorithm[CLFCN_CONV_NAME]; /* "" where there is no choice */
    char kernels[CLFCN_RAN_TEXT];    /* of the repetition; "" without one */
    enum clfcn_audit_again again;
    float device_again;
};

/* A step as by clfcn_net_step() with one of its passes audited: the layer and the pass
 * are drawn from seed, hyper->update and this process's rank, each that the network has
 * with the same chance. Waits for the device. out says what was found; it is all zero if
 * nothing can be audited.
 *
 * @return CLFCN_ENUMERIC if the device computed wrongly and did so again, CLFCN_EWRONG if
 *         not again, both in the middle of the step, after which the network is of no use
 *         any more; CLFCN_ENOMEM; what clfcn_net_step() returns. */
int clfcn_net_step_audited(struct clfcn_net *net, int slot,
                           const struct clfcn_net_hyper *hyper, uint64_t seed,
                           struct clfcn_audit *out, struct clfcn_err *err);

/* "[255][0][4][4]" of ndim numbers; returns text. */
enum { CLFCN_INDEX_TEXT = 96 };
const char *clfcn_index_text(const int64_t *index, int ndim, char text[CLFCN_INDEX_TEXT]);

#endif
