/* buffer.h - device memory with an account of it, and transfers. */
#ifndef CLFCN_DEVICE_BUFFER_H
#define CLFCN_DEVICE_BUFFER_H

#include "dev.h"

/* Allocate. what names the buffer in messages ("weights"). CLFCN_EDEVMEM if bytes
 * exceeds the largest single buffer or the device refuses; the message says how much
 * was asked, how much is taken and what the device has. Release with
 * clfcn_buffer_release(). */
int clfcn_buffer_create(struct clfcn_dev *dev, size_t bytes, const char *what,
                        cl_mem *out, struct clfcn_err *err);
/* The same with a copy of data in it. */
int clfcn_buffer_create_from(struct clfcn_dev *dev, const void *data, size_t bytes,
                             const char *what, cl_mem *out, struct clfcn_err *err);

/* A window on parent (sub-buffer), a buffer or a view: origin must be a multiple of
 * dev->info.base_align. The parent must outlive it. */
int clfcn_buffer_view(struct clfcn_dev *dev, cl_mem parent, size_t origin, size_t bytes,
                      cl_mem *out, struct clfcn_err *err);

/* Whether commands can read host memory at data where it lies: the device shares the
 * host's memory, and data begins a page (util/pages.h), which drivers ask for. */
bool clfcn_buffer_can_share(const struct clfcn_dev *dev, const void *data);
/* A buffer over bytes of host memory, only to be read by commands. data keeps its bits
 * and its place until the buffer is released; it is in no account. */
int clfcn_buffer_share(struct clfcn_dev *dev, const void *data, size_t bytes,
                       cl_mem *out, struct clfcn_err *err);

/* Release *mem (buffer or view) and set it to NULL. */
void clfcn_buffer_release(struct clfcn_dev *dev, cl_mem *mem);

/* Blocking transfers on the compute queue; offsets and sizes in bytes. */
int clfcn_buffer_write(struct clfcn_dev *dev, cl_mem mem, size_t offset, size_t bytes,
                       const void *src, struct clfcn_err *err);
int clfcn_buffer_read(struct clfcn_dev *dev, cl_mem mem, size_t offset, size_t bytes,
                      void *dst, struct clfcn_err *err);
/* Let the host write a range of mem in place, once what was enqueued before is done: on
 * devices that share the host's memory nothing is copied. Until *data is given back by
 * clfcn_buffer_unmap() no command may use the range. */
int clfcn_buffer_map(struct clfcn_dev *dev, cl_mem mem, size_t offset, size_t bytes,
                     void **data, struct clfcn_err *err);
int clfcn_buffer_unmap(struct clfcn_dev *dev, cl_mem mem, void *data,
                       struct clfcn_err *err);
/* Enqueue on the compute queue: fill with zero bytes; copy. */
int clfcn_buffer_zero(struct clfcn_dev *dev, cl_mem mem, size_t offset, size_t bytes,
                      struct clfcn_err *err);
int clfcn_buffer_copy(struct clfcn_dev *dev, cl_mem src, size_t src_offset, cl_mem dst,
                      size_t dst_offset, size_t bytes, struct clfcn_err *err);

/* bytes rounded up to what a sub-buffer's origin must be a multiple of. */
size_t clfcn_buffer_align(const struct clfcn_dev *dev, size_t bytes);

/* Release *event and set it to NULL. Events come from OpenCL calls made by other
 * floors, who call clfcn_event_made() for each, so that the account stays whole. */
void clfcn_event_made(struct clfcn_dev *dev);
void clfcn_event_release(struct clfcn_dev *dev, cl_event *event);

#endif
