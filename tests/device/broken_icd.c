/* broken_icd.c - an OpenCL driver of one device with one fault, FAULT; each fault a
 * library.
 *
 * Just enough of a driver for an ICD loader to take it. What the loader and clfcn-probe
 * do not call before the fault shows is not there: NULL in the dispatch table. */
#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl_icd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum fault {
    CRASH_ON_LOAD,
    HANG_ON_LOAD,
    EXIT_ON_LOAD,
    CRASH_IN_PLATFORMS,
    CRASH_IN_DEVICES,
    HANG_IN_DEVICES,
    CRASH_IN_CONTEXT,
    ERROR_FROM_PLATFORMS,
    ERROR_FROM_DEVICES,
    NO_PLATFORMS,
    NO_DEVICES,
    BILLIONS_OF_DEVICES,
    NO_COMPUTE_UNITS,
    NO_MEMORY,
    NO_NAME,
    ABSURD_MEMORY
};

#define EXPORT __attribute__((visibility("default")))

struct object {
    cl_icd_dispatch *dispatch; /* where ICD loaders look for it */
};
static cl_icd_dispatch dispatch;
static struct object the_platform = { &dispatch }, the_device = { &dispatch };

static void crash(void)
{
    raise(SIGSEGV); /* a null pointer would be the compiler's to optimise */
}

static void hang(void)
{
    for (;;) {
        sleep(1000);
    }
}

__attribute__((constructor)) static void load(void)
{
    if (FAULT == CRASH_ON_LOAD) {
        crash();
    } else if (FAULT == HANG_ON_LOAD) {
        hang();
    } else if (FAULT == EXIT_ON_LOAD) {
        printf("this driver likes to talk\n");
        exit(0);
    }
}

static cl_int give(const void *from, size_t n, size_t size, void *value, size_t *size_ret)
{
    if (size_ret) {
        *size_ret = n;
    }
    if (value && size < n) {
        return CL_INVALID_VALUE;
    }
    if (value) {
        memcpy(value, from, n);
    }
    return CL_SUCCESS;
}

static cl_int give_text(const char *text, size_t size, void *value, size_t *size_ret)
{
    return give(text, strlen(text) + 1, size, value, size_ret);
}

static cl_int CL_API_CALL get_platform_info(cl_platform_id platform,
                                            cl_platform_info what, size_t size,
                                            void *value, size_t *size_ret)
{
    return give_text(what == CL_PLATFORM_EXTENSIONS       ? "cl_khr_icd"
                     : what == CL_PLATFORM_ICD_SUFFIX_KHR ? "BRK"
                     : what == CL_PLATFORM_VERSION        ? "OpenCL 1.2 broken"
                     : what == CL_PLATFORM_PROFILE        ? "FULL_PROFILE"
                                                          : "Broken",
                     size, value, size_ret);
}

/* Not in the dispatch table, where its name would mean the loader's function. */
EXPORT CL_API_ENTRY cl_int CL_API_CALL clGetPlatformInfo(cl_platform_id platform,
                                                         cl_platform_info what,
                                                         size_t size, void *value,
                                                         size_t *size_ret)
{
    return get_platform_info(platform, what, size, value, size_ret);
}

EXPORT CL_API_ENTRY cl_int CL_API_CALL clIcdGetPlatformIDsKHR(cl_uint entries,
                                                              cl_platform_id *platforms,
                                                              cl_uint *count)
{
    if (FAULT == CRASH_IN_PLATFORMS) {
        crash();
    } else if (FAULT == ERROR_FROM_PLATFORMS) {
        return CL_OUT_OF_HOST_MEMORY;
    }
    if (count) {
        *count = FAULT == NO_PLATFORMS ? 0 : 1;
    }
    if (platforms && entries > 0) {
        platforms[0] = (cl_platform_id)&the_platform;
    }
    return CL_SUCCESS;
}

static cl_int CL_API_CALL get_devices(cl_platform_id platform, cl_device_type type,
                                      cl_uint entries, cl_device_id *devices,
                                      cl_uint *count)
{
    if (FAULT == CRASH_IN_DEVICES) {
        crash();
    } else if (FAULT == HANG_IN_DEVICES) {
        hang();
    } else if (FAULT == ERROR_FROM_DEVICES) {
        return CL_OUT_OF_HOST_MEMORY;
    } else if (FAULT == NO_DEVICES) {
        return CL_DEVICE_NOT_FOUND;
    }
    if (count) {
        *count = FAULT == BILLIONS_OF_DEVICES ? 4000000000u : 1;
    }
    if (devices && entries > 0) {
        devices[0] = (cl_device_id)&the_device;
    }
    return CL_SUCCESS;
}

static cl_int give_memory(size_t size, void *value, size_t *size_ret)
{
    const cl_ulong bytes = FAULT == NO_MEMORY       ? 0
                           : FAULT == ABSURD_MEMORY ? ~(cl_ulong)0
                                                    : (cl_ulong)1 << 30;
    return give(&bytes, sizeof(bytes), size, value, size_ret);
}

static cl_int CL_API_CALL get_device_info(cl_device_id device, cl_device_info what,
                                          size_t size, void *value, size_t *size_ret)
{
    const cl_uint units = FAULT == NO_COMPUTE_UNITS ? 0 : 4;
    const cl_bool yes = CL_TRUE;
    const cl_device_type type = CL_DEVICE_TYPE_GPU; /* ahead of a CPU for 'auto' */
    const size_t group = 256, items[3] = { 256, 256, 256 };
    switch (what) {
    case CL_DEVICE_NAME:
        return give_text(FAULT == NO_NAME ? "" : "Broken GPU", size, value, size_ret);
    case CL_DEVICE_VERSION:
        return give_text("OpenCL 1.2 broken", size, value, size_ret);
    case CL_DEVICE_VENDOR:
    case CL_DRIVER_VERSION:
        return give_text("0", size, value, size_ret);
    case CL_DEVICE_PROFILE:
        return give_text("FULL_PROFILE", size, value, size_ret);
    case CL_DEVICE_EXTENSIONS:
        return give_text("", size, value, size_ret);
    case CL_DEVICE_TYPE:
        return give(&type, sizeof(type), size, value, size_ret);
    case CL_DEVICE_MAX_COMPUTE_UNITS:
        return give(&units, sizeof(units), size, value, size_ret);
    case CL_DEVICE_MAX_WORK_GROUP_SIZE:
        return give(&group, sizeof(group), size, value, size_ret);
    case CL_DEVICE_MAX_WORK_ITEM_SIZES:
        return give(items, sizeof(items), size, value, size_ret);
    case CL_DEVICE_GLOBAL_MEM_SIZE:
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
        return give_memory(size, value, size_ret);
    case CL_DEVICE_AVAILABLE:
    case CL_DEVICE_COMPILER_AVAILABLE:
    case CL_DEVICE_ENDIAN_LITTLE:
        return give(&yes, sizeof(yes), size, value, size_ret);
    default:
        return CL_INVALID_VALUE;
    }
}

static cl_context CL_API_CALL create_context(
    const cl_context_properties *properties, cl_uint count, const cl_device_id *devices,
    void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *user,
    cl_int *code)
{
    if (FAULT == CRASH_IN_CONTEXT) {
        crash();
    }
    if (code) {
        *code = CL_OUT_OF_RESOURCES;
    }
    return NULL;
}

static cl_icd_dispatch dispatch = {
    .clGetPlatformInfo = get_platform_info,
    .clGetDeviceIDs = get_devices,
    .clGetDeviceInfo = get_device_info,
    .clCreateContext = create_context,
};

EXPORT CL_API_ENTRY void *CL_API_CALL clGetExtensionFunctionAddress(const char *name)
{
    void *address = NULL;
    if (strcmp(name, "clIcdGetPlatformIDsKHR") == 0) {
        *(cl_int(CL_API_CALL **)(cl_uint, cl_platform_id *, cl_uint *)) & address =
            clIcdGetPlatformIDsKHR;
    }
    return address;
}
