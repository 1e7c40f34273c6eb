/* file.h - whole files in, whole files out: never a half-written one. */
#ifndef CLFCN_UTIL_FILE_H
#define CLFCN_UTIL_FILE_H

#include "err.h"
#include "output.h"
#include <stdio.h>

/* Read all of path. *data is one byte longer than *size and zero-terminated; free with
 * free(). CLFCN_EIO if unreadable; CLFCN_EDATA if longer than max_bytes (0: no limit). */
int clfcn_file_read(const char *path, size_t max_bytes, char **data, size_t *size,
                    struct clfcn_err *err);

/* As clfcn_file_read(), but CLFCN_EDATA unless it is a regular file of this user's, which
 * nobody else may write to: for cache files, whose content is trusted. */
int clfcn_file_read_own(const char *path, size_t max_bytes, char **data, size_t *size,
                        struct clfcn_err *err);

/* A file that appears under its name only when complete: written beside it under a
 * temporary name, synced, renamed, the folder synced. A file that was there before
 * survives every failure. */
struct clfcn_atomic_file {
    struct clfcn_output out; /* for what writes other than by clfcn_atomic_write() */
    char *path, *temp;       /* path NULL: not open */
};

int clfcn_atomic_open(struct clfcn_atomic_file *af, const char *path,
                      struct clfcn_err *err);
/* The same for a file that clfcn_file_read_own() is to read: for this user alone, whatever
 * the umask. */
int clfcn_atomic_open_own(struct clfcn_atomic_file *af, const char *path,
                          struct clfcn_err *err);
/* Write n bytes. CLFCN_EIO with the path and the system's reason. */
int clfcn_atomic_write(struct clfcn_atomic_file *af, const void *data, size_t n,
                       struct clfcn_err *err);
/* Go on at another byte of the file. */
int clfcn_atomic_seek(struct clfcn_atomic_file *af, uint64_t at, struct clfcn_err *err);
/* Flush, sync, rename. On error the temporary file is gone and the old file intact. */
int clfcn_atomic_commit(struct clfcn_atomic_file *af, struct clfcn_err *err);
/* Give up: remove the temporary file. Harmless after commit or on a zero-initialised
 * struct. */
void clfcn_atomic_abort(struct clfcn_atomic_file *af);

/* Remove the temporary files that killed processes left in dir; errors are ignored. Those
 * that are being written stay. */
void clfcn_atomic_sweep(const char *dir);

/* The three calls of an atomic file in one. */
int clfcn_file_write(const char *path, const void *data, size_t n, struct clfcn_err *err);
/* The same with clfcn_atomic_open_own(). */
int clfcn_file_write_own(const char *path, const void *data, size_t n,
                         struct clfcn_err *err);

/* A stream that reads path, or NULL with errno set. */
FILE *clfcn_file_open_read(const char *path);

/* 0 of a file that is not there. */
int clfcn_file_size(const char *path, uint64_t *size, struct clfcn_err *err);

/* Bring to the disk under which names the folder of path holds its files: what was made,
 * renamed or removed there. A caller could do nothing about a failure, so none is
 * reported. */
void clfcn_file_sync_name(const char *path);

/* Cut a file to its first n bytes, synced. */
int clfcn_file_truncate(const char *path, size_t n, struct clfcn_err *err);

/* A regular file, to be read at any place. It is not mapped: one that somebody cuts
 * meanwhile would end the process. Zero-initialised is closed. */
struct clfcn_file_reader {
    bool open;
    int fd;
    uint64_t size; /* when it was opened */
};
/* CLFCN_EIO if path cannot be opened, or is a folder, a pipe or the like. */
int clfcn_reader_open(struct clfcn_file_reader *r, const char *path,
                      struct clfcn_err *err);
/* Read n bytes from byte at on. CLFCN_EDATA if the file ends before that. */
int clfcn_reader_read(const struct clfcn_file_reader *r, uint64_t at, void *to, size_t n,
                      struct clfcn_err *err);
/* A stream of its own on the file, at an unspecified place; NULL with errno set. */
FILE *clfcn_reader_stream(const struct clfcn_file_reader *r);
void clfcn_reader_close(struct clfcn_file_reader *r);

/* Hold dir/.lock for this process until clfcn_lock_release(); the operating system
 * releases it if the process dies. CLFCN_EIO "in use by another process" if somebody
 * else holds it. */
struct clfcn_lock {
    int fd; /* < 0: not held */
};
int clfcn_lock_acquire(struct clfcn_lock *lock, const char *dir, struct clfcn_err *err);
void clfcn_lock_release(struct clfcn_lock *lock);

#endif
