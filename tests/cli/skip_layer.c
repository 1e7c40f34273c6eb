/* skip_layer.c - an OpenCL layer that makes a driver wrong: kernels whose name is in
 * CLFCN_TEST_SKIP are not run, and nobody is told. */
#include <CL/cl_layer.h>
#include <stdlib.h>
#include <string.h>

static const struct _cl_icd_dispatch *target;
static struct _cl_icd_dispatch mine;

static cl_int CL_API_CALL enqueue(cl_command_queue queue, cl_kernel kernel,
                                  cl_uint dimensions, const size_t *offset,
                                  const size_t *global, const size_t *local,
                                  cl_uint wait_count, const cl_event *waits,
                                  cl_event *event)
{
    const char *skip = getenv("CLFCN_TEST_SKIP");
    char name[128] = "";
    target->clGetKernelInfo(kernel, CL_KERNEL_FUNCTION_NAME, sizeof(name), name, NULL);
    if (skip && strcmp(name, skip) == 0) {
        return target->clEnqueueMarkerWithWaitList(queue, wait_count, waits, event);
    }
    return target->clEnqueueNDRangeKernel(queue, kernel, dimensions, offset, global,
                                          local, wait_count, waits, event);
}

CL_API_ENTRY cl_int CL_API_CALL clGetLayerInfo(cl_layer_info name, size_t size,
                                               void *value, size_t *size_ret)
{
    const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
    if (name != CL_LAYER_API_VERSION || (value && size < sizeof(version))) {
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
                                            const struct _cl_icd_dispatch *below,
                                            cl_uint *entries_ret,
                                            const struct _cl_icd_dispatch **mine_ret)
{
    if (!below || !entries_ret || !mine_ret || entries < sizeof(mine) / sizeof(void *)) {
        return CL_INVALID_VALUE;
    }
    target = below;
    mine = *below;
    mine.clEnqueueNDRangeKernel = enqueue;
    *entries_ret = sizeof(mine) / sizeof(void *);
    *mine_ret = &mine;
    return CL_SUCCESS;
}
