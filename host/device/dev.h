/* dev.h - an open device: context, two queues, accounting of what lives on it. */
#ifndef CLFCN_DEVICE_DEV_H
#define CLFCN_DEVICE_DEV_H

#include "../util/err.h"
#include "cl.h"
#include <clfcn/device.h>
#include <stdatomic.h>

struct clfcn_prof;
struct clfcn_slicer;

struct clfcn_dev {
    struct clfcn_device_info info;
    cl_platform_id platform;
    cl_device_id id;
    cl_context context;
    cl_command_queue compute;        /* in order: kernels, and what must keep step */
    cl_command_queue transfer;       /* in order: uploads that overlap compute */
    struct clfcn_prof *prof;         /* NULL: no profiling (prof.h) */
    struct clfcn_slicer *slicer;     /* NULL: kernels are left whole (slice.h) */
    atomic_int live_objects;         /* buffers, programs, kernels, events made on it */
    atomic_size_t bytes, peak_bytes; /* of buffers, views not counted */
    double gflops; /* of multiply-adds at best, by ops/peak.h; 0: not measured */
};

/* Put new queues in the place of dev's, if it has any, which are waited for. On failure
 * they stay. (dev.c) */
int clfcn_dev_make_queues(struct clfcn_dev *dev, bool profiling, struct clfcn_err *err);

/* One device. What cannot be read of it makes it not usable, with a reason. (probe.c) */
struct clfcn_probe {
    cl_platform_id platform;
    cl_device_id id;
    struct clfcn_device_info info;
};
/* More of them are taken for nonsense. */
enum { CLFCN_MAX_PLATFORMS = 64, CLFCN_MAX_DEVICES = 1024 };
/* All devices of all platforms, in this process: see driver.h. Free *list with free(). */
int clfcn_probe_all(struct clfcn_probe **list, int *count, struct clfcn_err *err);

/* The index in list of the device that spec names, as clfcn_dev_open() documents, or
 * an error whose message lists what there is (CLFCN_ENODEV). Pure: touches no OpenCL.
 * (select.c) */
int clfcn_select(const struct clfcn_device_info *list, int count, const char *spec,
                 int *chosen, struct clfcn_err *err);

/* "2 compute units, ..." is left to callers; this is just "NAME (PLATFORM, DRIVER)". */
void clfcn_dev_describe(const struct clfcn_device_info *info, char *buf, size_t n);

#endif
