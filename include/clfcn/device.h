/* device.h - OpenCL devices: what there is, and opening one. */
#ifndef CLFCN_DEVICE_H
#define CLFCN_DEVICE_H

#include "common.h"

CLFCN_BEGIN_DECLS

/** How a device is treated; from its type and vendor name, never from its vendor id. */
enum clfcn_device_class {
    CLFCN_CLASS_CPU,
    CLFCN_CLASS_NVIDIA,
    CLFCN_CLASS_AMD,
    CLFCN_CLASS_INTEL,
    CLFCN_CLASS_OTHER
};

/** What matters of one device for training. Plain data. */
struct clfcn_device_info {
    int index; /**< N of `--device N`: position over all platforms */
    char name[128];
    char vendor[128];
    char platform[128];
    char driver[128];  /**< CL_DRIVER_VERSION */
    char version[128]; /**< CL_DEVICE_VERSION, "OpenCL 3.0 ..." */
    enum clfcn_device_class device_class;
    bool is_gpu, is_cpu;
    bool unified_memory; /**< the device shares the host's memory (integrated GPU, CPU) */
    bool fp16, fp64;     /**< cl_khr_fp16, cl_khr_fp64 */
    unsigned compute_units;
    unsigned clock_mhz;
    unsigned vector_width; /**< preferred float vector width; 1 for most GPUs */
    unsigned
        base_align; /**< bytes that the origin of a sub-buffer must be a multiple of */
    size_t max_work_group;
    size_t max_work_item[3];
    uint64_t global_bytes;    /**< device memory */
    uint64_t max_alloc_bytes; /**< largest single buffer */
    uint64_t local_bytes;
    bool usable;
    char why_not[128]; /**< the reason if not usable, else "" */
};

/**
 * List every device of every platform, usable or not, in a stable order.
 *
 * OpenCL's loader loads every installed driver into the process, where a broken one would
 * crash or hang it. So the first call of this function or of clfcn_dev_open() in a
 * process opens each driver in a child process beforehand (the program clfcn-probe), with
 * a time limit of 10 s or $CLFCN_PROBE_SECONDS, unless it is remembered in the cache
 * folder to have passed. If one fails, it is left out and clfcn_log_set()'s function is
 * told; while the loader starts without it, the environment variables OCL_ICD_VENDORS and
 * OCL_ICD_FILENAMES have other values, so no other thread should use the environment
 * during that call. Where the process has used OpenCL before, nothing is tried: its
 * drivers are loaded already.
 *
 * @param list   Receives an array, NULL if there are none. Free with free().
 * @param count  Receives its length.
 * @return CLFCN_OK, also with no device; CLFCN_ENOMEM; CLFCN_EIO if a broken driver
 *         cannot be left out.
 */
CLFCN_API int clfcn_device_list(struct clfcn_device_info **list, int *count,
                                struct clfcn_err *err);

/** An open device: context, queues, programs. Opaque. */
struct clfcn_dev;

/**
 * Open a device. Drivers are tried beforehand, see clfcn_device_list().
 *
 * @param spec  "auto" or NULL (a discrete GPU, else an integrated one, else a CPU),
 * "cpu", "gpu", an index as clfcn_device_list() counts, or a part of the device's name,
 *              vendor or platform, in any case.
 * @param out   Receives the device, or NULL on error. Close with clfcn_dev_close().
 * @return CLFCN_OK; CLFCN_ENODEV if nothing usable fits spec; CLFCN_EINVAL if spec is a
 *         list with commas, which only the ranks of an MPI job take; CLFCN_ECL;
 *         CLFCN_ENOMEM; CLFCN_EIO as clfcn_device_list().
 */
CLFCN_API int clfcn_dev_open(const char *spec, struct clfcn_dev **out,
                             struct clfcn_err *err);

/**
 * Let no kernel occupy the device for much longer than ms milliseconds, so that a display
 * driven by the same device stays alive and no watchdog ends the work: kernels that take
 * longer, by measurement, are enqueued in slices. Results keep their bits. To be called
 * before networks are created on the device: they plan for it.
 *
 * @param ms  0: leave kernels whole; < 0: the default, which is 50 for a GPU that shares
 *            the host's memory, else 0. clfcn_dev_open() sets the default.
 * @return CLFCN_OK; CLFCN_ENOMEM.
 */
CLFCN_API int clfcn_dev_limit_kernels(struct clfcn_dev *dev, double ms,
                                      struct clfcn_err *err);

/** Close *dev and set it to NULL. Everything created on it must be destroyed before. */
CLFCN_API void clfcn_dev_close(struct clfcn_dev **dev);

/** Borrowed: lives as long as the device. */
CLFCN_API const struct clfcn_device_info *clfcn_dev_get_info(const struct clfcn_dev *dev);

CLFCN_END_DECLS

#endif
