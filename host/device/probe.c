/* probe.c - what OpenCL devices there are and whether clfcn can use them. */
#include "../util/log.h"
#include "dev.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Copy text without spaces at its ends and without runs of them inside; vendors pad
 * names. */
static void copy_trimmed(char *dst, size_t n, const char *text)
{
    size_t len = 0;
    for (; *text && len + 1 < n; ++text) {
        const bool space = (unsigned char)*text <= ' ';
        if (!space) {
            dst[len++] = *text;
        } else if (len > 0 && dst[len - 1] != ' ') {
            dst[len++] = ' ';
        }
    }
    while (len > 0 && dst[len - 1] == ' ') {
        --len;
    }
    dst[len] = '\0';
}

/* A string property in a new array; "" if the device does not tell; NULL without
 * memory. */
static char *device_text(cl_device_id id, cl_device_info what)
{
    size_t size = 0;
    if (clGetDeviceInfo(id, what, 0, NULL, &size) != CL_SUCCESS) {
        size = 0;
    }
    char *text = calloc(1, size + 1);
    if (text && size > 0 && clGetDeviceInfo(id, what, size, text, NULL) != CL_SUCCESS) {
        text[0] = '\0';
    }
    return text;
}

/* false without memory. */
static bool copy_device_text(char *dst, size_t n, cl_device_id id, cl_device_info what)
{
    char *text = device_text(id, what);
    const bool told = text != NULL;
    copy_trimmed(dst, n, told ? text : "");
    free(text);
    return told;
}

/* Scalar properties: 0 if the device does not tell. */
static cl_uint device_uint(cl_device_id id, cl_device_info what)
{
    cl_uint value = 0;
    clGetDeviceInfo(id, what, sizeof(value), &value, NULL);
    return value;
}

static cl_ulong device_ulong(cl_device_id id, cl_device_info what)
{
    cl_ulong value = 0;
    clGetDeviceInfo(id, what, sizeof(value), &value, NULL);
    return value;
}

static bool device_bool(cl_device_id id, cl_device_info what)
{
    cl_bool value = CL_FALSE;
    return clGetDeviceInfo(id, what, sizeof(value), &value, NULL) == CL_SUCCESS && value;
}

/* Whether the list of words separated by spaces holds word. */
static bool has_word(const char *list, const char *word)
{
    const size_t len = strlen(word);
    for (const char *p = list; (p = strstr(p, word)); p += len) {
        const bool starts = p == list || p[-1] == ' ';
        if (starts && (p[len] == ' ' || p[len] == '\0')) {
            return true;
        }
    }
    return false;
}

static bool contains_nocase(const char *text, const char *part)
{
    const size_t len = strlen(part);
    for (; *text; ++text) {
        if (strncasecmp(text, part, len) == 0) {
            return true;
        }
    }
    return false;
}

static void read_type(cl_device_id id, struct clfcn_device_info *info)
{
    cl_device_type type = 0;
    if (clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof(type), &type, NULL) != CL_SUCCESS) {
        type = 0;
    }
    /* A simulator may claim every type at once: that is no CPU to lay kernels out for. */
    info->is_cpu = (type & ~(cl_device_type)CL_DEVICE_TYPE_DEFAULT) == CL_DEVICE_TYPE_CPU;
    info->is_gpu = (type & CL_DEVICE_TYPE_GPU) != 0;
    info->device_class = CLFCN_CLASS_OTHER;
    if (info->is_cpu) {
        info->device_class = CLFCN_CLASS_CPU;
    } else if (info->is_gpu && contains_nocase(info->vendor, "nvidia")) {
        info->device_class = CLFCN_CLASS_NVIDIA;
    } else if (info->is_gpu && (strstr(info->vendor, "AMD") ||
                                contains_nocase(info->vendor, "advanced micro"))) {
        info->device_class = CLFCN_CLASS_AMD;
    } else if (info->is_gpu && contains_nocase(info->vendor, "intel")) {
        info->device_class = CLFCN_CLASS_INTEL;
    }
}

static void read_limits(cl_device_id id, struct clfcn_device_info *info)
{
    info->compute_units = device_uint(id, CL_DEVICE_MAX_COMPUTE_UNITS);
    info->clock_mhz = device_uint(id, CL_DEVICE_MAX_CLOCK_FREQUENCY);
    info->vector_width = device_uint(id, CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT);
    info->base_align = device_uint(id, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8; /* in bits */
    if (info->base_align == 0) {
        info->base_align = 128; /* the size of the largest built-in type, long16 */
    }
    clGetDeviceInfo(id, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(info->max_work_group),
                    &info->max_work_group, NULL);

    /* A device with more than three dimensions would refuse a shorter array. */
    size_t items[16] = { 0 };
    if (clGetDeviceInfo(id, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof(items), items, NULL) ==
        CL_SUCCESS) {
        memcpy(info->max_work_item, items, sizeof(info->max_work_item));
    }
    info->global_bytes = device_ulong(id, CL_DEVICE_GLOBAL_MEM_SIZE);
    info->max_alloc_bytes = device_ulong(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    if (info->max_alloc_bytes == 0) {
        info->max_alloc_bytes = info->global_bytes / 4; /* the least that is legal */
    } else if (info->max_alloc_bytes > info->global_bytes) {
        info->max_alloc_bytes = info->global_bytes;
    }
    info->local_bytes = device_ulong(id, CL_DEVICE_LOCAL_MEM_SIZE);
    info->unified_memory = info->is_cpu || device_bool(id, CL_DEVICE_HOST_UNIFIED_MEMORY);
}

/* What no device will have for long; a driver that says so cannot be believed. */
static const unsigned max_compute_units = 1 << 20;
static const uint64_t max_global_bytes = (uint64_t)1 << 50;

/* Sets usable, and why_not where it is false. */
static void judge(cl_device_id id, const char *profile, struct clfcn_device_info *info)
{
    int major = 0, minor = 0;
    char *why = info->why_not;
    const size_t n = sizeof(info->why_not);
    if (!device_bool(id, CL_DEVICE_AVAILABLE)) {
        snprintf(why, n, "the driver says that it is not available");
    } else if (!device_bool(id, CL_DEVICE_COMPILER_AVAILABLE)) {
        snprintf(why, n, "it has no OpenCL C compiler");
    } else if (sscanf(info->version, "OpenCL %4d.%4d", &major, &minor) != 2) {
        snprintf(why, n, "its OpenCL version cannot be read");
    } else if (major < 1 || (major == 1 && minor < 2)) {
        snprintf(why, n, "it has OpenCL %d.%d, and 1.2 is needed", major, minor);
    } else if (strcmp(profile, "EMBEDDED_PROFILE") == 0) {
        snprintf(why, n, "it has only the embedded profile of OpenCL");
    } else if (!device_bool(id, CL_DEVICE_ENDIAN_LITTLE)) {
        snprintf(why, n, "it is big-endian");
    } else if (info->name[0] == '\0') {
        snprintf(why, n, "the driver tells no name of it");
    } else if (info->global_bytes == 0 || info->max_work_group == 0) {
        snprintf(why, n, "the driver does not tell its memory and work-group size");
    } else if (info->compute_units == 0 || info->compute_units > max_compute_units) {
        snprintf(why, n, "the driver claims that it has %u compute units",
                 info->compute_units);
    } else if (info->global_bytes > max_global_bytes) {
        snprintf(why, n, "the driver claims that it has %llu bytes of memory",
                 (unsigned long long)info->global_bytes);
    } else {
        info->usable = true;
    }
}

static int probe_device(cl_platform_id platform, cl_device_id id, int index,
                        struct clfcn_probe *probe, struct clfcn_err *err)
{
    struct clfcn_device_info *info = &probe->info;
    char name[512] = "", profile[64];
    *probe = (struct clfcn_probe){ .platform = platform, .id = id };
    info->index = index;
    char *extensions = device_text(id, CL_DEVICE_EXTENSIONS);
    if (!extensions ||
        !copy_device_text(info->name, sizeof(info->name), id, CL_DEVICE_NAME) ||
        !copy_device_text(info->vendor, sizeof(info->vendor), id, CL_DEVICE_VENDOR) ||
        !copy_device_text(info->driver, sizeof(info->driver), id, CL_DRIVER_VERSION) ||
        !copy_device_text(info->version, sizeof(info->version), id, CL_DEVICE_VERSION) ||
        !copy_device_text(profile, sizeof(profile), id, CL_DEVICE_PROFILE)) {
        free(extensions);
        return clfcn_err_nomem(err);
    }
    if (clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof(name), name, NULL) !=
        CL_SUCCESS) {
        name[0] = '\0';
    }
    copy_trimmed(info->platform, sizeof(info->platform), name);

    info->fp16 = has_word(extensions, "cl_khr_fp16");
    info->fp64 = has_word(extensions, "cl_khr_fp64");
    free(extensions);
    read_type(id, info);
    read_limits(id, info);
    judge(id, profile, info);
    if (info->name[0] == '\0') {
        snprintf(info->name, sizeof(info->name), "unnamed device");
    }
    return CLFCN_OK;
}

/* Add the devices of one platform to the array. Only missing memory is an error. */
static int probe_platform(cl_platform_id platform, int number, struct clfcn_probe **list,
                          int *count, struct clfcn_err *err)
{
    cl_uint n = 0;
    cl_int code = clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, NULL, &n);
    if (code == CL_DEVICE_NOT_FOUND || (code == CL_SUCCESS && n == 0)) {
        return CLFCN_OK;
    }
    cl_device_id *ids = NULL;
    if (code == CL_SUCCESS && n > CLFCN_MAX_DEVICES) {
        clfcn_warn("OpenCL platform %d is left out: it claims to have %u devices", number,
                   n);
        return CLFCN_OK;
    }
    if (code == CL_SUCCESS) {
        ids = calloc(n, sizeof(*ids));
        if (!ids) {
            return clfcn_err_nomem(err);
        }
        code = clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, n, ids, NULL);
    }
    if (code != CL_SUCCESS) {
        clfcn_warn("OpenCL platform %d is left out: it cannot list its devices: %s",
                   number, clfcn_cl_error_name(code));
        free(ids);
        return CLFCN_OK;
    }
    struct clfcn_probe *grown = realloc(*list, ((size_t)*count + n) * sizeof(**list));
    if (!grown) {
        free(ids);
        return clfcn_err_nomem(err);
    }
    *list = grown;
    int rc = CLFCN_OK;
    for (cl_uint i = 0; i < n && rc == CLFCN_OK; ++i) {
        rc = probe_device(platform, ids[i], *count, &grown[*count], err);
        ++*count;
    }
    free(ids);
    return rc;
}

int clfcn_probe_all(struct clfcn_probe **list, int *count, struct clfcn_err *err)
{
    *list = NULL;
    *count = 0;
    cl_uint n = 0;
    cl_int code = clGetPlatformIDs(0, NULL, &n);
    if (code == CLFCN_PLATFORM_NOT_FOUND || (code == CL_SUCCESS && n == 0)) {
        return CLFCN_OK;
    }
    cl_platform_id *platforms = NULL;
    if (code == CL_SUCCESS) {
        platforms = calloc(n, sizeof(cl_platform_id));
        if (!platforms) {
            return clfcn_err_nomem(err);
        }
        code = clGetPlatformIDs(n, platforms, NULL);
    }
    if (code != CL_SUCCESS) {
        clfcn_warn("OpenCL cannot list its platforms: %s", clfcn_cl_error_name(code));
        n = 0;
    }
    int rc = CLFCN_OK;
    for (cl_uint i = 0; i < n && rc == CLFCN_OK; ++i) {
        rc = probe_platform(platforms[i], (int)i, list, count, err);
    }
    free(platforms);
    if (rc < 0) {
        free(*list);
        *list = NULL;
        *count = 0;
    }
    return rc;
}
