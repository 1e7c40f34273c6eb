#include "conv.h"
#include "defaults.h"

#include <clblast_c.h>
#include <limits.h>
#include <stdint.h>

/* CLBlast's own convolution, which is its im2col and one of its GEMMs.
 *
 * It takes images [N][C][H][W] and offers no stride between channels, so it can read
 * [C][N][H][W] only where the two agree: for one image, or for a 1x1 kernel, to which the
 * images of a batch are one tall image. It always overwrites the result, so the input
 * gradient, which may have to add, is not for it; nor is the gradient of the weights.
 *
 * CLBlast allocates the columns anew in each call, outside the account of the device's
 * memory, and waits for them on the host: hence never chosen unless measured or asked
 * for. */
struct convgemm {
    struct clfcn_conv cv;
};

/* Bytes of the columns that CLBlast will allocate. */
static uint64_t columns(const struct clfcn_conv_shape *s)
{
    return (uint64_t)s->in * (uint64_t)(s->kernel * s->kernel) * (uint64_t)s->n *
           (uint64_t)(s->h * s->w) * sizeof(float);
}

static bool fits(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                 const struct clfcn_op_env *env)
{
    const uint64_t bytes = columns(shape);
    return pass == CLFCN_PASS_FORWARD && !shape->transposed &&
           (shape->n == 1 || shape->kernel == 1) && env->gemm_kind != CLFCN_GEMM_NATIVE &&
           clfcn_suits_clblast(&env->dev->info) && bytes <= env->workspace_limit &&
           bytes <= env->dev->info.max_alloc_bytes &&
           bytes / sizeof(float) <= INT_MAX; /* it counts elements in int */
}

static int plan(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                struct clfcn_err *err)
{
    return CLFCN_OK;
}

static int prepare(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    return CLFCN_OK;
}

static int run(struct clfcn_conv *cv, const struct clfcn_op_run *run,
               const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    const struct clfcn_conv_shape *s = &cv->shape;
    const size_t kernel = (size_t)s->kernel, pad = (kernel - 1) / 2;
    cl_command_queue queue = run->dev->compute;
    const int status = CLBlastSconvgemm(
        CLBlastKernelModeCrossCorrelation, (size_t)s->in, (size_t)s->n * (size_t)s->h,
        (size_t)s->w, kernel, kernel, pad, pad, 1, 1, 1, 1, (size_t)s->out, 1, call->x, 0,
        call->weight, 0, call->y, 0, &queue, NULL);
    if (status != CLBlastSuccess) {
        return clfcn_err_set(err, CLFCN_ECL, status, "CLBlast's convgemm: %s (%d)",
                             clfcn_cl_error_name(status), status);
    }
    return CLFCN_OK;
}

/* CLBlast keeps compiled programs of the context in a cache of its own. */
static void finish(struct clfcn_conv *cv)
{
    CLBlastClearCache();
}

const struct clfcn_conv_impl clfcn_conv_convgemm = {
    .name = "convgemm",
    .on_request = true,
    .size = sizeof(struct convgemm),
    .fits = fits,
    .plan = plan,
    .prepare = prepare,
    .run = run,
    .finish = finish,
};
