#include "trial_data.h"

#include "../device/buffer.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64 };             /* floats behind an array that is written */
static const float LARGE = 1e4f; /* sums of such products are far from overflowing */
/* A signalling NaN: every computation with it makes a quiet one, so that even its own NaN
 * written back into a guard zone shows. */
static const cl_uint poison = 0x7fadbeefu;

void clfcn_trial_noise_init(struct clfcn_trial_noise *noise)
{
    clfcn_rng_init(&noise->rng, 0, "trial", 0, 0);
    for (int i = 0; i < CLFCN_TRIAL_NOISE; ++i) {
        noise->values[i] = (float)clfcn_rng_normal(&noise->rng);
    }
}

static float value(enum clfcn_trial_kind kind, float noise)
{
    switch (kind) {
    case CLFCN_TRIAL_LARGE:
        return LARGE * noise;
    case CLFCN_TRIAL_ALIKE:
        return LARGE;
    case CLFCN_TRIAL_POSITIVE:
        return fabsf(noise);
    default:
        return noise;
    }
}

void clfcn_trial_fill(struct clfcn_trial_noise *noise, float *v, size_t count)
{
    size_t from = clfcn_rng_below(&noise->rng, CLFCN_TRIAL_NOISE);
    for (size_t i = 0; i < count; ++i) {
        v[i] = value(noise->kind, noise->values[from]);
        from = from + 1 < CLFCN_TRIAL_NOISE ? from + 1 : 0;
    }
}

int clfcn_trial_poison(struct clfcn_dev *dev, cl_mem mem, size_t bytes,
                       struct clfcn_err *err)
{
    cl_int code = CL_SUCCESS;
    bytes = bytes / sizeof(poison) * sizeof(poison);
    if (bytes > 0) {
        code = clEnqueueFillBuffer(dev->compute, mem, &poison, sizeof(poison), 0, bytes,
                                   0, NULL, NULL);
    }
    return code == CL_SUCCESS ? CLFCN_OK : clfcn_cl_err(err, code, "filling a buffer");
}

int clfcn_trial_array_clear(struct clfcn_dev *dev, struct clfcn_trial_array *a,
                            struct clfcn_err *err)
{
    return clfcn_trial_poison(dev, a->mem, (a->count + GUARD) * sizeof(*a->host), err);
}

int clfcn_trial_array_open(struct clfcn_dev *dev, struct clfcn_trial_array *a,
                           const char *what, size_t count,
                           struct clfcn_trial_noise *noise, struct clfcn_err *err)
{
    const size_t bytes = (noise ? count : count + GUARD) * sizeof(*a->host);
    if (count == 0) {
        return CLFCN_OK;
    }
    a->count = count;
    a->host = malloc(bytes);
    if (!a->host) {
        return clfcn_err_nomem(err);
    }
    const int rc = clfcn_buffer_create(dev, bytes, what, &a->mem, err);
    if (rc < 0 || !noise) {
        return rc < 0 ? rc : clfcn_trial_array_clear(dev, a, err);
    }
    clfcn_trial_fill(noise, a->host, count);
    return clfcn_buffer_write(dev, a->mem, 0, bytes, a->host, err);
}

int clfcn_trial_array_read(struct clfcn_dev *dev, struct clfcn_trial_array *a,
                           struct clfcn_err *err)
{
    const size_t bytes = (a->count + GUARD) * sizeof(*a->host);
    const int rc = clfcn_buffer_read(dev, a->mem, 0, bytes, a->host, err);
    for (size_t i = a->count; rc == CLFCN_OK && i < a->count + GUARD; ++i) {
        a->overrun = a->overrun || memcmp(&a->host[i], &poison, sizeof(poison)) != 0;
    }
    return rc;
}

void clfcn_trial_array_close(struct clfcn_dev *dev, struct clfcn_trial_array *a)
{
    clfcn_buffer_release(dev, &a->mem);
    free(a->host);
    *a = (struct clfcn_trial_array){ 0 };
}
