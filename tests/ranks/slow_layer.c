/* slow_layer.c - an OpenCL layer that makes a device slow: each kernel takes
 * CLFCN_TEST_SLOW times as long as it would. */
#include <CL/cl_layer.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <time.h>

static const struct _cl_icd_dispatch *below;
static struct _cl_icd_dispatch above;
static double factor;

static double seconds(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static cl_int CL_API_CALL enqueue(cl_command_queue queue, cl_kernel kernel, cl_uint dims,
                                  const size_t *offset, const size_t *global,
                                  const size_t *local, cl_uint wait_count,
                                  const cl_event *waits, cl_event *event)
{
    below->clFinish(queue); /* what came before took its own time */
    const double begin = seconds();
    const cl_int code = below->clEnqueueNDRangeKernel(queue, kernel, dims, offset, global,
                                                      local, wait_count, waits, event);
    if (code == CL_SUCCESS) {
        below->clFinish(queue);
        const double more = (factor - 1) * (seconds() - begin);
        if (more > 0) {
            thrd_sleep(
                &(struct timespec){ .tv_sec = (time_t)more,
                                    .tv_nsec = (long)(1e9 * (more - (time_t)more)) },
                NULL);
        }
    }
    return code;
}

CL_API_ENTRY cl_int CL_API_CALL clGetLayerInfo(cl_layer_info what, size_t size,
                                               void *value, size_t *size_ret)
{
    const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
    if (what != CL_LAYER_API_VERSION || (value && size < sizeof(version))) {
        return CL_INVALID_VALUE;
    }
    if (value) {
        memcpy(value, &version, sizeof(version));
    }
    if (size_ret) {
        *size_ret = sizeof(version);
    }
    return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clInitLayer(cl_uint entries,
                                            const struct _cl_icd_dispatch *target,
                                            cl_uint *entries_ret,
                                            const struct _cl_icd_dispatch **layer)
{
    const char *text = getenv("CLFCN_TEST_SLOW");
    factor = text ? strtod(text, NULL) : 0;
    if (entries < sizeof(above) / sizeof(void *) || !(factor >= 1 && factor <= 1000)) {
        return CL_INVALID_VALUE;
    }
    below = target;
    above = *target;
    above.clEnqueueNDRangeKernel = enqueue;
    *entries_ret = sizeof(above) / sizeof(void *);
    *layer = &above;
    return CL_SUCCESS;
}
