/* err.h - recording why something failed, and adding context on the way out. */
#ifndef CLFCN_UTIL_ERR_H
#define CLFCN_UTIL_ERR_H

#include <clfcn/common.h>
#include <errno.h>

/* Record the cause. Returns code, so that "return clfcn_err_set(...)" reads well. err
 * may be NULL. */
int clfcn_err_set(struct clfcn_err *err, int code, int native, const char *fmt, ...)
    CLFCN_PRINTF(4, 5);

/* Record errno as the cause: "<fmt>: No space left on device". Returns CLFCN_EIO. */
int clfcn_err_errno(struct clfcn_err *err, int errnum, const char *fmt, ...)
    CLFCN_PRINTF(3, 4);

/* Record that the host's memory is exhausted. Returns CLFCN_ENOMEM; here, so that
 * analysers of single files know that it is not CLFCN_OK. */
static inline int clfcn_err_nomem(struct clfcn_err *err)
{
    (void)clfcn_err_set(err, CLFCN_ENOMEM, ENOMEM, "out of memory");
    return CLFCN_ENOMEM;
}

/* Put "<fmt>: " in front of the cause, on the way out. err may be NULL. */
void clfcn_err_note(struct clfcn_err *err, const char *fmt, ...) CLFCN_PRINTF(2, 3);
/* Put more text behind it. err may be NULL. */
void clfcn_err_add(struct clfcn_err *err, const char *fmt, ...) CLFCN_PRINTF(2, 3);

/* Texts from elsewhere (names in files, build logs) come with newlines and control
 * characters, which terminals obey: put blanks in their place, none at the end. */
void clfcn_one_line(char *s);
/* Whether s holds none of these. */
bool clfcn_is_one_line(const char *s);

/* Leave through label when rc is an error, saying what was being attempted. */
#define CLFCN_CHECK(rc, label, err, ...)        \
    do {                                        \
        if ((rc) < 0) {                         \
            clfcn_err_note((err), __VA_ARGS__); \
            goto label;                         \
        }                                       \
    } while (0)

#endif
