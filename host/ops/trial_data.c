#include "trial_data.h"

#include "../device/buffer.h"
#include <math.h>
#include <stdlib.h>

void clfcn_trial_noise_init(struct clfcn_trial_noise *noise)
{
    clfcn_rng_init(&noise->rng, 0, "trial", 0, 0);
    for (int i = 0; i < CLFCN_TRIAL_NOISE; ++i) {
        noise->values[i] = (float)clfcn_rng_normal(&noise->rng);
    }
}

static void fill(struct clfcn_trial_noise *noise, float *v, size_t count)
{
    size_t from = clfcn_rng_below(&noise->rng, CLFCN_TRIAL_NOISE);
    for (size_t i = 0; i < count; ++i) {
        v[i] = noise->values[from];
        from = from + 1 < CLFCN_TRIAL_NOISE ? from + 1 : 0;
    }
}

int clfcn_trial_poison(struct clfcn_dev *dev, cl_mem mem, size_t bytes,
                       struct clfcn_err *err)
{
    const cl_float nan = NAN;
    cl_int code = CL_SUCCESS;
    bytes = bytes / sizeof(nan) * sizeof(nan);
    if (bytes > 0) {
        code = clEnqueueFillBuffer(dev->compute, mem, &nan, sizeof(nan), 0, bytes, 0,
                                   NULL, NULL);
    }
    return code == CL_SUCCESS ? CLFCN_OK : clfcn_cl_err(err, code, "filling a buffer");
}

int clfcn_trial_array_open(struct clfcn_dev *dev, struct clfcn_trial_array *a,
                           const char *what, size_t count,
                           struct clfcn_trial_noise *noise, struct clfcn_err *err)
{
    const size_t bytes = count * sizeof(*a->host);
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
        return rc < 0 ? rc : clfcn_trial_poison(dev, a->mem, bytes, err);
    }
    fill(noise, a->host, count);
    return clfcn_buffer_write(dev, a->mem, 0, bytes, a->host, err);
}

int clfcn_trial_array_read(struct clfcn_dev *dev, struct clfcn_trial_array *a,
                           struct clfcn_err *err)
{
    return clfcn_buffer_read(dev, a->mem, 0, a->count * sizeof(*a->host), a->host, err);
}

void clfcn_trial_array_close(struct clfcn_dev *dev, struct clfcn_trial_array *a)
{
    clfcn_buffer_release(dev, &a->mem);
    free(a->host);
    *a = (struct clfcn_trial_array){ 0 };
}
