#include "pinned.h"
#include "buffer.h"
#include <stdlib.h>

int clfcn_pinned_create(struct clfcn_dev *dev, size_t bytes, struct clfcn_pinned *out,
                        struct clfcn_err *err)
{
    cl_int code;
    *out = (struct clfcn_pinned){ 0 };
    /* OpenCL's way to such memory: drivers put it where the device's copies reach it. */
    out->mem = clCreateBuffer(dev->context, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR,
                              bytes, NULL, &code);
    if (out->mem) {
        atomic_fetch_add(&dev->live_objects, 1);
        out->data = clEnqueueMapBuffer(dev->compute, out->mem, CL_TRUE,
                                       CL_MAP_READ | CL_MAP_WRITE, 0, bytes, 0, NULL,
                                       NULL, &code);
    }
    if (!out->data) {
        clfcn_buffer_release(dev, &out->mem);
        out->data = malloc(bytes);
    }
    return out->data ? CLFCN_OK : clfcn_err_nomem(err);
}

void clfcn_pinned_release(struct clfcn_dev *dev, struct clfcn_pinned *p)
{
    if (p->mem) {
        clEnqueueUnmapMemObject(dev->compute, p->mem, p->data, 0, NULL, NULL);
        clFinish(dev->compute);
        clfcn_buffer_release(dev, &p->mem);
    } else {
        free(p->data);
    }
    p->data = NULL;
}
