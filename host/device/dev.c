/* dev.c - opening and closing a device. */
#include "dev.h"
#include "cache.h"
#include "driver.h"
#include "prof.h"
#include "slice.h"
#include "../util/log.h"
#include <stdio.h>
#include <stdlib.h>

/* Split the plain descriptions off. *infos is NULL if there are no devices. */
static int infos_of(const struct clfcn_probe *probes, int count,
                    struct clfcn_device_info **infos, struct clfcn_err *err)
{
    *infos = NULL;
    if (count == 0) {
        return CLFCN_OK;
    }
    struct clfcn_device_info *list = calloc((size_t)count, sizeof(*list));
    if (!list) {
        return clfcn_err_nomem(err);
    }
    for (int i = 0; i < count; ++i) {
        list[i] = probes[i].info;
    }
    *infos = list;
    return CLFCN_OK;
}

/* All devices of the drivers that work. */
static int probe_safely(struct clfcn_probe **probes, int *count, struct clfcn_err *err)
{
    *probes = NULL;
    *count = 0;
    const int rc = clfcn_drivers_vet(false, NULL, NULL, err);
    return rc < 0 ? rc : clfcn_probe_all(probes, count, err);
}

int clfcn_dev_probe(struct clfcn_probe **probes, struct clfcn_device_info **infos,
                    int *count, struct clfcn_err *err)
{
    *infos = NULL;
    int rc = probe_safely(probes, count, err);
    if (rc == CLFCN_OK) {
        rc = infos_of(*probes, *count, infos, err);
    }
    if (rc < 0) {
        free(*probes);
        *probes = NULL;
        *count = 0;
    }
    return rc;
}

int clfcn_device_list(struct clfcn_device_info **list, int *count, struct clfcn_err *err)
{
    struct clfcn_probe *probes;
    const int rc = clfcn_dev_probe(&probes, list, count, err);
    free(probes);
    return rc;
}

static void CL_CALLBACK on_context_error(const char *text, const void *data, size_t size,
                                         void *user)
{
    clfcn_debug("OpenCL: %s", text);
}

static void release_queue(cl_command_queue queue)
{
    if (queue) {
        clFinish(queue);
        clReleaseCommandQueue(queue);
    }
}

int clfcn_dev_make_queues(struct clfcn_dev *dev, bool profiling, struct clfcn_err *err)
{
    const cl_command_queue_properties properties =
        profiling ? CL_QUEUE_PROFILING_ENABLE : 0;
    cl_int code;
    cl_command_queue compute =
        clCreateCommandQueue(dev->context, dev->id, properties, &code);
    if (!compute) {
        return clfcn_cl_err(err, code, "cannot create a command queue");
    }
    cl_command_queue transfer =
        clCreateCommandQueue(dev->context, dev->id, properties, &code);
    if (!transfer) {
        clReleaseCommandQueue(compute);
        return clfcn_cl_err(err, code, "cannot create a second command queue");
    }
    release_queue(dev->transfer);
    release_queue(dev->compute);
    dev->compute = compute;
    dev->transfer = transfer;
    return CLFCN_OK;
}

/* Create the context and the queues of dev, whose platform and id are set. */
static int create_context(struct clfcn_dev *dev, struct clfcn_err *err)
{
    const cl_context_properties properties[] = { CL_CONTEXT_PLATFORM,
                                                 (cl_context_properties)dev->platform,
                                                 0 };
    cl_int code;
    dev->context =
        clCreateContext(properties, 1, &dev->id, on_context_error, NULL, &code);
    if (!dev->context) {
        return clfcn_cl_err(err, code, "cannot create a context");
    }
    return clfcn_dev_make_queues(dev, false, err);
}

int clfcn_dev_create(const struct clfcn_probe *probe, cl_device_id sub_device,
                     struct clfcn_dev **out, struct clfcn_err *err)
{
    struct clfcn_dev *dev = calloc(1, sizeof(*dev));
    *out = NULL;
    if (!dev) {
        return clfcn_err_nomem(err);
    }
    clfcn_cache_sweep();
    dev->info = probe->info;
    dev->platform = probe->platform;
    dev->id = sub_device ? sub_device : probe->id;
    dev->sub_device = sub_device;
    int rc = create_context(dev, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_dev_limit_kernels(dev, -1, err);
    }
    CLFCN_CHECK(rc, out, err, "device '%s'", dev->info.name);
    *out = dev;
    dev = NULL;
out:
    clfcn_dev_close(&dev);
    return rc;
}

int clfcn_dev_open(const char *spec, struct clfcn_dev **out, struct clfcn_err *err)
{
    struct clfcn_probe *probes = NULL;
    struct clfcn_device_info *infos = NULL;
    int count, chosen;
    *out = NULL;
    int rc = clfcn_dev_probe(&probes, &infos, &count, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_select(infos, count, spec, &chosen, err);
        if (rc == CLFCN_ENODEV) {
            clfcn_drivers_note(err);
        }
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_dev_create(&probes[chosen], NULL, out, err);
    }
    free(infos);
    free(probes);
    return rc;
}

void clfcn_dev_close(struct clfcn_dev **dev)
{
    struct clfcn_dev *d = *dev;
    if (!d) {
        return;
    }
    *dev = NULL;
    clfcn_prof_finish(d);
    clfcn_slice_stop(d);
    release_queue(d->transfer);
    release_queue(d->compute);
    if (d->context) {
        clReleaseContext(d->context);
    }
    /* A sub-device is kept until the process ends: in PoCL (seen in 3.1) a thread that ends
     * a command late may let go of the queue last, then of its context and device, and looks
     * at the device after that. */
    const int live = atomic_load(&d->live_objects);
    if (live != 0) {
        clfcn_debug("device '%s' is closed with %d objects alive", d->info.name, live);
    }
    free(d);
}

const struct clfcn_device_info *clfcn_dev_get_info(const struct clfcn_dev *dev)
{
    return &dev->info;
}

void clfcn_dev_describe(const struct clfcn_device_info *info, char *buf, size_t n)
{
    snprintf(buf, n, "%s (%s, %s)", info->name, info->platform, info->driver);
}

void clfcn_dev_title(const struct clfcn_dev *dev, char *buf, size_t n)
{
    snprintf(buf, n, "%s%s%s%s", dev->info.name, dev->part[0] ? " (" : "", dev->part,
             dev->part[0] ? ")" : "");
}
