/* driver.c - which drivers are let into this process. */
#include "driver.h"
#include "../util/library.h"
#include "../util/log.h"
#include "../util/path.h"
#include "../util/temp.h"
#include "../util/thread.h"
#include "cl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Belongs to the process, as the state of its ICD loader does. */
static struct {
    struct clfcn_mutex mutex;
    bool done;
    struct clfcn_driver *list;
    int count;
} vetted = { .mutex = { PTHREAD_MUTEX_INITIALIZER } };

const char *clfcn_driver_describe(const struct clfcn_driver *driver, char *buf, size_t n)
{
    const struct clfcn_icd *icd = &driver->icd;
    char way_out[512];
    if (icd->file) {
        snprintf(way_out, sizeof(way_out), "delete %s", icd->file);
    } else {
        snprintf(way_out, sizeof(way_out), "take it out of %s", icd->variable);
    }
    snprintf(buf, n, "%s (%s) %s; %srepair or remove its package, or %s%s", icd->library,
             icd->file ? icd->file : icd->variable, driver->why,
             driver->state == CLFCN_DRIVER_BROKEN ? "it is left out: " : "", way_out,
             driver->late ? ", or set CLFCN_PROBE_SECONDS to give it more time" : "");
    return buf;
}

/* Make drivers of what the loader would load. */
static int list_drivers(struct clfcn_driver **list, int *count, struct clfcn_err *err)
{
    struct clfcn_icd *icds;
    *list = NULL;
    int rc = clfcn_icd_list(&icds, count, err);
    if (rc < 0 || *count == 0) {
        return rc;
    }
    struct clfcn_driver *drivers = calloc((size_t)*count, sizeof(*drivers));
    if (!drivers) {
        clfcn_icd_list_free(icds, *count);
        *count = 0;
        return clfcn_err_nomem(err);
    }
    for (int i = 0; i < *count; ++i) {
        drivers[i].icd = icds[i];
    }
    free(icds); /* the strings have moved */
    *list = drivers;
    return CLFCN_OK;
}

static bool any_is_loaded(const struct clfcn_driver *list, int count)
{
    for (int i = 0; i < count; ++i) {
        if (clfcn_library_is_loaded(list[i].icd.library)) {
            return true;
        }
    }
    return false;
}

/* Try those of which nothing is known; all of them afresh. */
static int try_unknown(struct clfcn_driver *list, int count, bool afresh,
                       struct clfcn_err *err)
{
    struct clfcn_driver **unknown = calloc((size_t)count, sizeof(struct clfcn_driver *));
    int n = 0;
    if (!unknown) {
        return clfcn_err_nomem(err);
    }
    for (int i = 0; i < count; ++i) {
        if (afresh || !clfcn_verdict_load(&list[i])) {
            unknown[n++] = &list[i];
        }
    }
    if (n > 0) {
        clfcn_drivers_try(unknown, n);
    }
    for (int i = 0; i < n; ++i) {
        if (unknown[i]->state == CLFCN_DRIVER_SOUND ||
            unknown[i]->state == CLFCN_DRIVER_IDLE) {
            clfcn_verdict_store(unknown[i]);
        }
    }
    free(unknown);
    return CLFCN_OK;
}

static void tell(const struct clfcn_driver *list, int count)
{
    char line[1024];
    for (int i = 0; i < count; ++i) {
        if (list[i].state == CLFCN_DRIVER_BROKEN) {
            clfcn_warn("OpenCL driver %s",
                       clfcn_driver_describe(&list[i], line, sizeof(line)));
        } else if (list[i].why[0]) {
            clfcn_debug("OpenCL driver %s",
                        clfcn_driver_describe(&list[i], line, sizeof(line)));
        }
    }
}

/* Set a variable of the environment to what "NAME=VALUE" or "NAME" says, and take down
 * its value before in *before, a new string or NULL. */
static int change_variable(const char *change, char **before, struct clfcn_err *err)
{
    const size_t len = strcspn(change, "=");
    char name[32];
    snprintf(name, sizeof(name), "%.*s", (int)len, change);
    const char *value = getenv(name);
    *before = value ? strdup(value) : NULL;
    if (value && !*before) {
        return clfcn_err_nomem(err);
    }
    if ((change[len] ? setenv(name, change + len + 1, 1) : unsetenv(name)) != 0) {
        free(*before);
        return clfcn_err_nomem(err);
    }
    return CLFCN_OK;
}

static void restore_variable(const char *name, char *before)
{
    if (before) {
        setenv(name, before, 1);
    } else {
        unsetenv(name);
    }
    free(before);
}

/* Let the loader read its list while that shows what view holds. The environment is as
 * before afterwards: processes that this one starts shall find their drivers. */
static int start_loader(const struct clfcn_icd_view *view, struct clfcn_err *err)
{
    char *vendors = NULL, *filenames = NULL;
    int rc = change_variable(view->vendors, &vendors, err);
    if (rc < 0) {
        return rc;
    }
    rc = change_variable(view->filenames, &filenames, err);
    if (rc == CLFCN_OK) {
        cl_uint platforms;
        clGetPlatformIDs(0, NULL, &platforms); /* whatever it gives, it has loaded them */
        restore_variable("OCL_ICD_FILENAMES", filenames);
    }
    restore_variable("OCL_ICD_VENDORS", vendors);
    return rc;
}

/* Start the loader with all but the broken ones. */
static int leave_out(const struct clfcn_driver *list, int count, struct clfcn_err *err)
{
    struct clfcn_icd_view view = { 0 };
    struct clfcn_temp temp = { 0 };
    int admitted = 0;
    const struct clfcn_icd **icds =
        calloc((size_t)count, sizeof(const struct clfcn_icd *));
    if (!icds) {
        return clfcn_err_nomem(err);
    }
    for (int i = 0; i < count; ++i) {
        if (list[i].state != CLFCN_DRIVER_BROKEN) {
            icds[admitted++] = &list[i].icd;
        }
    }
    int rc = clfcn_temp_make(&temp, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_icd_view_create(&view, temp.path, "vendors", icds, admitted, err);
    }
    if (rc == CLFCN_OK) {
        rc = start_loader(&view, err);
    }
    clfcn_icd_view_destroy(&view);
    clfcn_temp_remove(&temp);
    free(icds);
    if (rc < 0) {
        clfcn_err_note(err, "cannot leave out a broken OpenCL driver");
    }
    return rc;
}

static bool any_is_broken(const struct clfcn_driver *list, int count)
{
    for (int i = 0; i < count; ++i) {
        if (list[i].state == CLFCN_DRIVER_BROKEN) {
            return true;
        }
    }
    return false;
}

static void free_drivers(struct clfcn_driver *list, int count)
{
    for (int i = 0; i < count; ++i) {
        free(list[i].icd.library);
        free(list[i].icd.file);
        free(list[i].path);
    }
    free(list);
}

/* With the mutex held. */
static int vet(bool afresh, struct clfcn_err *err)
{
    struct clfcn_driver *list;
    int count;
    int rc = list_drivers(&list, &count, err);
    if (rc == CLFCN_OK && count > 0 && !any_is_loaded(list, count)) {
        rc = try_unknown(list, count, afresh, err);
        if (rc == CLFCN_OK && !afresh) {
            tell(list, count);
        }
        if (rc == CLFCN_OK && any_is_broken(list, count)) {
            rc = leave_out(list, count, err);
        }
    }
    if (rc < 0) {
        free_drivers(list, count);
        return rc;
    }
    vetted.list = list;
    vetted.count = count;
    vetted.done = true;
    return CLFCN_OK;
}

int clfcn_drivers_vet(bool afresh, const struct clfcn_driver **list, int *count,
                      struct clfcn_err *err)
{
    clfcn_mutex_lock(&vetted.mutex);
    const int rc = vetted.done ? CLFCN_OK : vet(afresh, err);
    if (list) {
        *list = vetted.list;
    }
    if (count) {
        *count = vetted.count;
    }
    clfcn_mutex_unlock(&vetted.mutex);
    return rc;
}

void clfcn_drivers_note(struct clfcn_err *err)
{
    int faulty = 0;
    clfcn_mutex_lock(&vetted.mutex);
    for (int i = 0; i < vetted.count; ++i) {
        faulty += vetted.list[i].why[0] != '\0';
    }
    clfcn_mutex_unlock(&vetted.mutex);
    if (faulty > 0) {
        clfcn_err_note(err, "%d OpenCL driver%s not work, see 'clfcn devices'", faulty,
                       faulty == 1 ? " does" : "s do");
    }
}
