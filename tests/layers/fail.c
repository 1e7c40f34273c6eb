/* fail.c - an OpenCL layer that makes one call fail, and counts calls and objects.
 *
 * CLFCN_FAIL="NAME N CODE": the N-th call (from 1) of the function NAME, or of any for
 * NAME "any", does nothing and returns CODE (-5). CODE "build" is what a compiler that
 * finds an error returns; with "crash" the process dies, with "hang" the call never
 * returns. With "flip", of clEnqueueReadBuffer, it is made and one bit of what it reads
 * is wrong. N 0: none fails.
 *
 * CLFCN_FAIL_SLOW=N: each call takes N microseconds longer.
 *
 * CLFCN_FAIL_ONCE=FILE: it is made before a call fails; where it is there, none fails.
 *
 * CLFCN_FAIL_REPORT=FILE: it is written when the process ends, a line each: "call NAME
 * COUNT" for each function that was called, "failed NAME", and "live KIND COUNT" for what
 * was made and not released.
 *
 * CLFCN_FAIL_SERIES=FILE: after each 10000 calls a line "CALLS KIND COUNT KIND COUNT ..." of
 * the objects that are alive is added to it.
 *
 * Calls that release do not fail and are not counted: there is nothing a program can do
 * about that. */
#include "frame.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FUNCTIONS = 64, NAME = 64, SERIES = 10000 };
enum { CRASH = 1, HANG = 2, FLIP = 3 }; /* no codes of OpenCL's */
enum kind { BUFFER, CONTEXT, EVENT, KERNEL, PROGRAM, QUEUE, KINDS };
static const char *const kinds[KINDS] = { "buffer", "context", "event",
                                          "kernel", "program", "queue" };

static struct {
    char name[NAME];
    unsigned long call;
    cl_int code;
} wanted;

static struct {
    _Atomic(const char *) name;
    atomic_ulong calls;
} functions[FUNCTIONS];
static atomic_ulong calls;
static unsigned slow; /* microseconds */
static atomic_long live[KINDS];
static _Atomic(const char *) failed;

static unsigned long count(const char *name)
{
    int i = 0;
    const char *expected = NULL;
    /* A name is a string of this file, so its address tells. */
    while (i < FUNCTIONS - 1 && atomic_load(&functions[i].name) != name &&
           !atomic_compare_exchange_strong(&functions[i].name, &expected, name)) {
        expected = NULL;
        ++i;
    }
    return atomic_fetch_add(&functions[i].calls, 1) + 1;
}

static void tell_live(unsigned long n)
{
    const char *path = getenv("CLFCN_FAIL_SERIES");
    char line[256];
    int len = snprintf(line, sizeof(line), "%lu", n);
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file) {
        return;
    }
    for (int k = 0; k < KINDS; ++k) {
        len += snprintf(line + len, sizeof(line) - (size_t)len, " %s %ld", kinds[k],
                        atomic_load(&live[k]));
    }
    fprintf(file, "%s\n", line);
    fclose(file);
}

/* The code that a call is to return without having been made; CL_SUCCESS: make it. */
static cl_int fault(const char *name)
{
    const unsigned long here = count(name), all = atomic_fetch_add(&calls, 1) + 1;
    if (all % SERIES == 0) {
        tell_live(all);
    }
    if (slow > 0) {
        usleep(slow);
    }
    const bool any = strcmp(wanted.name, "any") == 0;
    const bool meant = any || strcmp(wanted.name, name) == 0;
    if (!meant || wanted.call != (any ? all : here)) {
        return CL_SUCCESS;
    }
    const char *once = getenv("CLFCN_FAIL_ONCE");
    if (once && access(once, F_OK) == 0) {
        return CL_SUCCESS;
    }
    stamp(once);
    atomic_store(&failed, name);
    if (wanted.code == CRASH) {
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
    }
    while (wanted.code == HANG) {
        sleep(1000);
    }
    return wanted.code;
}

static void add(enum kind kind, long n)
{
    atomic_fetch_add(&live[kind], n);
}

/* --- functions --- */

/* What returns a status. */
#define STATUS(name, parameters, arguments)                       \
    static cl_int CL_API_CALL my_##name parameters                \
    {                                                             \
        const cl_int code = fault(#name);                         \
        return code != CL_SUCCESS ? code : below->name arguments; \
    }

/* What returns a status and makes an event if its last parameter asks for one. */
#define COMMAND(name, parameters, arguments)                 \
    static cl_int CL_API_CALL my_##name parameters           \
    {                                                        \
        cl_int code = fault(#name);                          \
        if (code == CL_SUCCESS) {                            \
            code = below->name arguments;                    \
            add(EVENT, code == CL_SUCCESS && event != NULL); \
        }                                                    \
        return code;                                         \
    }

/* What returns an object, and a status through its last parameter. */
#define CREATE(type, kind, name, parameters, arguments) \
    static type CL_API_CALL my_##name parameters        \
    {                                                   \
        const cl_int code = fault(#name);               \
        if (code != CL_SUCCESS) {                       \
            if (status) {                               \
                *status = code;                         \
            }                                           \
            return NULL;                                \
        }                                               \
        const type made = below->name arguments;        \
        add(kind, made != NULL);                        \
        return made;                                    \
    }

#define KEEP(name, type, kind, n)                    \
    static cl_int CL_API_CALL my_##name(type object) \
    {                                                \
        const cl_int code = below->name(object);     \
        add(kind, code == CL_SUCCESS ? (n) : 0);     \
        return code;                                 \
    }

#define WAITS cl_uint wait_count, const cl_event *waits, cl_event *event
#define WAITS_GIVEN wait_count, waits, event
#define INFO size_t size, void *value, size_t *size_ret
#define INFO_GIVEN size, value, size_ret

STATUS(clGetPlatformIDs, (cl_uint n, cl_platform_id *ids, cl_uint *count),
       (n, ids, count))
STATUS(clGetPlatformInfo, (cl_platform_id id, cl_platform_info what, INFO),
       (id, what, INFO_GIVEN))
STATUS(clGetDeviceIDs,
       (cl_platform_id id, cl_device_type type, cl_uint n, cl_device_id *ids,
        cl_uint *count),
       (id, type, n, ids, count))
STATUS(clGetDeviceInfo, (cl_device_id id, cl_device_info what, INFO),
       (id, what, INFO_GIVEN))
STATUS(clGetContextInfo, (cl_context c, cl_context_info what, INFO),
       (c, what, INFO_GIVEN))
STATUS(clGetCommandQueueInfo, (cl_command_queue q, cl_command_queue_info what, INFO),
       (q, what, INFO_GIVEN))
STATUS(clGetMemObjectInfo, (cl_mem m, cl_mem_info what, INFO), (m, what, INFO_GIVEN))
STATUS(clGetProgramInfo, (cl_program p, cl_program_info what, INFO),
       (p, what, INFO_GIVEN))
STATUS(clGetProgramBuildInfo,
       (cl_program p, cl_device_id id, cl_program_build_info what, INFO),
       (p, id, what, INFO_GIVEN))
STATUS(clGetKernelInfo, (cl_kernel k, cl_kernel_info what, INFO), (k, what, INFO_GIVEN))
STATUS(clGetKernelWorkGroupInfo,
       (cl_kernel k, cl_device_id id, cl_kernel_work_group_info what, INFO),
       (k, id, what, INFO_GIVEN))
STATUS(clGetEventInfo, (cl_event e, cl_event_info what, INFO), (e, what, INFO_GIVEN))
STATUS(clGetEventProfilingInfo, (cl_event e, cl_profiling_info what, INFO),
       (e, what, INFO_GIVEN))
STATUS(clCreateSubDevices,
       (cl_device_id id, const cl_device_partition_property *how, cl_uint n,
        cl_device_id *made, cl_uint *count),
       (id, how, n, made, count))
STATUS(clBuildProgram,
       (cl_program p, cl_uint n, const cl_device_id *ids, const char *options,
        void(CL_CALLBACK *notify)(cl_program, void *), void *user),
       (p, n, ids, options, notify, user))
STATUS(clSetKernelArg, (cl_kernel k, cl_uint i, size_t size, const void *value),
       (k, i, size, value))
STATUS(clFinish, (cl_command_queue q), (q))
STATUS(clFlush, (cl_command_queue q), (q))
STATUS(clWaitForEvents, (cl_uint n, const cl_event *events), (n, events))
STATUS(clSetEventCallback,
       (cl_event e, cl_int when, void(CL_CALLBACK *notify)(cl_event, cl_int, void *),
        void *user),
       (e, when, notify, user))

COMMAND(clEnqueueWriteBuffer,
        (cl_command_queue q, cl_mem m, cl_bool wait, size_t at, size_t n,
         const void *from, WAITS),
        (q, m, wait, at, n, from, WAITS_GIVEN))
COMMAND(clEnqueueCopyBuffer,
        (cl_command_queue q, cl_mem from, cl_mem to, size_t at, size_t to_at, size_t n,
         WAITS),
        (q, from, to, at, to_at, n, WAITS_GIVEN))
COMMAND(clEnqueueFillBuffer,
        (cl_command_queue q, cl_mem m, const void *pattern, size_t width, size_t at,
         size_t n, WAITS),
        (q, m, pattern, width, at, n, WAITS_GIVEN))
COMMAND(clEnqueueUnmapMemObject, (cl_command_queue q, cl_mem m, void *at, WAITS),
        (q, m, at, WAITS_GIVEN))
COMMAND(clEnqueueNDRangeKernel,
        (cl_command_queue q, cl_kernel k, cl_uint n, const size_t *offset,
         const size_t *global, const size_t *local, WAITS),
        (q, k, n, offset, global, local, WAITS_GIVEN))
COMMAND(clEnqueueMarkerWithWaitList, (cl_command_queue q, WAITS), (q, WAITS_GIVEN))
COMMAND(clEnqueueBarrierWithWaitList, (cl_command_queue q, WAITS), (q, WAITS_GIVEN))

CREATE(cl_context, CONTEXT, clCreateContext,
       (const cl_context_properties *how, cl_uint n, const cl_device_id *ids,
        void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *user,
        cl_int *status),
       (how, n, ids, notify, user, status))
CREATE(cl_command_queue, QUEUE, clCreateCommandQueue,
       (cl_context c, cl_device_id id, cl_command_queue_properties how, cl_int *status),
       (c, id, how, status))
CREATE(cl_mem, BUFFER, clCreateBuffer,
       (cl_context c, cl_mem_flags flags, size_t n, void *host, cl_int *status),
       (c, flags, n, host, status))
CREATE(cl_mem, BUFFER, clCreateSubBuffer,
       (cl_mem m, cl_mem_flags flags, cl_buffer_create_type type, const void *how,
        cl_int *status),
       (m, flags, type, how, status))
CREATE(cl_program, PROGRAM, clCreateProgramWithSource,
       (cl_context c, cl_uint n, const char **texts, const size_t *lengths,
        cl_int *status),
       (c, n, texts, lengths, status))
CREATE(cl_program, PROGRAM, clCreateProgramWithBinary,
       (cl_context c, cl_uint n, const cl_device_id *ids, const size_t *lengths,
        const unsigned char **binaries, cl_int *each, cl_int *status),
       (c, n, ids, lengths, binaries, each, status))
CREATE(cl_kernel, KERNEL, clCreateKernel,
       (cl_program p, const char *name, cl_int *status), (p, name, status))

/* One that is to have a wrong bit waits for what it reads. */
static cl_int CL_API_CALL my_clEnqueueReadBuffer(cl_command_queue q, cl_mem m,
                                                 cl_bool wait, size_t at, size_t n,
                                                 void *to, WAITS)
{
    cl_int code = fault("clEnqueueReadBuffer");
    const bool flip = code == FLIP;
    if (code == CL_SUCCESS || flip) {
        code = below->clEnqueueReadBuffer(q, m, flip || wait, at, n, to, WAITS_GIVEN);
        add(EVENT, code == CL_SUCCESS && event != NULL);
    }
    if (flip && code == CL_SUCCESS && n > 0) {
        ((unsigned char *)to)[n / 2] ^= 0x40;
    }
    return code;
}

/* Makes an event as the others do, and returns where the buffer lies now. */
static void *CL_API_CALL my_clEnqueueMapBuffer(cl_command_queue q, cl_mem m, cl_bool wait,
                                               cl_map_flags flags, size_t at, size_t n,
                                               WAITS, cl_int *status)
{
    const cl_int code = fault("clEnqueueMapBuffer");
    if (code != CL_SUCCESS) {
        if (status) {
            *status = code;
        }
        return NULL;
    }
    void *mapped =
        below->clEnqueueMapBuffer(q, m, wait, flags, at, n, WAITS_GIVEN, status);
    add(EVENT, mapped != NULL && event != NULL);
    return mapped;
}

KEEP(clRetainContext, cl_context, CONTEXT, 1)
KEEP(clReleaseContext, cl_context, CONTEXT, -1)
KEEP(clRetainCommandQueue, cl_command_queue, QUEUE, 1)
KEEP(clReleaseCommandQueue, cl_command_queue, QUEUE, -1)
KEEP(clRetainMemObject, cl_mem, BUFFER, 1)
KEEP(clReleaseMemObject, cl_mem, BUFFER, -1)
KEEP(clRetainProgram, cl_program, PROGRAM, 1)
KEEP(clReleaseProgram, cl_program, PROGRAM, -1)
KEEP(clRetainKernel, cl_kernel, KERNEL, 1)
KEEP(clReleaseKernel, cl_kernel, KERNEL, -1)
KEEP(clRetainEvent, cl_event, EVENT, 1)
KEEP(clReleaseEvent, cl_event, EVENT, -1)

/* --- the layer --- */

static void report(void)
{
    const char *path = getenv("CLFCN_FAIL_REPORT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) {
        return;
    }
    for (int i = 0; i < FUNCTIONS && atomic_load(&functions[i].name); ++i) {
        fprintf(file, "call %s %lu\n", atomic_load(&functions[i].name),
                atomic_load(&functions[i].calls));
    }
    if (atomic_load(&failed)) {
        fprintf(file, "failed %s\n", atomic_load(&failed));
    }
    for (int k = 0; k < KINDS; ++k) {
        fprintf(file, "live %s %ld\n", kinds[k], atomic_load(&live[k]));
    }
    fclose(file);
}

static bool read_settings(void)
{
    const char *text = getenv("CLFCN_FAIL"), *delay = getenv("CLFCN_FAIL_SLOW");
    slow = delay ? (unsigned)atoi(delay) : 0;
    char code[16];
    if (!text) {
        return true;
    }
    if (sscanf(text, "%63s %lu %15s", wanted.name, &wanted.call, code) != 3) {
        return false;
    }
    wanted.code = strcmp(code, "build") == 0   ? CL_BUILD_PROGRAM_FAILURE
                  : strcmp(code, "crash") == 0 ? CRASH
                  : strcmp(code, "hang") == 0  ? HANG
                  : strcmp(code, "flip") == 0  ? FLIP
                                               : atoi(code);
    return wanted.code != CL_SUCCESS;
}

bool take_up(cl_icd_dispatch *above)
{
#define OVER(name) above->name = my_##name
    OVER(clGetPlatformIDs);
    OVER(clGetPlatformInfo);
    OVER(clGetDeviceIDs);
    OVER(clGetDeviceInfo);
    OVER(clGetContextInfo);
    OVER(clGetCommandQueueInfo);
    OVER(clGetMemObjectInfo);
    OVER(clGetProgramInfo);
    OVER(clGetProgramBuildInfo);
    OVER(clGetKernelInfo);
    OVER(clGetKernelWorkGroupInfo);
    OVER(clGetEventInfo);
    OVER(clGetEventProfilingInfo);
    OVER(clCreateSubDevices);
    OVER(clBuildProgram);
    OVER(clSetKernelArg);
    OVER(clFinish);
    OVER(clFlush);
    OVER(clWaitForEvents);
    OVER(clSetEventCallback);
    OVER(clEnqueueReadBuffer);
    OVER(clEnqueueWriteBuffer);
    OVER(clEnqueueCopyBuffer);
    OVER(clEnqueueFillBuffer);
    OVER(clEnqueueMapBuffer);
    OVER(clEnqueueUnmapMemObject);
    OVER(clEnqueueNDRangeKernel);
    OVER(clEnqueueMarkerWithWaitList);
    OVER(clEnqueueBarrierWithWaitList);
    OVER(clCreateContext);
    OVER(clCreateCommandQueue);
    OVER(clCreateBuffer);
    OVER(clCreateSubBuffer);
    OVER(clCreateProgramWithSource);
    OVER(clCreateProgramWithBinary);
    OVER(clCreateKernel);
    OVER(clRetainContext);
    OVER(clReleaseContext);
    OVER(clRetainCommandQueue);
    OVER(clReleaseCommandQueue);
    OVER(clRetainMemObject);
    OVER(clReleaseMemObject);
    OVER(clRetainProgram);
    OVER(clReleaseProgram);
    OVER(clRetainKernel);
    OVER(clReleaseKernel);
    OVER(clRetainEvent);
    OVER(clReleaseEvent);
#undef OVER
    return read_settings() && atexit(report) == 0;
}
