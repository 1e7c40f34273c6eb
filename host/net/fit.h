/* fit.h - making a network fit into a limit of device memory. */
#ifndef CLFCN_NET_FIT_H
#define CLFCN_NET_FIT_H

#include "net_impl.h"

/* As clfcn_net_plan(), and if that takes more than options allow, with the workspace, the
 * thrift and the parts of the batch with which it keeps to that at the least cost; or, if
 * that cannot be, with those that take least. Whether it fits is for the caller to see in
 * its memory. */
int clfcn_fit_net(struct clfcn_dev *dev, const struct clfcn_net_desc *desc,
                  const struct clfcn_net_options *options, enum clfcn_log_level level,
                  struct clfcn_net **out, struct clfcn_err *err);

/* What it does to take little memory, in words; a new string, or NULL without memory. */
char *clfcn_thrift_describe(const struct clfcn_net *net);

#endif
