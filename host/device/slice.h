/* slice.h - work cut into slices, none of which occupies the device for long.
 *
 * A GPU that draws the desktop cannot do so during a kernel, and its driver ends kernels
 * that take seconds. How long a piece of work takes is measured by the host's clock
 * around it, in slices that begin small, when it is met for the first time, and again now
 * and then: devices slow down as they get hot. Events would tell without waiting, but not
 * all drivers tell the truth by them. In between, slices are sized by that, and submitted
 * one by one. */
#ifndef CLFCN_DEVICE_SLICE_H
#define CLFCN_DEVICE_SLICE_H

#include "dev.h"

/* Enqueue count units of some work on the compute queue, from first on. */
typedef int (*clfcn_slice_fn)(void *user, size_t first, size_t count,
                              struct clfcn_err *err);

/* Enqueue units units of work, all at once unless the device has a limit
 * (clfcn_dev_limit_kernels()). key tells it from work whose units take another time. The
 * first error of fn ends it. */
int clfcn_slice_run(struct clfcn_dev *dev, uint64_t key, size_t units, clfcn_slice_fn fn,
                    void *user, struct clfcn_err *err);

/* The limit in milliseconds, 0 if there is none. */
double clfcn_slice_limit(const struct clfcn_dev *dev);

void clfcn_slice_stop(struct clfcn_dev *dev);

#endif
