#include "peak.h"

#include "../device/buffer.h"
#include "../util/log.h"
#include "../util/sys.h"
#include "defaults.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((size_t)1 << 20)

/* Seconds for a figure: ten times what devices of use take for it. */
static const double LIMIT = 1.0;

#define PARAMS           \
    {                    \
        {                \
            "VW", 4,     \
            {            \
                4, 8, 16 \
            }            \
        }                \
    }

const struct clfcn_kernel_desc clfcn_peak_fma_desc = { .stem = "peak",
                                                       .entry = "peak_fma",
                                                       .params = PARAMS };
const struct clfcn_kernel_desc clfcn_peak_triad_desc = { .stem = "peak",
                                                         .entry = "peak_triad",
                                                         .params = PARAMS };
const struct clfcn_kernel_desc clfcn_peak_empty_desc = { .stem = "peak",
                                                         .entry = "peak_empty",
                                                         .params = PARAMS };

struct bench {
    struct clfcn_dev *dev;
    struct clfcn_peak_effort effort;
    struct clfcn_programs *programs;
    struct clfcn_kernel fma, triad, empty;
    cl_mem x, y, z;
    void *host;       /* effort.bytes */
    int vector_width; /* VW */
    bool vectors;     /* a work-item is all that a core does at a time */
    size_t items;     /* enough to keep every core busy to the end */
    size_t group;
    int rounds;   /* of multiply-adds */
    int launches; /* of empty kernels */
    size_t bytes; /* of each buffer that are used */
};

/* PoCL gives a thread half of what is left at a time: few items leave cores idle. */
enum { ITEMS_PER_CORE = 64 };

typedef int (*enqueue_fn)(struct bench *b, struct clfcn_err *err);

/* The least seconds that enqueue and its commands take, of up to so many times. */
static int time_best(struct bench *b, enqueue_fn enqueue, int repeats, double *best,
                     struct clfcn_err *err)
{
    const double end = clfcn_clock() + b->effort.limit;
    *best = DBL_MAX;
    for (int i = 0; i < repeats && (i == 0 || clfcn_clock() < end); ++i) {
        const double start = clfcn_clock();
        int rc = enqueue(b, err);
        const cl_int code = rc == CLFCN_OK ? clFinish(b->dev->compute) : CL_SUCCESS;
        const double seconds = clfcn_clock() - start;
        if (code != CL_SUCCESS) {
            rc = clfcn_cl_err(err, code, "waiting for the device");
        }
        if (rc < 0) {
            return rc;
        }
        *best = seconds < *best ? seconds : *best;
    }
    return CLFCN_OK;
}

static int run_fma(struct bench *b, struct clfcn_err *err)
{
    const float scale = 0.999f,
                shift = 0.001f; /* towards 1: neither overflow nor denormals
                                 */
    const struct clfcn_arg args[] = { CLFCN_ARG(b->z), CLFCN_ARG(scale), CLFCN_ARG(shift),
                                      CLFCN_ARG(b->rounds) };
    return clfcn_launch(b->dev, &b->fma, 1, &b->items, &b->group, args,
                        CLFCN_ARRAY_LEN(args), err);
}

/* With vectors every item takes a run of vectors; elsewhere neighbours take neighbours.
 */
static int run_triad(struct bench *b, struct clfcn_err *err)
{
    const cl_uint items = (cl_uint)b->items;
    const cl_uint n = (cl_uint)(b->bytes / sizeof(float) / (size_t)b->vector_width);
    const cl_uint count = (n + items - 1) / items;
    const cl_uint first = b->vectors ? count : 1;
    const cl_uint step = b->vectors ? 1 : items;
    const float scale = 3.0f;
    const struct clfcn_arg args[] = {
        CLFCN_ARG(b->x),  CLFCN_ARG(b->y), CLFCN_ARG(b->z),  CLFCN_ARG(scale),
        CLFCN_ARG(first), CLFCN_ARG(step), CLFCN_ARG(count), CLFCN_ARG(n),
    };
    return clfcn_launch(b->dev, &b->triad, 1, &b->items, &b->group, args,
                        CLFCN_ARRAY_LEN(args), err);
}

static int run_empty(struct bench *b, struct clfcn_err *err)
{
    const cl_int nothing = 0;
    const struct clfcn_arg args[] = { CLFCN_ARG(nothing) };
    int rc = CLFCN_OK;
    for (int i = 0; i < b->launches && rc == CLFCN_OK; ++i) {
        rc = clfcn_launch(b->dev, &b->empty, 1, &b->group, &b->group, args,
                          CLFCN_ARRAY_LEN(args), err);
    }
    return rc;
}

static int run_upload(struct bench *b, struct clfcn_err *err)
{
    return clfcn_buffer_write(b->dev, b->x, 0, b->bytes, b->host, err);
}

static int run_download(struct bench *b, struct clfcn_err *err)
{
    return clfcn_buffer_read(b->dev, b->x, 0, b->bytes, b->host, err);
}

static int prepare(struct bench *b, struct clfcn_err *err)
{
    const struct clfcn_device_info *info = &b->dev->info;
    b->vector_width = clfcn_defaults_for(info).vector_width;
    b->vectors = clfcn_wants_vectors(info);
    b->group = b->vectors ? 1 : info->max_work_group < 128 ? info->max_work_group : 128;
    b->items = info->compute_units * (b->vectors ? ITEMS_PER_CORE : 16 * b->group);
    if (b->items * sizeof(float) > b->effort.bytes) { /* of peak_fma's result */
        b->effort.bytes = b->items * sizeof(float);
    }
    const int values[CLFCN_MAX_PARAMS] = { b->vector_width };
    int rc = clfcn_programs_create(b->dev, &b->programs, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_kernel_want(b->programs, &b->fma, &clfcn_peak_fma_desc, values, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_kernel_want(b->programs, &b->triad, &clfcn_peak_triad_desc, values,
                               err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_kernel_want(b->programs, &b->empty, &clfcn_peak_empty_desc, values,
                               err);
    }
    return rc < 0 ? rc : clfcn_programs_build(b->programs, err);
}

/* All three are written once, by the host: memory nobody has touched has no place yet. */
static int allocate(struct bench *b, struct clfcn_err *err)
{
    cl_mem *const buffers[] = { &b->x, &b->y, &b->z };
    int rc = CLFCN_OK;
    b->host = malloc(b->effort.bytes);
    if (!b->host) {
        return clfcn_err_nomem(err);
    }
    memset(b->host, 0x3f, b->effort.bytes); /* pages of their own; floats near 0.75 */
    for (int i = 0; i < CLFCN_ARRAY_LEN(buffers) && rc == CLFCN_OK; ++i) {
        rc = clfcn_buffer_create(b->dev, b->effort.bytes, "peak", buffers[i], err);
        if (rc == CLFCN_OK) {
            rc =
                clfcn_buffer_write(b->dev, *buffers[i], 0, b->effort.bytes, b->host, err);
        }
    }
    return rc;
}

/* Longer and longer, until the launch is nothing beside it. */
static int measure_fma(struct bench *b, double *gflops, struct clfcn_err *err)
{
    enum { MOST_ROUNDS = 1 << 28 };
    double seconds = 0;
    int rc = CLFCN_OK;
    for (b->rounds = 64; rc == CLFCN_OK; b->rounds *= 2) {
        rc = time_best(b, run_fma, b->effort.repeats, &seconds, err);
        if (seconds >= b->effort.seconds || b->rounds >= MOST_ROUNDS) {
            break;
        }
    }
    *gflops = 2e-9 * CLFCN_PEAK_CHAINS * b->vector_width * (double)b->items * b->rounds /
              seconds;
    return rc;
}

/* As many launches, then as many bytes as there is time for. */
static int find_amounts(struct bench *b, struct clfcn_err *err)
{
    double seconds = 0;
    int rc = CLFCN_OK;
    b->launches = 1;
    do {
        b->launches =
            b->launches * 8 < b->effort.launches ? b->launches * 8 : b->effort.launches;
        rc = time_best(b, run_empty, 1, &seconds, err);
    } while (rc == CLFCN_OK && b->launches < b->effort.launches &&
             8 * seconds < b->effort.limit);
    b->bytes = b->items * sizeof(float);
    while (rc == CLFCN_OK && b->bytes < b->effort.bytes) {
        rc = time_best(b, run_triad, 1, &seconds, err);
        if (4 * seconds > b->effort.limit) {
            break;
        }
        b->bytes = b->bytes * 4 < b->effort.bytes ? b->bytes * 4 : b->effort.bytes;
    }
    return rc;
}

static int measure(struct bench *b, struct clfcn_peak *out, struct clfcn_err *err)
{
    const int repeats = b->effort.repeats;
    double launches = 0, triad = 0, upload = 0, download = 0;
    int rc = measure_fma(b, &out->gflops, err);
    if (rc == CLFCN_OK) {
        rc = find_amounts(b, err);
    }
    if (rc == CLFCN_OK) {
        rc = time_best(b, run_empty, repeats, &launches, err);
    }
    if (rc == CLFCN_OK) {
        rc = time_best(b, run_triad, repeats, &triad, err);
    }
    if (rc == CLFCN_OK) {
        rc = time_best(b, run_upload, repeats, &upload, err);
    }
    if (rc == CLFCN_OK) {
        rc = time_best(b, run_download, repeats, &download, err);
    }
    if (rc == CLFCN_OK) {
        const double bytes = (double)b->bytes;
        out->launch_us = 1e6 * launches / b->launches;
        out->gbps = 3e-9 * bytes / triad;
        out->upload_gbps = 1e-9 * bytes / upload;
        out->download_gbps = 1e-9 * bytes / download;
    }
    return rc;
}

int clfcn_peak_measure_with(struct clfcn_dev *dev, const struct clfcn_peak_effort *effort,
                            struct clfcn_peak *out, struct clfcn_err *err)
{
    struct bench b = { .dev = dev, .effort = *effort };
    int rc = prepare(&b, err);
    if (rc == CLFCN_OK) {
        rc = allocate(&b, err);
    }
    if (rc == CLFCN_OK) {
        rc = measure(&b, out, err);
    }
    if (rc < 0) {
        clfcn_err_note(err, "measuring the device's peak");
        *out = (struct clfcn_peak){ NAN, NAN, NAN, NAN, NAN };
    }
    clFinish(dev->compute);
    clfcn_buffer_release(dev, &b.x);
    clfcn_buffer_release(dev, &b.y);
    clfcn_buffer_release(dev, &b.z);
    clfcn_programs_destroy(&b.programs);
    free(b.host);
    return rc;
}

/* 0 if the device has none, or does not tell. */
static uint64_t cache_bytes(const struct clfcn_dev *dev)
{
    cl_ulong cache = 0;
    clGetDeviceInfo(dev->id, CL_DEVICE_GLOBAL_MEM_CACHE_SIZE, sizeof(cache), &cache,
                    NULL);
    return cache;
}

/* Bytes a buffer: far beyond the caches, within what the device has left. */
static size_t buffer_bytes(const struct clfcn_dev *dev)
{
    const uint64_t cache = cache_bytes(dev);
    uint64_t bytes = 2 * cache > 64 * MIB ? 2 * cache : 64 * MIB;
    const uint64_t most = (dev->info.global_bytes - atomic_load(&dev->bytes)) / 8;
    bytes = bytes < 256 * MIB ? bytes : 256 * MIB;
    bytes = bytes < most ? bytes : most;
    bytes = bytes < dev->info.max_alloc_bytes ? bytes : dev->info.max_alloc_bytes;
    return bytes < MIB ? MIB : (size_t)(bytes / MIB * MIB);
}

int clfcn_peak_measure(struct clfcn_dev *dev, struct clfcn_peak *out,
                       struct clfcn_err *err)
{
    const struct clfcn_peak_effort effort = {
        .bytes = buffer_bytes(dev),
        .launches = 500,
        .repeats = 8,
        .seconds = 0.02,
        .limit = LIMIT,
    };
    return clfcn_peak_measure_with(dev, &effort, out, err);
}

int clfcn_peak_measure_cached(struct clfcn_dev *dev, struct clfcn_peak *out,
                              struct clfcn_err *err)
{
    const uint64_t part = cache_bytes(dev) / 8; /* three fit, and some room is left */
    const struct clfcn_peak_effort effort = {
        .bytes = part < MIB / 4   ? MIB / 4
                 : part > 4 * MIB ? 4 * MIB
                                  : (size_t)part,
        .launches = 1,
        .repeats = 16,
        .seconds = 0.01,
        .limit = LIMIT,
    };
    return clfcn_peak_measure_with(dev, &effort, out, err);
}

void clfcn_peak_glance(struct clfcn_dev *dev)
{
    const struct clfcn_peak_effort effort = {
        .bytes = 1 << 18, .launches = 1, .repeats = 8, .seconds = 0.01, .limit = 0.1
    };
    struct clfcn_peak peak;
    struct clfcn_err err;
    if (clfcn_peak_measure_with(dev, &effort, &peak, &err) == CLFCN_OK) {
        dev->gflops = peak.gflops;
    } else {
        clfcn_debug("%s", err.msg);
    }
}
