/* path.h - names of files and folders. */
#ifndef CLFCN_UTIL_PATH_H
#define CLFCN_UTIL_PATH_H

#include "err.h"

/* "dir/name"; a new string, free with free(); NULL if memory is exhausted. */
char *clfcn_path_join(const char *dir, const char *name);
/* The last component without its extension ("a/b.c.png" -> "b.c"); a new string, or
 * NULL. */
char *clfcn_path_stem(const char *path);
/* The last component; borrowed from path. */
const char *clfcn_path_base(const char *path);
/* The extension without dot, "" if there is none; borrowed from path. */
const char *clfcn_path_ext(const char *path);
/* Order of names as people read them: 2.png before 10.png. Total: 0 only for equal
 * strings. */
int clfcn_path_natural_cmp(const char *a, const char *b);

/* Whether there is something at path. CLFCN_EIO where that cannot be told, as in a folder
 * that may not be entered; the functions below take that for no. */
int clfcn_path_find(const char *path, bool *found, struct clfcn_err *err);
bool clfcn_path_exists(const char *path);
bool clfcn_path_is_dir(const char *path);
/* Whether it is a regular file: what else there may be, such as a pipe, may take for ever
 * to read. */
bool clfcn_path_is_file(const char *path);

/* Create a folder and its parents; an existing folder is fine. mode as for mkdir(2). */
int clfcn_path_mkdir(const char *path, unsigned mode, struct clfcn_err *err);

/* A new, empty folder that only this user may enter, in $TMPDIR, or where else the system
 * has place for such things. Receives a new string; the caller removes the folder. */
int clfcn_path_make_temp(char **out, struct clfcn_err *err);

/* Text that changes when the file does: its size, time of change, identity; "none" if
 * there is no such file. 80 characters suffice. Returns buf. */
const char *clfcn_path_stamp(const char *path, char *buf, size_t n);

/* The path of the running program; a new string, or NULL if the system does not tell. */
char *clfcn_path_of_program(void);

/* Names of the regular files directly in dir (symbolic links followed, names that
 * start with a dot left out), in natural order. Free with clfcn_path_list_free(). */
int clfcn_path_list(const char *dir, char ***names, int *count, struct clfcn_err *err);
/* The same of the folders in dir. */
int clfcn_path_list_dirs(const char *dir, char ***names, int *count,
                         struct clfcn_err *err);
void clfcn_path_list_free(char **names, int count);

/* The folder of cache files, created with mode 0700: $CLFCN_CACHE_DIR, else
 * $XDG_CACHE_HOME/clfcn, else ~/.cache/clfcn. Receives a new string. */
int clfcn_path_cache_dir(char **out, struct clfcn_err *err);

#endif
