/* certificate.h - which kernels give right results on a device: found out once by a self
 * test, kept in cache_dir/selftest/HASH.json, and obeyed by every network that is built
 * there. */
#ifndef CLFCN_OPS_CERTIFICATE_H
#define CLFCN_OPS_CERTIFICATE_H

#include "conv.h"
#include <jansson.h>

/* One pass of one algorithm, or of one kind of layer, over all that it was tried on. */
struct clfcn_finding {
    char subject[CLFCN_CONV_NAME]; /* "winograd4", "batchnorm", "sgd" */
    char pass[24];                 /* "forward"; of clfcn_pass_name() for algorithms */
    int tests;
    double error; /* the largest, relative in the 2-norm; NaN: not finite, or not run */
    double bound; /* what it may be */
    bool correct;
    double ms;     /* of the runs together */
    char at[64];   /* the test that gave that error, or, if wrong, the first that did */
    char why[160]; /* "" if correct */
};

/* Zero-initialised is empty: nothing is known. */
struct clfcn_certificate {
    struct clfcn_finding *list;
    int count;
};

void clfcn_certificate_free(struct clfcn_certificate *c);

/* NULL if it was not tested. c may be NULL. Borrowed until c changes. */
const struct clfcn_finding *clfcn_certificate_find(const struct clfcn_certificate *c,
                                                   const char *subject, const char *pass);
/* The same, but NULL also if it is correct. */
const struct clfcn_finding *clfcn_certificate_fault(const struct clfcn_certificate *c,
                                                    const char *subject,
                                                    const char *pass);

/* Join what one test gave (tests is 1) with what is known of subject and pass. */
int clfcn_certificate_add(struct clfcn_certificate *c, const struct clfcn_finding *test,
                          struct clfcn_err *err);
/* Put what is known of newer into c, in the place of what c says of the same. */
int clfcn_certificate_update(struct clfcn_certificate *c,
                             const struct clfcn_certificate *newer,
                             struct clfcn_err *err);

/* Judge by error and bound: sets correct, and why if it is not. */
void clfcn_finding_judge(struct clfcn_finding *f);

/* What is stored for dev as it is now: nothing if there is no file, or one that is
 * damaged, or of another driver or version, as then all has to be tested anew. */
void clfcn_certificate_load(const struct clfcn_dev *dev, struct clfcn_certificate *c);
/* What a file of the user's own holds, of whatever device and driver; with origin, a new
 * reference for clfcn_stored_origin(). CLFCN_EDATA if it is no certificate; CLFCN_EIO. */
int clfcn_certificate_read(const char *path, struct clfcn_certificate *c, json_t **origin,
                           struct clfcn_err *err);
/* Replace the file of dev, atomically. */
int clfcn_certificate_save(const struct clfcn_certificate *c, const struct clfcn_dev *dev,
                           struct clfcn_err *err);
/* The name of that file; a new string. */
int clfcn_certificate_path(const struct clfcn_dev *dev, char **path,
                           struct clfcn_err *err);

#endif
