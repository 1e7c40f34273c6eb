/* estimate.h - how long a network will take on a device, before it has run. */
#ifndef CLFCN_NET_ESTIMATE_H
#define CLFCN_NET_ESTIMATE_H

#include "net_impl.h"

/* Milliseconds of a whole run by the network's tape. What `clfcn tune` measured where it
 * chose a pass's algorithm, else rules of thumb; *measured (may be NULL) says whether
 * they were needed for no convolution. */
double clfcn_estimate_run(const struct clfcn_net *net, bool *measured);

/* Of op i's forward pass. */
double clfcn_estimate_forward(const struct clfcn_net *net, int i);

/* What updating ops one by one costs more than all at once; and what it costs that the
 * optimiser's states come from host memory. */
double clfcn_estimate_update_each(const struct clfcn_net *net);
double clfcn_estimate_host_states(const struct clfcn_net *net);

#endif
