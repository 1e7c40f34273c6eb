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
    cl_device_id sub_device; /* id, where it is one; else NULL */
    bool is_part; /* info.compute_units are a part of the device's */
    char part[64]; /* "part 1 of 2: 1 compute unit", "shared by 2 ranks", or "" */
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

/* All devices of the drivers that work, and the plain descriptions alone; both arrays, of
 * *count, are NULL if there are none. Free them with free(). Errors as
 * clfcn_device_list(). (dev.c) */
int clfcn_dev_probe(struct clfcn_probe **probes, struct clfcn_device_info **infos,
                    int *count, struct clfcn_err *err);
/* Open a device, or a sub-device of it, which goes to the device, also on failure. NULL:
 * the whole. (dev.c) */
int clfcn_dev_create(const struct clfcn_probe *probe, cl_device_id sub_device,
                     struct clfcn_dev **out, struct clfcn_err *err);

/* All that a word, a spec without commas, stands for where several processes take a
 * device each: first what clfcn_select() chooses, then the others that fit and are of
 * that kind (discrete GPU, integrated GPU, other). Of CPUs only the one: all are the same
 * processors. chosen [count] receives their indices, *n how many. Errors as
 * clfcn_select(). (select.c) */
int clfcn_select_all(const struct clfcn_device_info *list, int count, const char *word,
                     int *chosen, int *n, struct clfcn_err *err);

/* "2 compute units, ..." is left to callers; this is just "NAME (PLATFORM, DRIVER)". */
void clfcn_dev_describe(const struct clfcn_device_info *info, char *buf, size_t n);
/* "NAME", or "NAME (part 1 of 2: 1 compute unit)". */
void clfcn_dev_title(const struct clfcn_dev *dev, char *buf, size_t n);

#endif
