/* slow.c - an OpenCL layer that makes a device slow: each kernel takes
 * CLFCN_TEST_SLOW times as long as it would. */
#include "frame.h"

#include <stdlib.h>
#include <threads.h>
#include <time.h>

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

bool take_up(cl_icd_dispatch *above)
{
    const char *text = getenv("CLFCN_TEST_SLOW");
    factor = text ? strtod(text, NULL) : 0;
    above->clEnqueueNDRangeKernel = enqueue;
    return factor >= 1 && factor <= 1000;
}
