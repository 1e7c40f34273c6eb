/* share.c - opening the device, or the part of one, that a rank takes. */
#include "share.h"
#include "../util/cpus.h"
#include "../util/log.h"
#include "../util/thread.h"
#include "driver.h"
#include <stdio.h>
#include <stdlib.h>

/* Whether the driver says that it makes sub-devices of given sizes. To be asked first:
 * one that makes none may lack the function that would, and crash (rusticl of Mesa 22.3).
 */
static bool has_sub_devices(cl_device_id id)
{
    cl_device_partition_property kinds[16] = { 0 };
    cl_uint most = 0;
    clGetDeviceInfo(id, CL_DEVICE_PARTITION_MAX_SUB_DEVICES, sizeof(most), &most, NULL);
    if (most < 2 || clGetDeviceInfo(id, CL_DEVICE_PARTITION_PROPERTIES, sizeof(kinds),
                                    kinds, NULL) != CL_SUCCESS) {
        return false;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); ++i) {
        if (kinds[i] == CL_DEVICE_PARTITION_BY_COUNTS) {
            return true;
        }
    }
    return false;
}

/* Of a device, [0, first), [first, first + units) and the rest: the sub-device in the
 * middle. NULL if the driver has none. */
static cl_device_id make_sub_device(cl_device_id id, const struct clfcn_dev_part *part)
{
    const unsigned sizes[] = { part->first, part->units, part->left };
    /* The counts end with a 0, CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, and so does the
     * list. */
    cl_device_partition_property how[6] = { CL_DEVICE_PARTITION_BY_COUNTS };
    cl_device_id made[3], chosen = NULL;
    cl_uint n = 0, own = 0;
    for (int i = 0; i < 3; ++i) {
        if (sizes[i] > 0) {
            own = i == 1 ? n : own;
            how[++n] = (cl_device_partition_property)sizes[i];
        }
    }
    const cl_int code = clCreateSubDevices(id, how, n, made, NULL);
    if (code != CL_SUCCESS) {
        clfcn_debug("the driver makes no sub-device: %s", clfcn_cl_error_name(code));
        return NULL;
    }
    for (cl_uint i = 0; i < n; ++i) {
        if (i == own) {
            chosen = made[i];
        } else {
            clReleaseDevice(made[i]);
        }
    }
    return chosen;
}

/* What ranks share that cannot be split: told by the first of them. */
static void warn_shared(const struct clfcn_device_info *info, const int *device,
                        const struct clfcn_seats *seats,
                        const struct clfcn_dev_part *part)
{
    int first = 0;
    while (device[first] != device[seats->rank]) {
        ++first;
    }
    if (first != seats->rank) {
        return;
    }
    if (part->crowded) {
        clfcn_warn(
            "%d ranks are more than there are processors for them: they share those "
            "of '%s', and fewer would be faster",
            part->count, info->name);
    } else if (part->others > 0 && part->units == 0) {
        clfcn_warn("%d ranks share '%s' and its memory: one rank would be faster",
                   part->others + 1, info->name);
    }
}

static void name_part(struct clfcn_dev *dev, const struct clfcn_dev_part *part)
{
    const char *plural = part->units == 1 ? "" : "s";
    if (part->units > 0 && part->count == 1) {
        snprintf(dev->part, sizeof(dev->part), "%u compute unit%s", part->units, plural);
    } else if (part->units > 0) {
        snprintf(dev->part, sizeof(dev->part), "part %d of %d: %u compute unit%s",
                 part->index + 1, part->count, part->units, plural);
    } else if (part->others > 0) {
        snprintf(dev->part, sizeof(dev->part), "shared by %d ranks", part->others + 1);
    }
}

/* The sub-device of a part, NULL if it needs or can have none; part->units becomes 0
 * where nothing could be done to split the device.
 *
 * The process's threads, those that the driver has started among them, are kept to its
 * part of the processors as well: this is what splits a CPU whose driver has no
 * sub-devices. */
static cl_device_id split(cl_device_id id, unsigned units, struct clfcn_dev_part *part)
{
    cl_device_id sub = NULL;
    bool is_split = part->count == 1; /* by who started the ranks */
    if (part->count > 1 && !part->crowded) {
        is_split = clfcn_cpus_confine(part->index, part->count) > 0;
    }
    if (part->units < units && has_sub_devices(id)) {
        sub = make_sub_device(id, part);
        is_split = is_split || sub;
    }
    if (!is_split) {
        part->units = 0;
    }
    return sub;
}

/* Open the device; the compute units and the memory of its description are those that the
 * rank may count on. */
static int open_part(const struct clfcn_probe *whole, struct clfcn_dev_part part,
                     struct clfcn_dev **out, struct clfcn_err *err)
{
    struct clfcn_probe probe = *whole;
    struct clfcn_device_info *info = &probe.info;
    const int sharers = part.count > part.others + 1 ? part.count : part.others + 1;
    const unsigned units = info->compute_units;
    info->global_bytes /= (uint64_t)sharers;
    if (info->max_alloc_bytes > info->global_bytes) {
        info->max_alloc_bytes = info->global_bytes;
    }
    cl_device_id sub = part.units > 0 ? split(probe.id, units, &part) : NULL;
    if (part.units > 0) {
        info->compute_units = part.units;
    }
    const int rc = clfcn_dev_create(&probe, sub, out, err);
    if (rc == CLFCN_OK) {
        (*out)->is_part = info->compute_units < units;
        name_part(*out, &part);
    }
    return rc;
}

int clfcn_dev_open_seat(const char *names, const struct clfcn_seats *seats,
                        struct clfcn_dev **out, struct clfcn_err *err)
{
    struct clfcn_probe *probes = NULL;
    struct clfcn_device_info *infos = NULL;
    int count, *device = calloc((size_t)seats->ranks, sizeof(*device));
    *out = NULL;
    int rc =
        device ? clfcn_dev_probe(&probes, &infos, &count, err) : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = clfcn_assign(infos, count, names, seats->ranks, device, err);
        if (rc == CLFCN_ENODEV) {
            clfcn_drivers_note(err);
        }
    }
    if (rc == CLFCN_OK) {
        const int own = device[seats->rank];
        const struct clfcn_dev_part part =
            clfcn_dev_part_of(infos, device, seats, clfcn_cpu_count());
        warn_shared(&infos[own], device, seats, &part);
        rc = open_part(&probes[own], part, out, err);
    }
    free(infos);
    free(probes);
    free(device);
    return rc;
}
