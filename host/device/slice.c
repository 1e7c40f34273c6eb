#include "slice.h"
#include "../util/log.h"
#include "../util/sys.h"

#include <stdlib.h>

/* Milliseconds for a GPU that draws the desktop: at 20 frames a second it feels alive. */
static const double default_ms = 50;
/* Part of the limit to aim at: slices of one size do not take one time. */
static const double aim = 0.7;

enum {
    CAPACITY = 4096,    /* works that are known at a time; a power of two */
    FIRST_PART = 64,    /* the very first slice is this part of the work, */
    GROWTH = 4,         /* and the next is so many times as large at most */
    MEASURE_EVERY = 32, /* runs from one measurement to the next */
};

/* What is known of a kind of work. */
struct work {
    uint64_t key;
    double unit_ms; /* 0: it was never done */
    unsigned runs;
};

struct clfcn_slicer {
    double limit_ms;
    double unflushed_ms; /* of what was enqueued and not submitted yet */
    int count;
    struct work works[CAPACITY]; /* hashed by key, open addressing */
};

static void forget_all(struct clfcn_slicer *s)
{
    s->count = 0;
    for (int i = 0; i < CAPACITY; ++i) {
        s->works[i] = (struct work){ 0 };
    }
}

static struct work *find(struct clfcn_slicer *s, uint64_t key)
{
    if (s->count > CAPACITY / 4 * 3) {
        forget_all(s);
    }
    key += key == 0; /* 0 is an empty place */
    size_t i = (size_t)key % CAPACITY;
    while (s->works[i].key != 0 && s->works[i].key != key) {
        i = (i + 1) % CAPACITY;
    }
    if (s->works[i].key == 0) {
        s->works[i].key = key;
        ++s->count;
    }
    return &s->works[i];
}

/* How many of the units that are left go into the next slice; last went into the one
 * before. */
static size_t next_slice(const struct clfcn_slicer *s, const struct work *w, size_t units,
                         size_t left, size_t last)
{
    if (w->unit_ms == 0) {
        return (units + FIRST_PART - 1) / FIRST_PART;
    }
    const double fit = aim * s->limit_ms / w->unit_ms;
    size_t most = fit < 1 ? 1 : fit < (double)left ? (size_t)fit : left;
    if (w->runs == 0 && most > GROWTH * last) {
        most = GROWTH * last;
    }
    const size_t slices = (left + most - 1) / most; /* of about the same size */
    return (left + slices - 1) / slices;
}

static int finish(struct clfcn_dev *dev, struct clfcn_err *err)
{
    const cl_int code = clFinish(dev->compute);
    return code == CL_SUCCESS ? CLFCN_OK : clfcn_cl_err(err, code, "clFinish");
}

/* One slice, timed. What waiting for it costs is part of its time, so estimates err to
 * the safe side. */
static int run_timed(struct clfcn_dev *dev, clfcn_slice_fn fn, void *user, size_t first,
                     size_t count, double *ms, struct clfcn_err *err)
{
    int rc = finish(dev, err);
    const double begin = clfcn_clock();
    if (rc == CLFCN_OK) {
        rc = fn(user, first, count, err);
    }
    if (rc == CLFCN_OK) {
        rc = finish(dev, err);
    }
    *ms = 1e3 * (clfcn_clock() - begin);
    return rc;
}

/* One slice, submitted unless it is little together with what else is to be. */
static int run_untimed(struct clfcn_dev *dev, clfcn_slice_fn fn, void *user, size_t first,
                       size_t count, double ms, struct clfcn_err *err)
{
    struct clfcn_slicer *s = dev->slicer;
    if (s->unflushed_ms + ms > s->limit_ms) {
        clFlush(dev->compute);
        s->unflushed_ms = 0;
    }
    s->unflushed_ms += ms;
    return fn(user, first, count, err);
}

int clfcn_slice_run(struct clfcn_dev *dev, uint64_t key, size_t units, clfcn_slice_fn fn,
                    void *user, struct clfcn_err *err)
{
    struct clfcn_slicer *s = dev->slicer;
    if (!s) {
        return fn(user, 0, units, err);
    }
    struct work *w = find(s, key);
    const bool timed = w->runs % MEASURE_EVERY == 0;
    size_t largest = 0;
    int rc = CLFCN_OK;
    for (size_t at = 0, n = 0; rc == CLFCN_OK && at < units; at += n) {
        double ms;
        n = next_slice(s, w, units, units - at, n);
        if (timed) {
            rc = run_timed(dev, fn, user, at, n, &ms, err);
            s->unflushed_ms = 0;
            if (n >= largest) { /* a small rest tells more of waiting than of work */
                largest = n;
                w->unit_ms = ms / (double)n;
            }
        } else {
            rc = run_untimed(dev, fn, user, at, n, (double)n * w->unit_ms, err);
        }
    }
    ++w->runs;
    return rc;
}

int clfcn_dev_limit_kernels(struct clfcn_dev *dev, double ms, struct clfcn_err *err)
{
    if (ms < 0) {
        ms = dev->info.is_gpu && dev->info.unified_memory ? default_ms : 0;
    }
    clfcn_slice_stop(dev);
    if (ms > 0) {
        dev->slicer = calloc(1, sizeof(*dev->slicer));
        if (!dev->slicer) {
            return clfcn_err_nomem(err);
        }
        dev->slicer->limit_ms = ms;
        clfcn_debug("kernels of more than %g ms are cut into slices", ms);
    }
    return CLFCN_OK;
}

double clfcn_slice_limit(const struct clfcn_dev *dev)
{
    return dev->slicer ? dev->slicer->limit_ms : 0;
}

void clfcn_slice_stop(struct clfcn_dev *dev)
{
    free(dev->slicer);
    dev->slicer = NULL;
}
