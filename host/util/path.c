/* path.c - names of files and folders. */
#include "path.h"
#include "file.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *clfcn_path_join(const char *dir, const char *name)
{
    const size_t dir_len = strlen(dir), size = dir_len + strlen(name) + 2;
    char *path = malloc(size);
    if (path) {
        const bool slash = dir_len > 0 && dir[dir_len - 1] != '/';
        snprintf(path, size, "%s%s%s", dir, slash ? "/" : "", name);
    }
    return path;
}

const char *clfcn_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The dot in front of the extension, or NULL; a dot that starts the name does not
 * count. */
static const char *extension_dot(const char *base)
{
    const char *dot = strrchr(base, '.');
    return dot == base ? NULL : dot;
}

char *clfcn_path_stem(const char *path)
{
    const char *base = clfcn_path_base(path), *dot = extension_dot(base);
    return strndup(base, dot ? (size_t)(dot - base) : strlen(base));
}

const char *clfcn_path_ext(const char *path)
{
    const char *dot = extension_dot(clfcn_path_base(path));
    return dot ? dot + 1 : "";
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Compare the digit runs that *a and *b start with by value, of any length, and step
 * over them. */
static int compare_runs(const char **a, const char **b)
{
    while (**a == '0') {
        ++*a;
    }
    while (**b == '0') {
        ++*b;
    }
    int order = 0; /* of the first digits that differ */
    while (is_digit(**a) && is_digit(**b)) {
        if (order == 0) {
            order = **a - **b;
        }
        ++*a;
        ++*b;
    }
    if (is_digit(**a)) {
        return 1;
    }
    return is_digit(**b) ? -1 : order;
}

int clfcn_path_natural_cmp(const char *a, const char *b)
{
    const char *p = a, *q = b;
    while (*p && *q) {
        int order;
        if (is_digit(*p) && is_digit(*q)) {
            order = compare_runs(&p, &q);
        } else {
            order = (unsigned char)*p++ - (unsigned char)*q++;
        }
        if (order != 0) {
            return order;
        }
    }
    if (*p || *q) {
        return *p ? 1 : -1;
    }
    return strcmp(a, b); /* "01" and "1" have the same value but are not the same name */
}

static bool is_absence(int errnum)
{
    return errnum == ENOENT || errnum == ENOTDIR || errnum == ELOOP;
}

int clfcn_path_find(const char *path, bool *found, struct clfcn_err *err)
{
    struct stat st;
    *found = stat(path, &st) == 0;
    return *found || is_absence(errno) ? CLFCN_OK
                                       : clfcn_err_errno(err, errno, "%s", path);
}

bool clfcn_path_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool clfcn_path_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool clfcn_path_is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static int make_one(const char *path, mode_t mode, struct clfcn_err *err)
{
    if (mkdir(path, mode) == 0) {
        clfcn_file_sync_name(path); /* or what is synced in it goes with it */
        return CLFCN_OK;
    }
    const int errnum = errno;
    /* An existing folder may also be reported as EROFS or EACCES. */
    if (clfcn_path_is_dir(path)) {
        return CLFCN_OK;
    }
    return clfcn_err_errno(err, errnum, "cannot create folder %s", path);
}

int clfcn_path_mkdir(const char *path, unsigned mode, struct clfcn_err *err)
{
    char *copy = strdup(path);
    if (!copy) {
        return clfcn_err_nomem(err);
    }
    int rc = CLFCN_OK;
    for (char *p = copy; *p && rc == CLFCN_OK; ++p) {
        if (*p == '/' && p != copy && p[-1] != '/') {
            *p = '\0';
            rc = make_one(copy, (mode_t)mode, err);
            *p = '/';
        }
    }
    if (rc == CLFCN_OK) {
        rc = make_one(path, (mode_t)mode, err);
    }
    free(copy);
    return rc;
}

static int compare_names(const void *a, const void *b)
{
    return clfcn_path_natural_cmp(*(char *const *)a, *(char *const *)b);
}

/* 1 if it is, 0 if it is something else, or a link to nothing; -1 with errno set. */
static int is_of_type(DIR *dir, const char *name, mode_t type)
{
    struct stat st;
    if (fstatat(dirfd(dir), name, &st, 0) == 0) {
        return (st.st_mode & S_IFMT) == type;
    }
    return is_absence(errno) ? 0 : -1;
}

/* Append a copy of name to the array of count strings with room for *cap. */
static bool append(char ***names, int count, int *cap, const char *name)
{
    if (count == *cap) {
        const int grown = *cap ? *cap * 2 : 64;
        char **more = realloc(*names, (size_t)grown * sizeof(*more));
        if (!more) {
            return false;
        }
        *names = more;
        *cap = grown;
    }
    (*names)[count] = strdup(name);
    return (*names)[count] != NULL;
}

static int list_entries(const char *dir, mode_t type, char ***names, int *count,
                        struct clfcn_err *err)
{
    char **list = NULL;
    int n = 0, cap = 0, rc = CLFCN_OK;
    *names = NULL;
    *count = 0;
    DIR *d = opendir(dir);
    if (!d) {
        return clfcn_err_errno(err, errno, "%s", dir);
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(d);
        if (!entry) {
            if (errno != 0) {
                rc = clfcn_err_errno(err, errno, "%s", dir);
            }
            break;
        }
        if (entry->d_name[0] == '.') {
            continue;
        }
        const int fits = is_of_type(d, entry->d_name, type);
        if (fits < 0) {
            rc = clfcn_err_errno(err, errno, "%s/%s", dir, entry->d_name);
            break;
        }
        if (!fits) {
            continue;
        }
        if (!append(&list, n, &cap, entry->d_name)) {
            rc = clfcn_err_nomem(err);
            break;
        }
        ++n;
    }
    closedir(d);
    if (rc < 0) {
        clfcn_path_list_free(list, n);
        return rc;
    }
    if (n > 0) {
        qsort(list, (size_t)n, sizeof(*list), compare_names);
    }
    *names = list;
    *count = n;
    return CLFCN_OK;
}

int clfcn_path_list(const char *dir, char ***names, int *count, struct clfcn_err *err)
{
    return list_entries(dir, S_IFREG, names, count, err);
}

int clfcn_path_list_dirs(const char *dir, char ***names, int *count,
                         struct clfcn_err *err)
{
    return list_entries(dir, S_IFDIR, names, count, err);
}

void clfcn_path_list_free(char **names, int count)
{
    for (int i = 0; i < count; ++i) {
        free(names[i]);
    }
    free(names);
}

static const char *env_or_null(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

int clfcn_path_make_temp(char **out, struct clfcn_err *err)
{
    const char *const parents[] = { env_or_null("TMPDIR"), "/tmp", "/var/tmp",
                                    "/dev/shm" };
    int rc = CLFCN_OK;
    *out = NULL;
    for (int i = 0; i < (int)(sizeof(parents) / sizeof(parents[0])); ++i) {
        char *path = parents[i] ? clfcn_path_join(parents[i], "clfcn-temp-XXXXXX") : NULL;
        if (path && mkdtemp(path)) {
            *out = path;
            return CLFCN_OK;
        }
        if (path) {
            rc = clfcn_err_errno(err, errno, "cannot create folder %s", path);
        }
        free(path);
    }
    return rc < 0 ? rc : clfcn_err_nomem(err);
}

const char *clfcn_path_stamp(const char *path, char *buf, size_t n)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        snprintf(buf, n, "none");
    } else {
        snprintf(buf, n, "%lld %lld.%09ld %llu", (long long)st.st_size,
                 (long long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec,
                 (unsigned long long)st.st_ino);
    }
    return buf;
}

char *clfcn_path_of_program(void)
{
    char path[4096];
    const ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (len <= 0) {
        return NULL;
    }
    path[len] = '\0';
    return strdup(path);
}

int clfcn_path_cache_dir(char **out, struct clfcn_err *err)
{
    const char *own = env_or_null("CLFCN_CACHE_DIR");
    const char *xdg = env_or_null("XDG_CACHE_HOME");
    const char *home = env_or_null("HOME");
    *out = NULL;
    char *path = NULL;
    if (own) {
        path = strdup(own);
    } else if (xdg && xdg[0] == '/') { /* XDG has relative paths ignored */
        path = clfcn_path_join(xdg, "clfcn");
    } else if (home) {
        path = clfcn_path_join(home, ".cache/clfcn");
    } else {
        return clfcn_err_set(err, CLFCN_EIO, 0,
                             "no folder for cache files: set CLFCN_CACHE_DIR or HOME");
    }
    if (!path) {
        return clfcn_err_nomem(err);
    }
    const int rc = clfcn_path_mkdir(path, 0700, err);
    if (rc < 0) {
        free(path);
        return rc;
    }
    *out = path;
    return CLFCN_OK;
}
