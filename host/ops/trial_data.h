/* trial_data.h - arrays for a layer that is tried out: random where it reads, NaN where
 * it writes. */
#ifndef CLFCN_OPS_TRIAL_DATA_H
#define CLFCN_OPS_TRIAL_DATA_H

#include "../util/rng.h"
#include "op.h"

/* Normal random values, repeated; prime, so that no rows of a tensor are alike. */
enum { CLFCN_TRIAL_NOISE = 65537 };

/* What arrays hold; images hold one of the first CLFCN_TRIAL_IMAGES. */
enum clfcn_trial_kind {
    CLFCN_TRIAL_NORMAL,
    CLFCN_TRIAL_LARGE, /* normal times 10^4 */
    CLFCN_TRIAL_ALIKE, /* 10^4 everywhere */
    CLFCN_TRIAL_IMAGES,
    CLFCN_TRIAL_POSITIVE = CLFCN_TRIAL_IMAGES /* of variances: |normal| */
};

struct clfcn_trial_noise {
    struct clfcn_rng rng;
    enum clfcn_trial_kind kind; /* of what is drawn next */
    float values[CLFCN_TRIAL_NOISE];
};

void clfcn_trial_noise_init(struct clfcn_trial_noise *noise);
void clfcn_trial_fill(struct clfcn_trial_noise *noise, float *v, size_t count);

/* On host and device. Zero-initialised is closed. */
struct clfcn_trial_array {
    size_t count; /* floats */
    float *host;
    cl_mem mem;
    bool overrun; /* something was written behind it, seen when it was read */
};

/* noise NULL: NaN on the device, and in a guard zone behind, so that what is left
 * unwritten, or read before it was written, shows; the host's copy is undefined. count 0
 * opens nothing. Close in every case. CLFCN_EDEVMEM; CLFCN_ENOMEM; CLFCN_ECL. */
int clfcn_trial_array_open(struct clfcn_dev *dev, struct clfcn_trial_array *a,
                           const char *what, size_t count,
                           struct clfcn_trial_noise *noise, struct clfcn_err *err);
/* NaN on the device again, for another run. */
int clfcn_trial_array_clear(struct clfcn_dev *dev, struct clfcn_trial_array *a,
                            struct clfcn_err *err);
/* Wait for the device and read its copy, which must have been opened without noise. */
int clfcn_trial_array_read(struct clfcn_dev *dev, struct clfcn_trial_array *a,
                           struct clfcn_err *err);
void clfcn_trial_array_close(struct clfcn_dev *dev, struct clfcn_trial_array *a);

/* NaN in the first bytes of a buffer. */
int clfcn_trial_poison(struct clfcn_dev *dev, cl_mem mem, size_t bytes,
                       struct clfcn_err *err);

#endif
