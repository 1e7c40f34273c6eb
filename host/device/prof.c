/* prof.c - events of the commands under way, turned into records as they finish. */
#include "prof.h"
#include "../util/log.h"
#include "../util/sys.h"
#include "../util/trace.h"
#include "buffer.h"
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A command under way. */
struct pending {
    cl_event event; /* NULL: its enqueueing failed */
    cl_event after; /* a marker in front of it, or NULL */
    const char *what, *pass;
    char layer[32];
    double begin,
        end; /* by the host's clock, where that measures; end 0: not known yet */
};

struct clfcn_prof {
    struct pending *list; /* in the order of enqueueing */
    int count, capacity;
    char layer[32];
    const char *pass;
    bool by_host;
    double offset; /* seconds to add to the device's clock to get clfcn_clock() */
    clfcn_prof_fn fn;
    void *user;
};

/* Nanoseconds on the device's clock; false if it does not tell. */
static bool time_of(cl_event event, cl_profiling_info which, cl_ulong *ns)
{
    return event &&
           clGetEventProfilingInfo(event, which, sizeof(*ns), ns, NULL) == CL_SUCCESS;
}

/* Find the offset between the clocks, if the device tells its own at all: the device's
 * stamp of enqueueing a small write lies between two looks at the host's clock; the
 * closest pair of several decides. */
static int measure_offset(struct clfcn_dev *dev, double *offset, bool *told,
                          struct clfcn_err *err)
{
    enum { TRIES = 16 };
    cl_mem mem;
    double closest = DBL_MAX;
    cl_int code = CL_SUCCESS;
    int rc = clfcn_buffer_create(dev, sizeof(cl_uint), "clock", &mem, err);
    if (rc < 0) {
        return rc;
    }
    for (int i = 0; i < TRIES && code == CL_SUCCESS; ++i) {
        const cl_uint zero = 0;
        cl_event event = NULL;
        cl_ulong queued;
        const double before = clfcn_clock();
        code = clEnqueueWriteBuffer(dev->compute, mem, CL_FALSE, 0, sizeof(zero), &zero,
                                    0, NULL, &event);
        const double after = clfcn_clock();
        if (code == CL_SUCCESS) {
            code = clFinish(dev->compute);
        }
        if (time_of(event, CL_PROFILING_COMMAND_QUEUED, &queued) &&
            after - before < closest) {
            closest = after - before;
            *offset = (before + after) / 2 - 1e-9 * (double)queued;
        }
        if (event) {
            clReleaseEvent(event);
        }
    }
    clfcn_buffer_release(dev, &mem);
    if (code != CL_SUCCESS) {
        return clfcn_cl_err(err, code, "'%s' cannot be profiled", dev->info.name);
    }
    *told = closest < DBL_MAX;
    if (*told) {
        clfcn_debug("the device's clock is known to %.1f us", 5e5 * closest);
    } else {
        clfcn_info("this device tells no times: layers are timed by the host's clock");
    }
    return CLFCN_OK;
}

int clfcn_prof_start(struct clfcn_dev *dev, struct clfcn_err *err)
{
    if (dev->prof) {
        return CLFCN_OK;
    }
    struct clfcn_prof *prof = calloc(1, sizeof(*prof));
    if (!prof) {
        return clfcn_err_nomem(err);
    }
    int rc = clfcn_dev_make_queues(dev, true, err);
    bool told = true;
    if (rc == CLFCN_OK) {
        rc = measure_offset(dev, &prof->offset, &told, err);
    }
    prof->by_host = !told;
    if (rc < 0) {
        free(prof);
        return rc;
    }
    dev->prof = prof;
    return CLFCN_OK;
}

void clfcn_prof_by_host(struct clfcn_dev *dev)
{
    clfcn_prof_drain(dev);
    dev->prof->by_host = true;
}

bool clfcn_prof_is_on(const struct clfcn_dev *dev)
{
    return dev->prof != NULL;
}

void clfcn_prof_listen(struct clfcn_dev *dev, clfcn_prof_fn fn, void *user)
{
    if (dev->prof) {
        dev->prof->fn = fn;
        dev->prof->user = user;
    }
}

void clfcn_prof_label(struct clfcn_dev *dev, const char *layer, const char *pass)
{
    if (dev->prof) {
        snprintf(dev->prof->layer, sizeof(dev->prof->layer), "%s", layer);
        dev->prof->pass = pass;
    }
}

void clfcn_prof_set_pass(struct clfcn_dev *dev, const char *pass)
{
    if (dev->prof) {
        dev->prof->pass = pass;
    }
}

/* Wait for the command before the next one begins. */
static void end_last(struct clfcn_dev *dev)
{
    struct clfcn_prof *prof = dev->prof;
    if (prof->by_host && prof->count > 0 && prof->list[prof->count - 1].end == 0) {
        struct pending *p = &prof->list[prof->count - 1];
        clFinish(dev->compute);
        clFinish(dev->transfer);
        if (p->event) {
            clWaitForEvents(1, &p->event);
        }
        p->end = clfcn_clock();
    }
}

/* A new entry; NULL if memory is exhausted. Makes room by collecting first, so that the
 * list is no longer than what is under way. */
static struct pending *add(struct clfcn_dev *dev, const char *what)
{
    struct clfcn_prof *prof = dev->prof;
    end_last(dev);
    if (prof->count == prof->capacity) {
        clfcn_prof_collect(dev);
    }
    if (prof->count == prof->capacity) {
        const int capacity = prof->capacity ? 2 * prof->capacity : 256;
        struct pending *grown = realloc(prof->list, (size_t)capacity * sizeof(*grown));
        if (!grown) {
            return NULL;
        }
        prof->list = grown;
        prof->capacity = capacity;
    }
    struct pending *p = &prof->list[prof->count++];
    *p = (struct pending){ .what = what, .pass = prof->pass, .begin = clfcn_clock() };
    snprintf(p->layer, sizeof(p->layer), "%s", prof->layer);
    return p;
}

cl_event *clfcn_prof_event(struct clfcn_dev *dev, const char *what)
{
    struct pending *p = dev->prof ? add(dev, what) : NULL;
    return p ? &p->event : NULL;
}

cl_event *clfcn_prof_call(struct clfcn_dev *dev, const char *what)
{
    struct pending *p = dev->prof ? add(dev, what) : NULL;
    if (!p) {
        return NULL;
    }
    if (clEnqueueMarkerWithWaitList(dev->compute, 0, NULL, &p->after) != CL_SUCCESS) {
        p->after = NULL; /* the record will begin with the last command */
    }
    return &p->event;
}

void clfcn_prof_keep(struct clfcn_dev *dev, cl_event event, const char *what)
{
    struct pending *p = dev->prof ? add(dev, what) : NULL;
    if (p && clRetainEvent(event) == CL_SUCCESS) {
        p->event = event;
    }
}

static bool is_finished(const struct pending *p)
{
    cl_int status = CL_COMPLETE;
    if (p->event) {
        clGetEventInfo(p->event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status),
                       &status, NULL);
    }
    return status <= CL_COMPLETE; /* errors are below it */
}

static void report(const struct clfcn_dev *dev, const struct pending *p)
{
    const struct clfcn_prof *prof = dev->prof;
    cl_ulong begin = 0, end = 0, after;
    cl_command_queue queue = NULL;
    cl_command_type type = 0;
    if (!p->event ||
        (!prof->by_host && (!time_of(p->event, CL_PROFILING_COMMAND_START, &begin) ||
                            !time_of(p->event, CL_PROFILING_COMMAND_END, &end)))) {
        return;
    }
    if (time_of(p->after, CL_PROFILING_COMMAND_END, &after) && after < begin) {
        begin = after;
    }
    clGetEventInfo(p->event, CL_EVENT_COMMAND_QUEUE, sizeof(queue), &queue, NULL);
    clGetEventInfo(p->event, CL_EVENT_COMMAND_TYPE, sizeof(type), &type, NULL);
    struct clfcn_prof_record record = {
        .what = p->what,
        .kernel = type == CL_COMMAND_NDRANGE_KERNEL,
        .compute = queue == dev->compute,
        .pass = p->pass,
        .begin = prof->offset + 1e-9 * (double)begin,
        .end = prof->offset + 1e-9 * (double)end,
    };
    if (prof->by_host) {
        record.begin = p->begin;
        record.end = p->end;
    }
    struct clfcn_trace_event event = {
        .name = record.what,
        .category = record.kernel ? "kernel" : "transfer",
        .pass = record.pass,
        .begin = record.begin,
        .end = record.end,
        .row = record.compute ? CLFCN_ROW_COMPUTE : CLFCN_ROW_TRANSFER,
    };
    snprintf(record.layer, sizeof(record.layer), "%s", p->layer);
    snprintf(event.layer, sizeof(event.layer), "%s", p->layer);
    clfcn_trace_add(&event);
    if (prof->fn) {
        prof->fn(prof->user, &record);
    }
}

/* Not counted among the device's live objects: whether there is an event is the
 * enqueueing call's to decide. */
static void release(struct pending *p)
{
    if (p->event) {
        clReleaseEvent(p->event);
    }
    if (p->after) {
        clReleaseEvent(p->after);
    }
}

/* Up to the first that is not finished, so that records keep the order of enqueueing. */
void clfcn_prof_collect(struct clfcn_dev *dev)
{
    struct clfcn_prof *prof = dev->prof;
    int taken = 0;
    while (prof && taken < prof->count && is_finished(&prof->list[taken])) {
        report(dev, &prof->list[taken]);
        release(&prof->list[taken]);
        ++taken;
    }
    if (taken > 0) {
        prof->count -= taken;
        memmove(prof->list, prof->list + taken,
                (size_t)prof->count * sizeof(*prof->list));
    }
}

/* Event by event: in Mesa 22.3 events may still run when clFinish() has returned. */
void clfcn_prof_drain(struct clfcn_dev *dev)
{
    if (dev->prof) {
        end_last(dev);
    }
    clFinish(dev->transfer);
    clFinish(dev->compute);
    for (int i = 0; dev->prof && i < dev->prof->count; ++i) {
        if (dev->prof->list[i].event) {
            clWaitForEvents(1, &dev->prof->list[i].event);
        }
    }
    clfcn_prof_collect(dev);
}

void clfcn_prof_finish(struct clfcn_dev *dev)
{
    struct clfcn_prof *prof = dev->prof;
    if (!prof) {
        return;
    }
    clfcn_prof_drain(dev);
    for (int i = 0; i < prof->count; ++i) { /* of a device that does not end them */
        release(&prof->list[i]);
    }
    dev->prof = NULL;
    free(prof->list);
    free(prof);
}

int clfcn_prof_stop(struct clfcn_dev *dev, struct clfcn_err *err)
{
    if (!dev->prof) {
        return CLFCN_OK;
    }
    clfcn_prof_finish(dev);
    return clfcn_dev_make_queues(dev, false, err);
}
