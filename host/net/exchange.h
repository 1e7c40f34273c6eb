/* exchange.h - the gradients of all ranks added up, while the backward pass goes on.
 *
 * Gradients travel in buckets, each those of some ops that follow upon each other in the
 * backward pass: when the last of them has run, the bucket is read back, summed over the
 * ranks (comm/allreduce.h) and written to where it came from. Reading, summing and
 * writing of different buckets overlap with each other and with the rest of the backward
 * pass (as in PyTorch's DistributedDataParallel: Li et al., VLDB 2020). Where weights are
 * updated layer by layer to save memory, each op's is a bucket, and its update waits for
 * it; and if one rank does so, all do as far as the exchange goes. Else one would wait
 * for a sum while another waits for it in a batch norm further on. */
#ifndef CLFCN_NET_EXCHANGE_H
#define CLFCN_NET_EXCHANGE_H

#include "net.h"

/* A bucket is full when it has so many bytes: a large message costs little more than its
 * bytes, and a small one begins early. */
enum { CLFCN_EXCHANGE_BUCKET_BYTES = 4 << 20 };

struct clfcn_exchange;

/* For a network that trains and whose options have ranks, memory allocated. Collective.
 * net is borrowed. Free with clfcn_exchange_destroy(), which takes a pointer to NULL,
 * while net is whole and its device idle. */
int clfcn_exchange_create(struct clfcn_net *net, struct clfcn_exchange **out,
                          struct clfcn_err *err);
void clfcn_exchange_destroy(struct clfcn_exchange **out);

/* The gradients of op are enqueued: send what is complete with them. Does not wait,
 * unless another rank updates layer by layer. */
int clfcn_exchange_ready(struct clfcn_exchange *x, int op, struct clfcn_err *err);

/* Wait until the gradients of op, or, op being -1, of all, have been summed, and let what
 * is enqueued on the compute queue from now on see the sums. CLFCN_ECOMM; CLFCN_ECL. */
int clfcn_exchange_finish(struct clfcn_exchange *x, int op, struct clfcn_err *err);

/* Add what the exchanges took since the last call of this to *out. */
void clfcn_exchange_take(struct clfcn_exchange *x, struct clfcn_exchange_time *out);

#endif
