/* pinned.h - host memory that devices with a memory of their own copy from and to without
 * a detour, and while the host does other things. */
#ifndef CLFCN_DEVICE_PINNED_H
#define CLFCN_DEVICE_PINNED_H

#include "dev.h"

/* Zero-initialise. */
struct clfcn_pinned {
    void *data;
    cl_mem mem; /* that data is mapped from; NULL: the driver gave none, it is plain */
};

/* bytes of host memory, as long as no command but copies uses them; in no account of the
 * device's memory. CLFCN_ENOMEM. Release with clfcn_pinned_release(). */
int clfcn_pinned_create(struct clfcn_dev *dev, size_t bytes, struct clfcn_pinned *out,
                        struct clfcn_err *err);
/* No copy may be under way. Takes what was never created. */
void clfcn_pinned_release(struct clfcn_dev *dev, struct clfcn_pinned *p);

#endif
