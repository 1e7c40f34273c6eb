/* output.c - bytes on their way into a file. */
#include "output.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CAPACITY = 64 << 10 };

int clfcn_open_retry(const char *path, int flags, unsigned mode)
{
    int fd;
    do {
        fd = open(path, flags | O_CLOEXEC, (mode_t)mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

int clfcn_output_open(struct clfcn_output *o, const char *path,
                      enum clfcn_output_mode mode)
{
    const int flags = mode == CLFCN_OUTPUT_APPEND ? O_APPEND : O_EXCL;
    const unsigned permissions = mode == CLFCN_OUTPUT_PRIVATE ? 0600 : 0666;
    *o = (struct clfcn_output){ .bytes = malloc(CAPACITY) };
    if (!o->bytes) {
        return ENOMEM;
    }
    o->fd = clfcn_open_retry(path, O_WRONLY | O_CREAT | flags, permissions);
    if (o->fd < 0) {
        const int errnum = errno;
        free(o->bytes);
        *o = (struct clfcn_output){ 0 };
        return errnum;
    }
    return 0;
}

static int write_all(struct clfcn_output *o, const unsigned char *bytes, size_t n)
{
    while (n > 0 && o->failed == 0) {
        const ssize_t done = write(o->fd, bytes, n);
        if (done > 0) {
            bytes += done;
            n -= (size_t)done;
        } else if (done == 0) {
            o->failed = EIO;
        } else if (errno != EINTR) {
            o->failed = errno;
        }
    }
    return o->failed;
}

int clfcn_output_flush(struct clfcn_output *o)
{
    const size_t n = o->used;
    o->used = 0;
    return write_all(o, o->bytes, n);
}

int clfcn_output_put(struct clfcn_output *o, const void *data, size_t n)
{
    if (n > CAPACITY - o->used && clfcn_output_flush(o) != 0) {
        return o->failed;
    }
    if (n > CAPACITY) {
        return write_all(o, data, n);
    }
    if (n > 0) {
        memcpy(o->bytes + o->used, data, n);
    }
    o->used += n;
    return o->failed;
}

int clfcn_output_seek(struct clfcn_output *o, uint64_t at)
{
    if (clfcn_output_flush(o) == 0 && lseek(o->fd, (off_t)at, SEEK_SET) < 0) {
        o->failed = errno;
    }
    return o->failed;
}

int clfcn_output_sync_flushed(const struct clfcn_output *o)
{
    while (fsync(o->fd) != 0) {
        if (errno == EINVAL || errno == ENOTSUP) {
            return 0; /* a file system without it */
        }
        if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

int clfcn_output_sync(struct clfcn_output *o)
{
    if (clfcn_output_flush(o) == 0) {
        o->failed = clfcn_output_sync_flushed(o);
    }
    return o->failed;
}

void clfcn_output_drop(struct clfcn_output *o)
{
    if (o->bytes) {
        close(o->fd);
        free(o->bytes);
    }
    *o = (struct clfcn_output){ 0 };
}

int clfcn_output_close(struct clfcn_output *o)
{
    if (!o->bytes) {
        return 0;
    }
    int rc = clfcn_output_flush(o);
    /* A file system may keep an error for this call. A descriptor is closed in any case,
     * where a signal came between, too. */
    if (close(o->fd) != 0 && errno != EINTR && rc == 0) {
        rc = errno;
    }
    free(o->bytes);
    *o = (struct clfcn_output){ 0 };
    return rc;
}
