/* skip.c - an OpenCL layer that makes a driver wrong: kernels whose name is in
 * CLFCN_TEST_SKIP are not run, and nobody is told. */
#include "frame.h"

#include <stdlib.h>
#include <string.h>

static cl_int CL_API_CALL enqueue(cl_command_queue queue, cl_kernel kernel,
                                  cl_uint dimensions, const size_t *offset,
                                  const size_t *global, const size_t *local,
                                  cl_uint wait_count, const cl_event *waits,
                                  cl_event *event)
{
    const char *skip = getenv("CLFCN_TEST_SKIP");
    char name[128] = "";
    below->clGetKernelInfo(kernel, CL_KERNEL_FUNCTION_NAME, sizeof(name), name, NULL);
    if (skip && strcmp(name, skip) == 0) {
        return below->clEnqueueMarkerWithWaitList(queue, wait_count, waits, event);
    }
    return below->clEnqueueNDRangeKernel(queue, kernel, dimensions, offset, global, local,
                                         wait_count, waits, event);
}

bool take_up(cl_icd_dispatch *above)
{
    above->clEnqueueNDRangeKernel = enqueue;
    return true;
}
