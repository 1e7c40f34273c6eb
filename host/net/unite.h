/* unite.h - one network in all ranks: what each has by itself is brought together. */
#ifndef CLFCN_NET_UNITE_H
#define CLFCN_NET_UNITE_H

#include "net.h"

/* Collective, over the ranks of net's options; nothing is done without them. The network
 * must be idle. CLFCN_ECOMM; CLFCN_ECL; CLFCN_ENOMEM. */

/* Replace running statistics by their means over the ranks, this one's weighing weight,
 * its part of the batch: for batch norm that is not synchronised. */
int clfcn_net_unite_statistics(struct clfcn_net *net, double weight,
                               struct clfcn_err *err);

/* Replace by rank 0's what of weights, statistics and optimiser state is not the same
 * already. Devices of different kinds round otherwise, so that what began the same does
 * not stay so to the last bit. *changed, which may be NULL: how many tensors were not. */
int clfcn_net_unite(struct clfcn_net *net, int *changed, struct clfcn_err *err);

#endif
