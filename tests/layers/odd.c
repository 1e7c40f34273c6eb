/* odd.c - an OpenCL layer that gives every device the oddities of some:
 * OPENCL_LAYERS=this.so, and of these, those that are set.
 *
 *   CLFCN_ODD_CLOCK      what the times of commands are: "zero"; "short" or "long", a
 *                        thousandth or a thousand times of what they were; "none": they
 *                        are not to be had
 *   CLFCN_ODD_MEMORY     bytes; a buffer with which all would be more cannot be made
 *   CLFCN_ODD_LAUNCH_MS  that every kernel takes longer
 *   CLFCN_ODD_STAMP      a file that is made when the layer is taken up, which older
 *                        loaders do not do */
#include "frame.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double number(const char *name)
{
    const char *text = getenv(name);
    return text ? strtod(text, NULL) : 0;
}

static cl_int CL_API_CALL event_time(cl_event event, cl_profiling_info which, size_t size,
                                     void *value, size_t *size_ret)
{
    const char *clock = getenv("CLFCN_ODD_CLOCK");
    if (clock && strcmp(clock, "none") == 0) {
        return CL_PROFILING_INFO_NOT_AVAILABLE;
    }
    const cl_int code =
        below->clGetEventProfilingInfo(event, which, size, value, size_ret);
    if (code == CL_SUCCESS && clock && value && size >= sizeof(cl_ulong)) {
        cl_ulong ns;
        memcpy(&ns, value, sizeof(ns));
        ns = strcmp(clock, "zero") == 0    ? 0
             : strcmp(clock, "short") == 0 ? ns / 1000
                                           : ns * 1000;
        memcpy(value, &ns, sizeof(ns));
    }
    return code;
}

static atomic_size_t used; /* bytes of buffers */

static void CL_CALLBACK forget(cl_mem mem, void *bytes)
{
    (void)mem;
    atomic_fetch_sub(&used, (size_t)bytes);
}

static cl_mem CL_API_CALL create_buffer(cl_context context, cl_mem_flags flags,
                                        size_t bytes, void *host, cl_int *code)
{
    const double limit = number("CLFCN_ODD_MEMORY");
    if (limit > 0 && (double)(atomic_load(&used) + bytes) > limit) {
        if (code) {
            *code = CL_MEM_OBJECT_ALLOCATION_FAILURE;
        }
        return NULL;
    }
    const cl_mem mem = below->clCreateBuffer(context, flags, bytes, host, code);
    if (mem) {
        atomic_fetch_add(&used, bytes);
        below->clSetMemObjectDestructorCallback(mem, forget, (void *)bytes);
    }
    return mem;
}

static cl_int CL_API_CALL enqueue(cl_command_queue queue, cl_kernel kernel, cl_uint dims,
                                  const size_t *offset, const size_t *global,
                                  const size_t *local, cl_uint event_count,
                                  const cl_event *events, cl_event *event)
{
    const double ms = number("CLFCN_ODD_LAUNCH_MS");
    if (ms > 0) {
        const struct timespec pause = { .tv_nsec = (long)(1e6 * ms) };
        nanosleep(&pause, NULL);
    }
    return below->clEnqueueNDRangeKernel(queue, kernel, dims, offset, global, local,
                                         event_count, events, event);
}

bool take_up(cl_icd_dispatch *above)
{
    above->clGetEventProfilingInfo = event_time;
    above->clCreateBuffer = create_buffer;
    above->clEnqueueNDRangeKernel = enqueue;
    return stamp(getenv("CLFCN_ODD_STAMP"));
}
