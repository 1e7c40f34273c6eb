/* temp.c - temporary folders, and those that nobody needs any more.
 *
 * Whoever made a folder holds a lock on it, which ends with the process. */
#include "temp.h"
#include "path.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH = 2 }; /* folders within the folder */

/* Open a folder of this user's by its name in another one, and lock it as flock() would;
 * -1 if it is none, or that fails. */
static int lock_folder(int parent, const char *name, int how)
{
    struct stat st;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 &&
        (fstat(fd, &st) != 0 || st.st_uid != geteuid() || flock(fd, how) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Remove what a folder holds; fd is closed. */
static void empty(int fd, int depth)
{
    DIR *dir = fdopendir(fd);
    const struct dirent *entry;
    if (!dir) {
        close(fd);
        return;
    }
    while ((entry = readdir(dir))) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
            unlinkat(fd, name, 0) == 0) {
            continue;
        }
        const int inner =
            depth > 0 ? openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                      : -1;
        if (inner >= 0) {
            empty(inner, depth - 1);
            unlinkat(fd, name, AT_REMOVEDIR);
        }
    }
    closedir(dir);
}

/* Remove the folders beside path, of names like its, that no process holds. */
static void sweep(const char *path)
{
    const size_t stem = sizeof("clfcn-temp-") - 1;
    const char *base = clfcn_path_base(path);
    char *parent = strndup(path, (size_t)(base - path));
    DIR *dir = parent ? opendir(parent) : NULL;
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        const char *name = entry->d_name;
        const int fd = strncmp(name, base, stem) == 0 && strlen(name) == strlen(base)
                           ? lock_folder(dirfd(dir), name, LOCK_EX | LOCK_NB)
                           : -1;
        if (fd >= 0) {
            empty(fd, DEPTH);
            unlinkat(dirfd(dir), name, AT_REMOVEDIR);
        }
    }
    if (dir) {
        closedir(dir);
    }
    free(parent);
}

int clfcn_temp_make(struct clfcn_temp *temp, struct clfcn_err *err)
{
    *temp = (struct clfcn_temp){ .lock = -1 };
    int rc = CLFCN_OK;
    /* Another process may sweep the folder between its making and its lock. */
    while (rc == CLFCN_OK && temp->lock < 0) {
        struct stat st;
        free(temp->path);
        rc = clfcn_path_make_temp(&temp->path, err);
        temp->lock = rc == CLFCN_OK ? lock_folder(AT_FDCWD, temp->path, LOCK_EX) : -1;
        if (rc == CLFCN_OK && temp->lock < 0 && clfcn_path_exists(temp->path)) {
            break; /* a file system without locks: nobody can sweep there */
        }
        if (temp->lock >= 0 && fstat(temp->lock, &st) == 0 && st.st_nlink == 0) {
            close(temp->lock);
            temp->lock = -1;
        }
    }
    if (rc == CLFCN_OK) {
        sweep(temp->path);
    }
    return rc;
}

void clfcn_temp_remove(struct clfcn_temp *temp)
{
    if (temp->path) {
        const int fd = open(temp->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0) {
            empty(fd, DEPTH);
        }
        rmdir(temp->path);
        if (temp->lock >= 0) {
            close(temp->lock);
        }
    }
    free(temp->path);
    *temp = (struct clfcn_temp){ 0 };
}
