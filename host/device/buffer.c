/* buffer.c - device memory with an account of it, and transfers. */
#include "buffer.h"
#include "../util/pages.h"
#include "../util/strbuf.h"
#include "prof.h"

enum { SIZE_TEXT = 16 };

static const char *human(uint64_t bytes, char buf[SIZE_TEXT])
{
    return clfcn_format_bytes(bytes, buf, SIZE_TEXT);
}

/* Take bytes from the device's memory on paper. CLFCN_EDEVMEM if there are not so many
 * left. */
static int reserve(struct clfcn_dev *dev, size_t bytes, const char *what,
                   struct clfcn_err *err)
{
    char need[SIZE_TEXT], have[SIZE_TEXT], used[SIZE_TEXT];
    const struct clfcn_device_info *info = &dev->info;
    if (bytes > info->max_alloc_bytes) {
        return clfcn_err_set(err, CLFCN_EDEVMEM, 0,
                             "buffer '%s' needs %s; '%s' allows at most %s in one buffer",
                             what, human(bytes, need), info->name,
                             human(info->max_alloc_bytes, have));
    }
    const size_t before = atomic_fetch_add(&dev->bytes, bytes);
    if (bytes > info->global_bytes || before > info->global_bytes - bytes) {
        atomic_fetch_sub(&dev->bytes, bytes);
        return clfcn_err_set(err, CLFCN_EDEVMEM, 0,
                             "buffer '%s' needs %s more; %s of the %s of '%s' are taken",
                             what, human(bytes, need), human(before, used),
                             human(info->global_bytes, have), info->name);
    }
    return CLFCN_OK;
}

static void note_peak(struct clfcn_dev *dev)
{
    const size_t now = atomic_load(&dev->bytes);
    size_t peak = atomic_load(&dev->peak_bytes);
    while (now > peak && !atomic_compare_exchange_weak(&dev->peak_bytes, &peak, now)) {
    }
}

static bool means_no_memory(cl_int code)
{
    return code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_RESOURCES ||
           code == CL_OUT_OF_HOST_MEMORY || code == CL_INVALID_BUFFER_SIZE;
}

int clfcn_buffer_create(struct clfcn_dev *dev, size_t bytes, const char *what,
                        cl_mem *out, struct clfcn_err *err)
{
    return clfcn_buffer_create_from(dev, NULL, bytes, what, out, err);
}

int clfcn_buffer_create_from(struct clfcn_dev *dev, const void *data, size_t bytes,
                             const char *what, cl_mem *out, struct clfcn_err *err)
{
    *out = NULL;
    if (bytes == 0) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "buffer '%s' would be empty", what);
    }
    const int rc = reserve(dev, bytes, what, err);
    if (rc < 0) {
        return rc;
    }
    cl_int code;
    *out = clCreateBuffer(dev->context,
                          CL_MEM_READ_WRITE | (data ? CL_MEM_COPY_HOST_PTR : 0), bytes,
                          (void *)(uintptr_t)data, &code);
    if (!*out) {
        char need[SIZE_TEXT], have[SIZE_TEXT], used[SIZE_TEXT];
        const size_t before = atomic_fetch_sub(&dev->bytes, bytes) - bytes;
        return clfcn_err_set(err, means_no_memory(code) ? CLFCN_EDEVMEM : CLFCN_ECL, code,
                             "buffer '%s': '%s' refuses %s (%s of its %s are taken): %s",
                             what, dev->info.name, human(bytes, need),
                             human(before, used), human(dev->info.global_bytes, have),
                             clfcn_cl_error_name(code));
    }
    note_peak(dev);
    atomic_fetch_add(&dev->live_objects, 1);
    return CLFCN_OK;
}

int clfcn_buffer_view(struct clfcn_dev *dev, cl_mem parent, size_t origin, size_t bytes,
                      cl_mem *out, struct clfcn_err *err)
{
    cl_mem whole = NULL;
    size_t offset = 0;
    *out = NULL;
    /* OpenCL knows no sub-buffer of a sub-buffer. */
    cl_int code = clGetMemObjectInfo(parent, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof(whole),
                                     &whole, NULL);
    if (code == CL_SUCCESS) {
        code = clGetMemObjectInfo(parent, CL_MEM_OFFSET, sizeof(offset), &offset, NULL);
    }
    if (code != CL_SUCCESS) {
        return clfcn_cl_err(err, code, "view of %zu bytes: what it lies in", bytes);
    }
    const cl_buffer_region region = { offset + origin, bytes };
    if (origin % dev->info.base_align != 0) {
        return clfcn_err_set(err, CLFCN_EINVAL, CL_MISALIGNED_SUB_BUFFER_OFFSET,
                             "view at byte %zu: not a multiple of %u", origin,
                             dev->info.base_align);
    }
    *out = clCreateSubBuffer(whole ? whole : parent, 0, CL_BUFFER_CREATE_TYPE_REGION,
                             &region, &code);
    if (!*out) {
        return clfcn_cl_err(err, code, "view of %zu bytes at byte %zu", bytes, origin);
    }
    atomic_fetch_add(&dev->live_objects, 1);
    return CLFCN_OK;
}

bool clfcn_buffer_can_share(const struct clfcn_dev *dev, const void *data)
{
    return dev->info.unified_memory && clfcn_begins_page(data);
}

int clfcn_buffer_share(struct clfcn_dev *dev, const void *data, size_t bytes, cl_mem *out,
                       struct clfcn_err *err)
{
    cl_int code;
    *out = clCreateBuffer(dev->context, CL_MEM_READ_ONLY | CL_MEM_USE_HOST_PTR, bytes,
                          (void *)data, &code);
    if (!*out) {
        char size[SIZE_TEXT];
        return clfcn_cl_err(err, code, "cannot share %s of host memory",
                            human(bytes, size));
    }
    atomic_fetch_add(&dev->live_objects, 1);
    return CLFCN_OK;
}

void clfcn_buffer_release(struct clfcn_dev *dev, cl_mem *mem)
{
    if (!*mem) {
        return;
    }
    cl_mem parent = NULL;
    cl_mem_flags flags = 0;
    size_t bytes = 0;
    clGetMemObjectInfo(*mem, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof(parent), &parent, NULL);
    clGetMemObjectInfo(*mem, CL_MEM_FLAGS, sizeof(flags), &flags, NULL);
    clGetMemObjectInfo(*mem, CL_MEM_SIZE, sizeof(bytes), &bytes, NULL);
    clReleaseMemObject(*mem);
    *mem = NULL;
    if (!parent && !(flags & (CL_MEM_USE_HOST_PTR | CL_MEM_ALLOC_HOST_PTR))) {
        atomic_fetch_sub(&dev->bytes, bytes);
    }
    atomic_fetch_sub(&dev->live_objects, 1);
}

/* What the transfers return for code; OpenCL refuses an empty one, so they leave it
 * out. */
static int done(cl_int code, const char *action, size_t bytes, struct clfcn_err *err)
{
    char size[SIZE_TEXT];
    return code == CL_SUCCESS ? CLFCN_OK
                              : clfcn_cl_err(err, code, "cannot %s %s of device memory",
                                             action, human(bytes, size));
}

int clfcn_buffer_write(struct clfcn_dev *dev, cl_mem mem, size_t offset, size_t bytes,
                       const void *src, struct clfcn_err *err)
{
    cl_int code = CL_SUCCESS;
    if (bytes > 0) {
        code = clEnqueueWriteBuffer(dev->compute, mem, CL_TRUE, offset, bytes, src, 0,
                                    NULL, clfcn_prof_event(dev, "write"));
    }
    return done(code, "write", bytes, err);
}

int clfcn_buffer_read(struct clfcn_dev *dev, cl_mem mem, size_t offset, size_t bytes,
                      void *dst, struct clfcn_err *err)
{
    cl_int code = CL_SUCCESS;
    if (bytes > 0) {
        code = clEnqueueReadBuffer(dev->compute, mem, CL_TRUE, offset, bytes, dst, 0,
                                   NULL, clfcn_prof_event(dev, "read"));
    }
    return done(code, "read", bytes, err);
}

int clfcn_buffer_map(struct clfcn_dev *dev, cl_mem mem, size_t offset, size_t bytes,
                     void **data, struct clfcn_err *err)
{
    cl_int code;
    *data = clEnqueueMapBuffer(dev->compute, mem, CL_TRUE, CL_MAP_WRITE, offset, bytes, 0,
                               NULL, clfcn_prof_event(dev, "map"), &code);
    return done(code, "map", bytes, err);
}

int clfcn_buffer_unmap(struct clfcn_dev *dev, cl_mem mem, void *data,
                       struct clfcn_err *err)
{
    const cl_int code = clEnqueueUnmapMemObject(dev->compute, mem, data, 0, NULL,
                                                clfcn_prof_event(dev, "unmap"));
    return code == CL_SUCCESS ? CLFCN_OK
                              : clfcn_cl_err(err, code, "cannot give memory back");
}

int clfcn_buffer_zero(struct clfcn_dev *dev, cl_mem mem, size_t offset, size_t bytes,
                      struct clfcn_err *err)
{
    const cl_uint zero = 0;
    /* The pattern's size must divide both; four bytes at a time where that is so. */
    const size_t pattern = (offset | bytes) % sizeof(zero) == 0 ? sizeof(zero) : 1;
    cl_int code = CL_SUCCESS;
    if (bytes > 0) {
        code = clEnqueueFillBuffer(dev->compute, mem, &zero, pattern, offset, bytes, 0,
                                   NULL, clfcn_prof_event(dev, "zero"));
    }
    return done(code, "clear", bytes, err);
}

int clfcn_buffer_copy(struct clfcn_dev *dev, cl_mem src, size_t src_offset, cl_mem dst,
                      size_t dst_offset, size_t bytes, struct clfcn_err *err)
{
    cl_int code = CL_SUCCESS;
    if (bytes > 0) {
        code = clEnqueueCopyBuffer(dev->compute, src, dst, src_offset, dst_offset, bytes,
                                   0, NULL, clfcn_prof_event(dev, "copy"));
    }
    return done(code, "copy", bytes, err);
}

size_t clfcn_buffer_align(const struct clfcn_dev *dev, size_t bytes)
{
    const size_t align = dev->info.base_align;
    return (bytes + align - 1) / align * align;
}

void clfcn_event_made(struct clfcn_dev *dev)
{
    atomic_fetch_add(&dev->live_objects, 1);
}

void clfcn_event_release(struct clfcn_dev *dev, cl_event *event)
{
    if (*event) {
        clReleaseEvent(*event);
        *event = NULL;
        atomic_fetch_sub(&dev->live_objects, 1);
    }
}
