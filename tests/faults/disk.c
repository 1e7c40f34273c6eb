/* disk.c - preloaded into clfcn: writes down what happens to the files of a folder, so
 * that power.py can make up what a disk holds when the power goes at any moment.
 *
 * CLFCN_DISK=FOLDER            absolute; the files below it are watched
 * CLFCN_DISK_JOURNAL=FOLDER    gets a hard link INODE to each file, so that no content is
 * lost and no number used twice, and the file "journal", of lines
 *
 *   size INODE BYTES           what a file has come to by the next line's time
 *   create INODE PATH          an empty file
 *   mkdir PATH
 *   rename PATH PATH
 *   unlink PATH
 *   truncate INODE BYTES COPY  cut; what it held before is in the file COPY
 *   sync INODE BYTES           so much of its content is on the disk
 *   syncdir PATH               so are the names in it
 *
 * Files are only ever appended to or cut, so that a size tells the content. Writes need
 * not be seen for that, which is as well: stdio's cannot be. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES = 1024 };

static struct {
    ino_t inode;
    off_t bytes;
} files[FILES];
static int count, copies;
static FILE *journal;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The function that this library stands before. */
#define BELOW(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

static void fail(const char *what)
{
    fprintf(stderr, "disk.c: %s: %s\n", what, strerror(errno));
    abort();
}

static const char *folder_of_journal(void)
{
    const char *folder = getenv("CLFCN_DISK_JOURNAL");
    return folder ? folder : "";
}

/* A path in the journal's folder. */
static const char *own(char *buf, const char *name)
{
    snprintf(buf, PATH_MAX, "%s/%s", folder_of_journal(), name);
    return buf;
}

static const char *link_of(char *buf, ino_t inode)
{
    char name[32];
    snprintf(name, sizeof(name), "%llu", (unsigned long long)inode);
    return own(buf, name);
}

/* The path without "/./", if it is watched, else NULL. */
static const char *watched(char *buf, const char *path)
{
    const char *folder = getenv("CLFCN_DISK");
    size_t n = 0;
    if (!folder || !path || strncmp(path, folder, strlen(folder)) != 0) {
        return NULL;
    }
    for (const char *p = path; *p && n < PATH_MAX - 1; ++p) {
        if (p[0] == '/' && p[1] == '.' && p[2] == '/') {
            ++p;
        } else {
            buf[n++] = *p;
        }
    }
    buf[n] = '\0';
    return buf;
}

static const char *path_of(char *buf, int fd)
{
    char name[64], path[PATH_MAX];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(name, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    return watched(buf, path);
}

/* --- writing it down; the lock is held --- */

static void put_sizes(void)
{
    for (int i = 0; i < count; ++i) {
        char path[PATH_MAX];
        struct stat st;
        if (stat(link_of(path, files[i].inode), &st) == 0 &&
            st.st_size != files[i].bytes) {
            files[i].bytes = st.st_size;
            fprintf(journal, "size %llu %lld\n", (unsigned long long)files[i].inode,
                    (long long)st.st_size);
        }
    }
}

static void put(const char *format, ...)
{
    char path[PATH_MAX];
    if (!journal) {
        journal = BELOW(FILE *, "fopen64", const char *,
                        const char *)(own(path, "journal"), "ae");
    }
    if (!journal) {
        fail("cannot open the journal");
    }
    put_sizes();
    va_list args;
    va_start(args, format);
    vfprintf(journal, format, args);
    va_end(args);
    fputc('\n', journal);
    fflush(journal);
}

/* Take a file up; true if it is a new one. */
static bool take(const struct stat *st, const char *path)
{
    char name[PATH_MAX];
    for (int i = 0; i < count; ++i) {
        if (files[i].inode == st->st_ino) {
            return false;
        }
    }
    if (count == FILES) {
        errno = ENOSPC;
        fail("too many files");
    }
    if (link(path, link_of(name, st->st_ino)) != 0 && errno != EEXIST) {
        fail(path);
    }
    files[count].inode = st->st_ino;
    files[count++].bytes = st->st_size;
    return true;
}

static void created(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && take(&st, path)) {
        put("create %llu %s", (unsigned long long)st.st_ino, path);
    }
}

static int copy_file(const char *from, const char *to)
{
    static char block[1 << 16];
    FILE *in = BELOW(FILE *, "fopen64", const char *, const char *)(from, "rb");
    FILE *out = BELOW(FILE *, "fopen64", const char *, const char *)(to, "wb");
    if (!in || !out) {
        fail(to);
    }
    for (size_t n; (n = fread(block, 1, sizeof(block), in)) > 0;) {
        fwrite(block, 1, n, out);
    }
    fclose(in);
    return fclose(out);
}

/* --- what clfcn calls (nm -D) --- */

int open64(const char *path, int flags, ...)
{
    char real[PATH_MAX];
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    const char *seen = flags & O_CREAT ? watched(real, path) : NULL;
    pthread_mutex_lock(&lock);
    const bool is_new = seen && access(seen, F_OK) != 0;
    const int fd = BELOW(int, "open64", const char *, int, mode_t)(path, flags, mode);
    const int error = errno;
    if (fd >= 0 && is_new) {
        created(seen);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

FILE *fopen64(const char *path, const char *mode)
{
    char real[PATH_MAX];
    const char *seen = mode[0] != 'r' ? watched(real, path) : NULL;
    pthread_mutex_lock(&lock);
    const bool is_new = seen && access(seen, F_OK) != 0;
    FILE *f = BELOW(FILE *, "fopen64", const char *, const char *)(path, mode);
    const int error = errno;
    if (f && is_new) {
        created(seen);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return f;
}

int mkdir(const char *path, mode_t mode)
{
    char real[PATH_MAX];
    const char *seen = watched(real, path);
    pthread_mutex_lock(&lock);
    const int rc = BELOW(int, "mkdir", const char *, mode_t)(path, mode);
    const int error = errno;
    if (rc == 0 && seen) {
        put("mkdir %s", seen);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return rc;
}

int rename(const char *from, const char *to)
{
    char real[PATH_MAX], real_to[PATH_MAX];
    const char *seen = watched(real, from), *seen_to = watched(real_to, to);
    pthread_mutex_lock(&lock);
    const int rc = BELOW(int, "rename", const char *, const char *)(from, to);
    const int error = errno;
    if (rc == 0 && seen && seen_to) {
        put("rename %s %s", seen, seen_to);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return rc;
}

static void removed(const char *path)
{
    if (path) {
        put("unlink %s", path);
    }
}

int unlink(const char *path)
{
    char real[PATH_MAX];
    const char *seen = watched(real, path);
    pthread_mutex_lock(&lock);
    const int rc = BELOW(int, "unlink", const char *)(path);
    const int error = errno;
    removed(rc == 0 ? seen : NULL);
    pthread_mutex_unlock(&lock);
    errno = error;
    return rc;
}

int unlinkat(int fd, const char *name, int flags)
{
    char folder[PATH_MAX], path[2 * PATH_MAX], real[2 * PATH_MAX];
    const char *seen = path_of(folder, fd);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    seen = seen ? watched(real, path) : NULL;
    pthread_mutex_lock(&lock);
    const int rc = BELOW(int, "unlinkat", int, const char *, int)(fd, name, flags);
    const int error = errno;
    removed(rc == 0 ? seen : NULL);
    pthread_mutex_unlock(&lock);
    errno = error;
    return rc;
}

int ftruncate64(int fd, off64_t bytes)
{
    char path[PATH_MAX], copy[PATH_MAX], name[32];
    struct stat st;
    const char *seen = path_of(path, fd);
    pthread_mutex_lock(&lock);
    const bool cuts = seen && fstat(fd, &st) == 0 && st.st_size != bytes;
    if (cuts) {
        take(&st, path);
        snprintf(name, sizeof(name), "copy%d", copies++);
        copy_file(path, own(copy, name));
        put_sizes();
    }
    const int rc = BELOW(int, "ftruncate64", int, off64_t)(fd, bytes);
    const int error = errno;
    if (rc == 0 && cuts) {
        for (int i = 0; i < count; ++i) {
            files[i].bytes = files[i].inode == st.st_ino ? bytes : files[i].bytes;
        }
        put("truncate %llu %lld %s", (unsigned long long)st.st_ino, (long long)bytes,
            name);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return rc;
}

int fsync(int fd)
{
    char path[PATH_MAX];
    struct stat st;
    const char *seen = path_of(path, fd);
    pthread_mutex_lock(&lock);
    const bool known = seen && fstat(fd, &st) == 0;
    if (known && S_ISREG(st.st_mode)) {
        take(&st, path);
        put_sizes();
    }
    const int rc = BELOW(int, "fsync", int)(fd);
    const int error = errno;
    if (rc == 0 && known) {
        if (S_ISDIR(st.st_mode)) {
            put("syncdir %s", path);
        } else {
            put("sync %llu %lld", (unsigned long long)st.st_ino, (long long)st.st_size);
        }
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return rc;
}
