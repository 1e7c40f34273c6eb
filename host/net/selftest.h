/* selftest.h - the self-test of a device, and of the shapes that a network has. */
#ifndef CLFCN_NET_SELFTEST_H
#define CLFCN_NET_SELFTEST_H

#include "../ops/selftest.h"
#include "net.h"

struct clfcn_net_selftest {
    const struct clfcn_net_desc *desc; /* NULL: awkward shapes alone */
    const struct clfcn_net_options *options;
    const volatile bool *stop; /* may be NULL */
    void (*progress)(void *user, const char *subject);
    void *user;
};

/* Test every kernel on awkward shapes, and every algorithm that fits and every layer on
 * those of the network, which is made for training. What is found is added to found; free
 * it in every case. CLFCN_EINTR. */
int clfcn_net_selftest(struct clfcn_dev *dev, const struct clfcn_net_selftest *what,
                       struct clfcn_certificate *found, struct clfcn_err *err);

#endif
