/* probe_main.c - clfcn-probe: opens one OpenCL driver's devices and says how it went.
 *
 *     clfcn-probe LIBRARY SECONDS
 *
 * A program of its own, so that it is this one which crashes or hangs; started by
 * host/device/trial.c, which shows the ICD loader LIBRARY only, and reads the report. */
#include "../device/dev.h"
#include "../util/child.h"
#include "../util/library.h"
#include <CL/cl_icd.h>
#include <stdarg.h>
#include <stdlib.h>

static FILE *report;

/* A line of the report. */
static void say(const char *fmt, ...) CLFCN_PRINTF(1, 2);
static void say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vfprintf(report, fmt, args);
    va_end(args);
    fputc('\n', report);
}

/* Say why the loader finds no platform in a library, as far as that is a fault. */
static void explain_silence(void *library)
{
    typedef void *(CL_API_CALL * address_fn)(const char *name);
    typedef cl_int(CL_API_CALL * platforms_fn)(cl_uint, cl_platform_id *, cl_uint *);
    address_fn address;
    platforms_fn platforms = NULL;
    /* ISO C has no conversion of an object's address to a function's. */
    *(void **)&address = clfcn_library_symbol(library, "clGetExtensionFunctionAddress");
    if (address) {
        *(void **)&platforms = address("clIcdGetPlatformIDsKHR");
    }
    if (!platforms) {
        say("idle is no OpenCL driver: it has no clIcdGetPlatformIDsKHR");
        return;
    }
    cl_uint n = 0;
    const cl_int code = platforms(0, NULL, &n);
    if (code == CL_SUCCESS && n > 0) {
        say("idle has platforms that the ICD loader refuses");
    } else if (code != CL_SUCCESS && code != CLFCN_PLATFORM_NOT_FOUND) {
        say("idle cannot list its platforms: %s", clfcn_cl_error_name(code));
    }
}

/* Whether the devices of a platform can be listed. */
static bool list_devices(cl_platform_id platform)
{
    cl_uint n = 0;
    const cl_int code = clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, NULL, &n);
    if (code != CL_SUCCESS && code != CL_DEVICE_NOT_FOUND) {
        say("broken cannot list its devices: %s", clfcn_cl_error_name(code));
        return false;
    }
    if (code == CL_SUCCESS && n > CLFCN_MAX_DEVICES) {
        say("broken claims to have %u devices", n);
        return false;
    }
    return true;
}

static bool list_platforms(void *library)
{
    cl_platform_id platforms[CLFCN_MAX_PLATFORMS];
    cl_uint n = 0;
    say("while listing its platforms");
    if (clGetPlatformIDs(CLFCN_MAX_PLATFORMS, platforms, &n) != CL_SUCCESS || n == 0) {
        explain_silence(library);
        return false;
    }
    if (n > CLFCN_MAX_PLATFORMS) {
        say("broken claims to have %u platforms", n);
        return false;
    }
    say("while listing its devices");
    for (cl_uint i = 0; i < n; ++i) {
        if (!list_devices(platforms[i])) {
            return false;
        }
    }
    return true;
}

/* Open a context and a queue. That it fails is no fault of the driver's: the device may
 * be in use, and whoever opens it will hear of it. */
static void open_device(const struct clfcn_probe *probe)
{
    say("while opening device '%s'", probe->info.name);
    const cl_context_properties properties[] = { CL_CONTEXT_PLATFORM,
                                                 (cl_context_properties)probe->platform,
                                                 0 };
    cl_context context = clCreateContext(properties, 1, &probe->id, NULL, NULL, NULL);
    if (!context) {
        return;
    }
    cl_command_queue queue = clCreateCommandQueue(context, probe->id, 0, NULL);
    if (queue) {
        clReleaseCommandQueue(queue);
    }
    clReleaseContext(context);
}

static void open_devices(void)
{
    struct clfcn_probe *probes;
    int count;
    say("while telling what its devices are");
    if (clfcn_probe_all(&probes, &count, NULL) < 0) {
        return;
    }
    for (int i = 0; i < count; ++i) {
        if (probes[i].info.usable) {
            open_device(&probes[i]);
        }
    }
    free(probes);
}

int main(int argc, char **argv)
{
    const double seconds = argc == 3 ? strtod(argv[2], NULL) : 0;
    if (!(seconds > 0)) {
        fprintf(stderr, "clfcn-probe is a part of clfcn and of no use by itself; see "
                        "'clfcn devices'\n");
        return 2;
    }
    report = clfcn_child_report(seconds);
    if (!report) {
        return 1;
    }
    struct clfcn_err err;
    say("while being loaded");
    void *library = clfcn_library_open(argv[1], &err);
    if (library) {
        const char *path = clfcn_library_path(library);
        if (path) {
            say("path %s", path);
        }
        if (list_platforms(library)) {
            open_devices();
        }
    } else {
        say("idle cannot be loaded: %s", err.msg);
    }
    say("done");
    /* What drivers do at a process's end is not asked here, and may hang. */
    _Exit(0);
}
