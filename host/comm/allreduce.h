/* allreduce.h - sums of long vectors over all ranks, while this one does other things.
 *
 * Each rank receives its part of the vector from all others, sums it in the order of the
 * ranks in double precision, and sends the sums to all (reduce-scatter and all-gather:
 * Thakur, Rabenseifner, Gropp, 2005, section 4.5): each sends and receives 2 (K-1)/K of
 * the vector, the least there can be, and every rank ends with the same bits. */
#ifndef CLFCN_COMM_ALLREDUCE_H
#define CLFCN_COMM_ALLREDUCE_H

#include "comm.h"

/* One vector's sum: its buffers and what is under way. Opaque. */
struct clfcn_allreduce;

/* For vectors of count floats. comm is borrowed, and not NULL. Collective in so far as
 * all ranks create the same ones in the same order. Free with
 * clfcn_allreduce_destroy(). */
int clfcn_allreduce_create(struct clfcn_comm *comm, size_t count, enum clfcn_wire wire,
                           struct clfcn_allreduce **out, struct clfcn_err *err);
/* Takes a pointer to NULL, and comes before clfcn_comm_close(). Waits for nothing: what
 * is under way is cancelled, and the values are the caller's again. */
void clfcn_allreduce_destroy(struct clfcn_allreduce **handle);

/* Begin to replace values [count] by their sums over the ranks. They are not to be
 * touched until it is done. */
int clfcn_allreduce_start(struct clfcn_allreduce *sum, float *values,
                          struct clfcn_err *err);
/* Go on with it as far as that goes without waiting; *done: it is finished, or was never
 * started. Looks also whether a rank has failed (CLFCN_ECOMM). */
int clfcn_allreduce_test(struct clfcn_allreduce *sum, bool *done, struct clfcn_err *err);
/* Sleep a moment between two rounds of tests in which nothing was done. waits: this rank
 * has nothing else to do, so that the time counts as waiting (clfcn_comm_take_wait()).
 * CLFCN_ECOMM if nothing has come for too long. */
int clfcn_comm_rest(struct clfcn_comm *comm, bool waits, struct clfcn_err *err);

#endif
