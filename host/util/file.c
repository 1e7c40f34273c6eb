/* file.c - whole files in, whole files out: never a half-written one. */
#include "file.h"
#include "path.h"
#include "strbuf.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int too_long(struct clfcn_err *err, const char *path, size_t max_bytes)
{
    char limit[16];
    return clfcn_err_set(err, CLFCN_EDATA, 0, "%s: longer than %s", path,
                         clfcn_format_bytes(max_bytes, limit, sizeof(limit)));
}

/* Read fd to its end. *buf is grown as needed, with room for a final zero, and stays
 * the caller's to free, on failure too. */
static int read_all(int fd, const char *path, size_t max_bytes, char **buf, size_t *size,
                    struct clfcn_err *err)
{
    struct stat st;
    size_t cap = 4096, len = 0;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        if ((uint64_t)st.st_size > max_bytes) {
            return too_long(err, path, max_bytes);
        }
        cap = (size_t)st.st_size + 1; /* one more for the read() that finds the end */
    }
    for (;;) {
        if (!*buf || len == cap) { /* a pipe outgrows cap, or a file meanwhile */
            cap = *buf ? cap * 2 : cap;
            char *grown = realloc(*buf, cap + 1);
            if (!grown) {
                return clfcn_err_nomem(err);
            }
            *buf = grown;
        }
        const ssize_t got = read(fd, *buf + len, cap - len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return clfcn_err_errno(err, errno, "cannot read %s", path);
        }
        if (got == 0) {
            break;
        }
        len += (size_t)got;
        if (len > max_bytes) {
            return too_long(err, path, max_bytes);
        }
    }
    (*buf)[len] = '\0';
    *size = len;
    return CLFCN_OK;
}

static int check_own(int fd, const char *path, struct clfcn_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "%s: no regular file", path);
    }
    if (st.st_uid != geteuid()) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "%s: belongs to another user", path);
    }
    return (st.st_mode & (S_IWGRP | S_IWOTH)) == 0
               ? CLFCN_OK
               : clfcn_err_set(err, CLFCN_EDATA, 0, "%s: others may write to it", path);
}

static int read_file(const char *path, size_t max_bytes, bool own_only, char **data,
                     size_t *size, struct clfcn_err *err)
{
    *data = NULL;
    *size = 0;
    /* A pipe in the place of a file of ours is not waited for. */
    const int fd = clfcn_open_retry(path, O_RDONLY | (own_only ? O_NONBLOCK : 0), 0);
    if (fd < 0) {
        return clfcn_err_errno(err, errno, "cannot read %s", path);
    }
    char *buf = NULL;
    int rc = own_only ? check_own(fd, path, err) : CLFCN_OK;
    if (rc == CLFCN_OK) {
        rc =
            read_all(fd, path, max_bytes > 0 ? max_bytes : SIZE_MAX / 4, &buf, size, err);
    }
    close(fd);
    if (rc < 0) {
        free(buf);
        return rc;
    }
    *data = buf;
    return CLFCN_OK;
}

int clfcn_file_read(const char *path, size_t max_bytes, char **data, size_t *size,
                    struct clfcn_err *err)
{
    return read_file(path, max_bytes, false, data, size, err);
}

int clfcn_file_read_own(const char *path, size_t max_bytes, char **data, size_t *size,
                        struct clfcn_err *err)
{
    return read_file(path, max_bytes, true, data, size, err);
}

/* The folder that path lies in: "." if it names none. A new string, or NULL. */
static char *folder_of(const char *path)
{
    const char *base = clfcn_path_base(path);
    return base == path ? strdup(".") : strndup(path, (size_t)(base - path));
}

/* Let clfcn_atomic_sweep() see that the file is being written. False if it came between
 * the file's creation and this. */
static bool claim(int fd)
{
    struct stat st;
    while (flock(fd, LOCK_EX) != 0 && errno == EINTR) {
    }
    return fstat(fd, &st) != 0 || st.st_nlink > 0;
}

/* Create the temporary file; af->path is set. Returns 0 or errno. */
static int create_temp(struct clfcn_atomic_file *af, enum clfcn_output_mode mode)
{
    static atomic_uint counter;
    char *dir = folder_of(af->path);
    int errnum;
    do {
        char name[256];
        /* Cut a long name, so that the temporary one keeps within the usual limit of
         * 255. */
        snprintf(name, sizeof(name), ".%.200s.%ld.%u.tmp", clfcn_path_base(af->path),
                 (long)getpid(), atomic_fetch_add(&counter, 1));
        free(af->temp);
        af->temp = dir ? clfcn_path_join(dir, name) : NULL;
        errnum = af->temp ? clfcn_output_open(&af->out, af->temp, mode) : ENOMEM;
        if (errnum == 0 && !claim(af->out.fd)) {
            clfcn_output_drop(&af->out);
            errnum = EEXIST;
        }
    } while (errnum == EEXIST); /* or left by a killed process of the same id */
    free(dir);
    return errnum;
}

static int write_error(struct clfcn_atomic_file *af, int errnum, struct clfcn_err *err)
{
    return clfcn_err_errno(err, errnum, "cannot write %s", af->path);
}

static int open_atomic(struct clfcn_atomic_file *af, const char *path,
                       enum clfcn_output_mode mode, struct clfcn_err *err)
{
    *af = (struct clfcn_atomic_file){ 0 };
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        /* A rename would put a file in the place of a device or a pipe. */
        return clfcn_err_set(err, CLFCN_EIO, EINVAL, "cannot write %s: %s", path,
                             S_ISDIR(st.st_mode) ? "it is a folder"
                                                 : "it is no regular file");
    }
    af->path = strdup(path);
    if (!af->path) {
        return clfcn_err_nomem(err);
    }
    const int errnum = create_temp(af, mode);
    if (errnum == 0) {
        return CLFCN_OK;
    }
    const int rc = errnum == ENOMEM ? clfcn_err_nomem(err) : write_error(af, errnum, err);
    free(af->temp); /* not ours to remove */
    af->temp = NULL;
    clfcn_atomic_abort(af);
    return rc;
}

int clfcn_atomic_open(struct clfcn_atomic_file *af, const char *path,
                      struct clfcn_err *err)
{
    return open_atomic(af, path, CLFCN_OUTPUT_NEW, err);
}

int clfcn_atomic_open_own(struct clfcn_atomic_file *af, const char *path,
                          struct clfcn_err *err)
{
    return open_atomic(af, path, CLFCN_OUTPUT_PRIVATE, err);
}

int clfcn_atomic_write(struct clfcn_atomic_file *af, const void *data, size_t n,
                       struct clfcn_err *err)
{
    const int errnum = clfcn_output_put(&af->out, data, n);
    return errnum == 0 ? CLFCN_OK : write_error(af, errnum, err);
}

int clfcn_atomic_seek(struct clfcn_atomic_file *af, uint64_t at, struct clfcn_err *err)
{
    const int errnum = clfcn_output_seek(&af->out, at);
    return errnum == 0 ? CLFCN_OK : write_error(af, errnum, err);
}

void clfcn_file_sync_name(const char *path)
{
    char *dir = folder_of(path);
    const int fd = dir ? clfcn_open_retry(dir, O_RDONLY | O_DIRECTORY, 0) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(dir);
}

int clfcn_atomic_commit(struct clfcn_atomic_file *af, struct clfcn_err *err)
{
    int errnum = clfcn_output_sync(&af->out);
    /* Before it is closed, which ends the claim to the temporary name; all that could
     * fail is synced by then. */
    if (errnum == 0 && rename(af->temp, af->path) != 0) {
        errnum = errno;
    }
    int rc = CLFCN_OK;
    if (errnum != 0) {
        rc = write_error(af, errnum, err);
    } else {
        clfcn_file_sync_name(af->path);
        free(af->temp); /* it bears its final name now: nothing to remove */
        af->temp = NULL;
    }
    clfcn_atomic_abort(af);
    return rc;
}

void clfcn_atomic_abort(struct clfcn_atomic_file *af)
{
    clfcn_output_drop(&af->out);
    if (af->temp) {
        unlink(af->temp);
    }
    free(af->temp);
    free(af->path);
    *af = (struct clfcn_atomic_file){ 0 };
}

/* Whether name is of the form .NAME.PID.N.tmp. */
static bool is_temp_name(const char *name)
{
    const size_t len = strlen(name);
    if (name[0] != '.' || len < 8 || strcmp(name + len - 4, ".tmp") != 0) {
        return false;
    }
    const char *p = name + len - 4;
    for (int field = 0; field < 2; ++field) {
        const char *end = p;
        while (p > name && p[-1] >= '0' && p[-1] <= '9') {
            --p;
        }
        if (p == end || p == name || *--p != '.') {
            return false;
        }
    }
    return p > name;
}

/* Remove a file that nobody claims. */
static void sweep_one(int dir, const char *name)
{
    int fd;
    do {
        fd = openat(dir, name, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        unlinkat(dir, name, 0);
    }
    if (fd >= 0) {
        close(fd);
    }
}

void clfcn_atomic_sweep(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d) {
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(d))) {
        if (is_temp_name(entry->d_name)) {
            sweep_one(dirfd(d), entry->d_name);
        }
    }
    closedir(d);
}

static int write_file(const char *path, enum clfcn_output_mode mode, const void *data,
                      size_t n, struct clfcn_err *err)
{
    struct clfcn_atomic_file af;
    int rc = open_atomic(&af, path, mode, err);
    if (rc < 0) {
        return rc;
    }
    rc = clfcn_atomic_write(&af, data, n, err);
    if (rc < 0) {
        clfcn_atomic_abort(&af);
        return rc;
    }
    return clfcn_atomic_commit(&af, err);
}

int clfcn_file_write(const char *path, const void *data, size_t n, struct clfcn_err *err)
{
    return write_file(path, CLFCN_OUTPUT_NEW, data, n, err);
}

int clfcn_file_write_own(const char *path, const void *data, size_t n,
                         struct clfcn_err *err)
{
    return write_file(path, CLFCN_OUTPUT_PRIVATE, data, n, err);
}

FILE *clfcn_file_open_read(const char *path)
{
    const int fd = clfcn_open_retry(path, O_RDONLY, 0);
    FILE *f = fd >= 0 ? fdopen(fd, "rb") : NULL;
    if (fd >= 0 && !f) {
        const int errnum = errno;
        close(fd);
        errno = errnum;
    }
    return f;
}

int clfcn_file_size(const char *path, uint64_t *size, struct clfcn_err *err)
{
    struct stat st;
    *size = 0;
    if (stat(path, &st) == 0) {
        *size = (uint64_t)st.st_size;
        return CLFCN_OK;
    }
    return errno == ENOENT ? CLFCN_OK
                           : clfcn_err_errno(err, errno, "cannot read %s", path);
}

int clfcn_file_truncate(const char *path, size_t n, struct clfcn_err *err)
{
    const int fd = clfcn_open_retry(path, O_WRONLY, 0);
    if (fd < 0) {
        return clfcn_err_errno(err, errno, "cannot write %s", path);
    }
    int rc;
    do {
        rc = ftruncate(fd, (off_t)n);
    } while (rc != 0 && errno == EINTR);
    while (rc == 0 && fsync(fd) != 0) {
        if (errno != EINTR) {
            rc = -1;
        }
    }
    const int errnum = errno;
    close(fd);
    return rc == 0 ? CLFCN_OK : clfcn_err_errno(err, errnum, "cannot cut %s", path);
}

int clfcn_reader_open(struct clfcn_file_reader *r, const char *path,
                      struct clfcn_err *err)
{
    *r = (struct clfcn_file_reader){ 0 };
    /* Else opening a pipe would wait for somebody to write. */
    const int fd = clfcn_open_retry(path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0) {
        return clfcn_err_errno(err, errno, "cannot read %s", path);
    }
    int errnum = 0;
    struct stat st;
    if (fstat(fd, &st) != 0) {
        errnum = errno;
    } else if (S_ISDIR(st.st_mode)) {
        errnum = EISDIR;
    } else if (!S_ISREG(st.st_mode)) {
        errnum = ENODEV;
    }
    if (errnum != 0) {
        close(fd);
        return clfcn_err_errno(err, errnum, "cannot read %s", path);
    }
    *r = (struct clfcn_file_reader){ true, fd, (uint64_t)st.st_size };
    return CLFCN_OK;
}

int clfcn_reader_read(const struct clfcn_file_reader *r, uint64_t at, void *to, size_t n,
                      struct clfcn_err *err)
{
    char *bytes = to;
    while (n > 0) {
        const ssize_t got = pread(r->fd, bytes, n, (off_t)at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return clfcn_err_errno(err, errno, "cannot read");
        }
        if (got == 0) {
            return clfcn_err_set(err, CLFCN_EDATA, 0,
                                 "the file was cut while it was read, at byte %" PRIu64,
                                 at);
        }
        bytes += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return CLFCN_OK;
}

FILE *clfcn_reader_stream(const struct clfcn_file_reader *r)
{
    const int fd = fcntl(r->fd, F_DUPFD_CLOEXEC, 0);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "rb");
    if (!f && fd >= 0) {
        const int errnum = errno;
        close(fd);
        errno = errnum;
    }
    return f;
}

void clfcn_reader_close(struct clfcn_file_reader *r)
{
    if (r->open) {
        close(r->fd);
    }
    *r = (struct clfcn_file_reader){ 0 };
}

static int lock_retry(int fd)
{
    int rc;
    do {
        rc = flock(fd, LOCK_EX | LOCK_NB);
    } while (rc != 0 && errno == EINTR);
    return rc;
}

int clfcn_lock_acquire(struct clfcn_lock *lock, const char *dir, struct clfcn_err *err)
{
    lock->fd = -1;
    char *path = clfcn_path_join(dir, ".lock");
    if (!path) {
        return clfcn_err_nomem(err);
    }
    int rc = CLFCN_OK;
    const int fd = clfcn_open_retry(path, O_RDWR | O_CREAT, 0666);
    if (fd < 0) {
        rc = clfcn_err_errno(err, errno, "cannot write %s", path);
    } else if (lock_retry(fd) != 0) {
        if (errno == EWOULDBLOCK) {
            rc = clfcn_err_set(err, CLFCN_EIO, EWOULDBLOCK,
                               "%s: in use by another process", dir);
        } else {
            rc = clfcn_err_errno(err, errno, "cannot lock %s", path);
        }
        close(fd);
    } else {
        lock->fd = fd;
    }
    free(path);
    return rc;
}

void clfcn_lock_release(struct clfcn_lock *lock)
{
    if (lock->fd >= 0) {
        close(lock->fd); /* the file stays: removing it would race with the next holder */
        lock->fd = -1;
    }
}
