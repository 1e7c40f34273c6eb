/* icd.h - which drivers OpenCL's ICD loader loads, and how to make it load others.
 *
 * The loader (ocl-icd, or Khronos') loads all of them into the process at its first call,
 * and only then. Both read the *.icd files of a folder, /etc/OpenCL/vendors or
 * $OCL_ICD_VENDORS, each of which holds a library's name; the other sources differ. */
#ifndef CLFCN_DEVICE_ICD_H
#define CLFCN_DEVICE_ICD_H

#include "../util/err.h"

/* One library that the loader is told to load. */
struct clfcn_icd {
    char *library; /* as dlopen() takes it: a path, or a name to search for */
    char *file;    /* the .icd file that names it; NULL: an environment variable does */
    const char *variable; /* that variable, if file is NULL; borrowed for good */
};

/* The libraries that the environment and the system's folder name, in natural order of
 * the files. Free with clfcn_icd_list_free(). CLFCN_ENOMEM; whatever cannot be read is
 * passed over, as the loader does. */
int clfcn_icd_list(struct clfcn_icd **list, int *count, struct clfcn_err *err);
void clfcn_icd_list_free(struct clfcn_icd *list, int count);

/* What makes a loader load chosen libraries only: a folder of .icd files, and the changes
 * of the environment that lead it there. Zero-initialise. */
struct clfcn_icd_view {
    char *folder;
    char *vendors, *filenames; /* "OCL_ICD_VENDORS=...", "OCL_ICD_FILENAMES[=...]" */
};

/* Fill a new folder, parent/name, with count libraries. */
int clfcn_icd_view_create(struct clfcn_icd_view *view, const char *parent,
                          const char *name, const struct clfcn_icd *const *icds,
                          int count, struct clfcn_err *err);
/* Removes the folder. Harmless on a zero-initialised struct. */
void clfcn_icd_view_destroy(struct clfcn_icd_view *view);

#endif
