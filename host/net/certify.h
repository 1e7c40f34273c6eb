/* certify.h - a network built of kernels that are known to be right on its device. */
#ifndef CLFCN_NET_CERTIFY_H
#define CLFCN_NET_CERTIFY_H

#include "net_impl.h"

/* Refuse a planned network that needs a kernel known to be wrong for which there is no
 * other: CLFCN_ENUMERIC names layer and kernel. */
int clfcn_net_check_faults(const struct clfcn_net *net, struct clfcn_err *err);

/* Verify each algorithm and kind of layer of which the device's certificate says nothing
 * in the smallest layer that uses it, and note the result there. The kernels are built,
 * activations and workspace not allocated yet. *again: an algorithm turned out to be
 * wrong, so that the network has to be planned anew, without it.
 *
 * CLFCN_ENUMERIC if there is no other. Where memory does not suffice for a layer's data
 * it stays as it is. */
int clfcn_net_certify(struct clfcn_net *net, bool *again, struct clfcn_err *err);

/* One warning for every algorithm that is not used because it is wrong. */
void clfcn_net_tell_replaced(const struct clfcn_net *net);

#endif
