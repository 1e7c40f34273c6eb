/* host_files.c - calls of files.
 *
 * A stream of the C library writes within itself. So that its true buffering meets the
 * faults, streams that the program opens are made with fopencookie() on functions that
 * count. */
#include "host_faults.h"

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static size_t part(size_t n)
{
    return n > 1 ? n / 2 : n;
}

/* --- descriptors --- */

static enum effect effect_of(int flags)
{
    return flags & O_CREAT                   ? TAKES_ROOM
           : (flags & O_ACCMODE) != O_RDONLY ? CHANGES
                                             : READS;
}

#define OPEN_BODY(name)                                             \
    int errno_of;                                                   \
    va_list args;                                                   \
    va_start(args, flags);                                          \
    const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0; \
    va_end(args);                                                   \
    REAL(name);                                                     \
    return FILE_FAILS("open", effect_of(flags), path, -1) ? -1 : real(path, flags, mode);

int open(const char *path, int flags, ...)
{
    OPEN_BODY(open)
}

int open64(const char *path, int flags, ...){ OPEN_BODY(open64) }

ssize_t read(int fd, void *to, size_t n)
{
    const int error = file_fault("read", CALLER, READS, NULL, fd);
    REAL(read);
    if (error > 0) {
        errno = error;
        return -1;
    }
    return real(fd, to, error == SHORT ? part(n) : n);
}

ssize_t pread64(int fd, void *to, size_t n, off64_t at)
{
    const int error = file_fault("pread", CALLER, READS, NULL, fd);
    REAL(pread64);
    if (error > 0) {
        errno = error;
        return -1;
    }
    return real(fd, to, error == SHORT ? part(n) : n, at);
}

ssize_t write(int fd, const void *from, size_t n)
{
    const int error = file_fault("write", CALLER, TAKES_ROOM, NULL, fd);
    REAL(write);
    if (error > 0) {
        errno = error;
        return -1;
    }
    return real(fd, from, error == SHORT ? part(n) : n);
}

int close(int fd)
{
    /* It is closed in any case. */
    const int error = file_fault("close", CALLER, READS, NULL, fd);
    REAL(close);
    const int rc = real(fd);
    if (error > 0) {
        errno = error;
        return -1;
    }
    return rc;
}

#define STATUS(name, effect, path, fd, parameters, arguments)             \
    int name parameters                                                   \
    {                                                                     \
        int errno_of;                                                     \
        REAL(name);                                                       \
        return FILE_FAILS(#name, effect, path, fd) ? -1 : real arguments; \
    }

STATUS(fsync, TAKES_ROOM, NULL, fd, (int fd), (fd))
STATUS(fdatasync, TAKES_ROOM, NULL, fd, (int fd), (fd))
STATUS(flock, READS, NULL, fd, (int fd, int how), (fd, how))
STATUS(ftruncate64, CHANGES, NULL, fd, (int fd, off64_t n), (fd, n))
STATUS(rename, CHANGES, from, -1, (const char *from, const char *to), (from, to))
STATUS(mkdir, TAKES_ROOM, path, -1, (const char *path, mode_t mode), (path, mode))
STATUS(unlink, CHANGES, path, -1, (const char *path), (path))
STATUS(unlinkat, CHANGES, path, -1, (int dir, const char *path, int how),
       (dir, path, how))
STATUS(remove, CHANGES, path, -1, (const char *path), (path))
STATUS(stat64, READS, path, -1, (const char *path, struct stat64 *out), (path, out))
STATUS(fstat64, READS, NULL, fd, (int fd, struct stat64 *out), (fd, out))
STATUS(fstatat64, READS, path, -1,
       (int dir, const char *path, struct stat64 *out, int how), (dir, path, out, how))
STATUS(pipe, READS, NULL, -1, (int ends[2]), (ends))
STATUS(pipe2, READS, NULL, -1, (int ends[2], int flags), (ends, flags))
STATUS(poll, READS, NULL, -1, (struct pollfd * fds, nfds_t n, int timeout),
       (fds, n, timeout))
STATUS(socket, READS, NULL, -1, (int domain, int type, int protocol),
       (domain, type, protocol))
STATUS(bind, READS, NULL, fd, (int fd, const struct sockaddr *at, socklen_t n),
       (fd, at, n))
STATUS(listen, READS, NULL, fd, (int fd, int backlog), (fd, backlog))

char *mkdtemp(char *path)
{
    int errno_of;
    REAL(mkdtemp);
    return FILE_FAILS("mkdtemp", TAKES_ROOM, path, -1) ? NULL : real(path);
}

ssize_t readlink(const char *path, char *out, size_t n)
{
    int errno_of;
    REAL(readlink);
    return FILE_FAILS("readlink", READS, path, -1) ? -1 : real(path, out, n);
}

DIR *opendir(const char *path)
{
    int errno_of;
    REAL(opendir);
    return FILE_FAILS("opendir", READS, path, -1) ? NULL : real(path);
}

struct dirent64 *readdir64(DIR *dir)
{
    int errno_of;
    REAL(readdir64);
    return FILE_FAILS("readdir", READS, NULL, dirfd(dir)) ? NULL : real(dir);
}

int glob64(const char *pattern, int flags, int (*on_error)(const char *, int),
           glob64_t *out)
{
    REAL(glob64);
    return file_fault("glob", CALLER, READS, pattern, -1) > 0
               ? GLOB_ABORTED
               : real(pattern, flags, on_error, out);
}

/* --- streams --- */

enum { STREAMS = 256 };
static struct stream {
    FILE *f;
    int fd;
} streams[STREAMS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static ssize_t stream_read(void *cookie, char *to, size_t n)
{
    const struct stream *s = cookie;
    const int error = file_fault("read", NULL, READS, NULL, s->fd);
    REAL(read);
    if (error > 0) {
        errno = error;
        return -1;
    }
    return real(s->fd, to, error == SHORT ? part(n) : n);
}

/* As the C library does it: on until all is written or an error comes. */
static ssize_t stream_write(void *cookie, const char *from, size_t n)
{
    const struct stream *s = cookie;
    size_t done = 0;
    REAL(write);
    while (done < n) {
        const int error = file_fault("write", NULL, TAKES_ROOM, NULL, s->fd);
        const size_t left = n - done;
        const ssize_t more =
            error > 0 ? -1 : real(s->fd, from + done, error == SHORT ? part(left) : left);
        if (more < 0) {
            errno = error > 0 ? error : errno;
            break;
        }
        done += (size_t)more;
    }
    return (ssize_t)done;
}

static int stream_seek(void *cookie, off64_t *at, int whence)
{
    const struct stream *s = cookie;
    const off64_t now = lseek64(s->fd, *at, whence);
    *at = now < 0 ? *at : now;
    return now < 0 ? -1 : 0;
}

static int stream_close(void *cookie)
{
    struct stream *s = cookie;
    const int fd = s->fd, error = file_fault("close", NULL, READS, NULL, fd);
    REAL(close);
    pthread_mutex_lock(&mutex);
    *s = (struct stream){ 0 };
    pthread_mutex_unlock(&mutex);
    const int rc = real(fd);
    if (error > 0) {
        errno = error;
        return -1;
    }
    return rc;
}

static FILE *make_stream(int fd, const char *mode)
{
    static const cookie_io_functions_t functions = { stream_read, stream_write,
                                                     stream_seek, stream_close };
    pthread_mutex_lock(&mutex);
    int i = 0;
    while (i < STREAMS - 1 && streams[i].f) {
        ++i;
    }
    streams[i].fd = fd;
    streams[i].f = fopencookie(&streams[i], mode, functions);
    pthread_mutex_unlock(&mutex);
    return streams[i].f;
}

int fileno(FILE *f)
{
    REAL(fileno);
    int fd = -1;
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < STREAMS; ++i) {
        fd = streams[i].f == f ? streams[i].fd : fd;
    }
    pthread_mutex_unlock(&mutex);
    return fd >= 0 ? fd : real(f);
}

static int flags_of(const char *mode)
{
    int flags = mode[0] == 'r'   ? O_RDONLY
                : mode[0] == 'w' ? O_WRONLY | O_CREAT | O_TRUNC
                                 : O_WRONLY | O_CREAT | O_APPEND;
    if (strchr(mode, '+')) {
        flags = (flags & ~O_ACCMODE) | O_RDWR;
    }
    return flags | (strchr(mode, 'x') ? O_EXCL : 0) | (strchr(mode, 'e') ? O_CLOEXEC : 0);
}

static FILE *open_stream(const char *path, const char *mode, const void *caller)
{
    const int flags = flags_of(mode);
    int error = memory_fault("fopen", caller);
    error = error ? error : file_fault("open", caller, effect_of(flags), path, -1);
    if (error > 0) {
        errno = error;
        return NULL;
    }
    REAL(open);
    const int fd = real(path, flags, 0666);
    return fd >= 0 ? make_stream(fd, mode) : NULL;
}

/* Others, such as drivers, get the C library's own streams. */

FILE *fopen(const char *path, const char *mode)
{
    REAL(fopen);
    return is_of_program(CALLER) ? open_stream(path, mode, CALLER) : real(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    REAL(fopen64);
    return is_of_program(CALLER) ? open_stream(path, mode, CALLER) : real(path, mode);
}

FILE *fdopen(int fd, const char *mode)
{
    int errno_of;
    REAL(fdopen);
    if (!is_of_program(CALLER)) {
        return real(fd, mode);
    }
    return MEMORY_FAILS("fdopen") ? NULL : make_stream(fd, mode);
}
