/* driver.h - trying OpenCL's driver libraries before they are let into this process.
 *
 * A library that crashes or hangs takes down every process whose ICD loader loads it. So
 * each is first opened by a process of its own, clfcn-probe, and this process's loader is
 * shown only those that came through. */
#ifndef CLFCN_DEVICE_DRIVER_H
#define CLFCN_DEVICE_DRIVER_H

#include "icd.h"

enum clfcn_driver_state {
    CLFCN_DRIVER_UNTRIED, /* it could not be tried, and is let in */
    CLFCN_DRIVER_SOUND,
    CLFCN_DRIVER_IDLE,  /* it offers nothing, so that the loader passes over it */
    CLFCN_DRIVER_BROKEN /* it is left out */
};

struct clfcn_driver {
    struct clfcn_icd icd;
    enum clfcn_driver_state state;
    bool late;     /* broken, or perhaps slow */
    char why[256]; /* what is wrong: "crashed with signal 11 (...) while ..."; or "" */
    char *path;    /* the file that icd.library led to; NULL: not known */
};

/* Try the drivers unless that is done, once a process, for the loader loads them once;
 * start the loader without the broken ones. Drivers that passed before and have not
 * changed are not tried again, except afresh. Tells clfcn_log() which are left out,
 * except afresh, where it is left to the caller. Nothing is tried where a driver is in
 * the process already: it is too late then.
 *
 * list and count receive the drivers that were looked at, borrowed for good; both may be
 * NULL. CLFCN_ENOMEM; CLFCN_EIO if a broken driver cannot be left out. */
int clfcn_drivers_vet(bool afresh, const struct clfcn_driver **list, int *count,
                      struct clfcn_err *err);

/* Put in front of a cause how many drivers do not work, if any does not. */
void clfcn_drivers_note(struct clfcn_err *err);

/* One line: which library, what is wrong with it, what to do. Returns buf. */
const char *clfcn_driver_describe(const struct clfcn_driver *driver, char *buf, size_t n);

/* Try drivers, side by side; sets everything but icd. (trial.c) */
void clfcn_drivers_try(struct clfcn_driver *const *drivers, int count);

/* Whether a driver passed before, and nothing has changed since; sets state and why.
 * (verdict.c) */
bool clfcn_verdict_load(struct clfcn_driver *driver);
/* Remember that a driver need not be left out. A failure costs time only and is told to
 * clfcn_debug(). (verdict.c) */
void clfcn_verdict_store(const struct clfcn_driver *driver);

#endif
