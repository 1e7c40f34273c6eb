/* fault.c - an OpenCL layer that makes a device compute one wrong value.
 *
 * OPENCL_LAYERS=this.so and CLFCN_FAULT="DEVICE KERNEL CALL ARG ELEMENT ADD": after the
 * CALL-th launch (from 1; 0: after every one) of KERNEL on devices in whose name DEVICE
 * occurs, ADD is added to float ELEMENT of the buffer that argument ARG names. The file CLFCN_FAULT_STAMP is
 * made when the layer is taken up, which older loaders do not do. */
#include "frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ARGS = 32 };

static struct {
    char device[64], kernel[64];
    unsigned call, arg;
    size_t element;
    float add;
} fault;
static unsigned calls;

/* Of the kernel that arguments were set of last: all are set before every launch. */
static cl_kernel kernel_of_args;
static cl_mem buffers[MAX_ARGS];

static cl_int CL_API_CALL set_arg(cl_kernel kernel, cl_uint index, size_t size,
                                  const void *value)
{
    if (kernel != kernel_of_args) {
        memset(buffers, 0, sizeof(buffers));
        kernel_of_args = kernel;
    }
    if (index < MAX_ARGS && size == sizeof(cl_mem) && value) {
        memcpy(&buffers[index], value, sizeof(cl_mem));
    }
    return below->clSetKernelArg(kernel, index, size, value);
}

static int is_meant(cl_command_queue queue, cl_kernel kernel)
{
    char text[256] = "";
    cl_device_id device;
    below->clGetKernelInfo(kernel, CL_KERNEL_FUNCTION_NAME, sizeof(text), text, NULL);
    if (strcmp(text, fault.kernel) != 0) {
        return 0;
    }
    below->clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof(device), &device, NULL);
    below->clGetDeviceInfo(device, CL_DEVICE_NAME, sizeof(text), text, NULL);
    return strstr(text, fault.device) && (++calls == fault.call || fault.call == 0);
}

static void spoil(cl_command_queue queue, cl_mem mem)
{
    const size_t at = fault.element * sizeof(float);
    float value;
    if (below->clEnqueueReadBuffer(queue, mem, CL_TRUE, at, sizeof(value), &value, 0,
                                   NULL, NULL) == CL_SUCCESS) {
        value += fault.add;
        below->clEnqueueWriteBuffer(queue, mem, CL_TRUE, at, sizeof(value), &value, 0,
                                    NULL, NULL);
    }
}

static cl_int CL_API_CALL enqueue(cl_command_queue queue, cl_kernel kernel, cl_uint dims,
                                  const size_t *offset, const size_t *global,
                                  const size_t *local, cl_uint event_count,
                                  const cl_event *events, cl_event *event)
{
    const cl_int code = below->clEnqueueNDRangeKernel(queue, kernel, dims, offset, global,
                                                      local, event_count, events, event);
    if (code == CL_SUCCESS && is_meant(queue, kernel)) {
        spoil(queue, buffers[fault.arg]);
    }
    return code;
}

bool take_up(cl_icd_dispatch *above)
{
    const char *text = getenv("CLFCN_FAULT"), *path = getenv("CLFCN_FAULT_STAMP");
    above->clSetKernelArg = set_arg;
    above->clEnqueueNDRangeKernel = enqueue;
    return text && path &&
           sscanf(text, "%63s %63s %u %u %zu %f", fault.device, fault.kernel, &fault.call,
                  &fault.arg, &fault.element, &fault.add) == 6 &&
           fault.arg < MAX_ARGS && stamp(path);
}
