/* fit.h - making a network fit into a limit of device memory. */
#ifndef CLFCN_NET_FIT_H
#define CLFCN_NET_FIT_H

#include "net_impl.h"

/* Lay the planned network out anew with the thrift that costs least among those with
 * which it takes at most limit bytes, or, if there is none, with the one that takes
 * least. Whether it fits is for the caller to see in its memory. */
int clfcn_fit_thrift(struct clfcn_net *net, size_t limit, struct clfcn_err *err);

/* Whether a is better than b, which were both laid out to fit into limit bytes: b does not
 * fit, or costs more. Moving things to the host's memory is the last resort where that is
 * the device's too. */
bool clfcn_fits_better(const struct clfcn_net *a, const struct clfcn_net *b,
                       size_t limit);

/* What it does to take little memory, in words; a new string, or NULL without memory. */
char *clfcn_thrift_describe(const struct clfcn_net *net);

#endif
