/* estimate.h - how long a network will take on a device, before it has run. */
#ifndef CLFCN_NET_ESTIMATE_H
#define CLFCN_NET_ESTIMATE_H

#include "net_impl.h"
#include "scaling.h"

/* Milliseconds of a whole run by the network's tape. What `clfcn tune` measured where it
 * chose a pass's algorithm, else rules of thumb; *measured (may be NULL) says whether
 * they were needed for no convolution. */
double clfcn_estimate_run(const struct clfcn_net *net, bool *measured);

/* Its parts, of a network that trains; their sum is the run's. */
void clfcn_estimate_step(const struct clfcn_net *net, struct clfcn_step_times *out);

/* Of op i's forward pass. */
double clfcn_estimate_forward(const struct clfcn_net *net, int i);

/* What it costs at least to share memory and to leave it for the host's at this level. */
double clfcn_estimate_level(const struct clfcn_net *net, enum clfcn_level level);

#endif
