#include "clip.h"

#include "op_impl.h"

enum { P_VW, P_WGS };
/* Elements of a chunk at least, and what it is a multiple of: a group's vectors. */
enum { CHUNK_STEP = 16 * 256 };

#define PARAMS                                                                           \
    {                                                                                    \
        [P_VW] = { "VW", 4, { 4, 8, 16 } }, [P_WGS] = { "WGS", 64, { 1, 64, 128, 256 } } \
    }

static const struct clfcn_kernel_desc squares_desc = {
    .stem = "clip", .entry = "clip_squares", .cut = CLFCN_CUT_X, .params = PARAMS
};
static const struct clfcn_kernel_desc factor_desc = { .stem = "clip",
                                                      .entry = "clip_factor",
                                                      .params = PARAMS };
static const struct clfcn_kernel_desc scale_desc = {
    .stem = "clip", .entry = "clip_scale", .cut = CLFCN_CUT_X, .params = PARAMS
};

/* As in loss.c, some thousand chunks at most for one item to add up. */
static size_t chunk_of(size_t count)
{
    const size_t even = (count + 1023) / 1024;
    return (even + CHUNK_STEP - 1) / CHUNK_STEP * CHUNK_STEP;
}

static size_t groups_of(size_t count)
{
    return (count + chunk_of(count) - 1) / chunk_of(count);
}

int clfcn_clip_prepare(struct clfcn_clip *clip, const struct clfcn_op_env *env,
                       struct clfcn_err *err)
{
    const struct clfcn_defaults defaults = clfcn_defaults_for(&env->dev->info);
    const int values[CLFCN_MAX_PARAMS] = {
        [P_VW] = defaults.vector_width, [P_WGS] = defaults.group
    };
    clip->group = defaults.group;
    clip->vector_width = defaults.vector_width;
    int rc = clfcn_kernel_want(env->programs, &clip->squares, &squares_desc, values, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_kernel_want(env->programs, &clip->factor, &factor_desc, values, err);
    }
    return rc < 0
               ? rc
               : clfcn_kernel_want(env->programs, &clip->scale, &scale_desc, values, err);
}

size_t clfcn_clip_scratch(size_t count)
{
    return groups_of(count) * sizeof(float);
}

int clfcn_clip_run(const struct clfcn_clip *clip, const struct clfcn_op_run *run,
                   cl_mem g, size_t count, double limit, cl_mem result, int index,
                   struct clfcn_err *err)
{
    const cl_uint n = (cl_uint)count, chunk = (cl_uint)chunk_of(count);
    const int groups = (int)groups_of(count);
    const float most = (float)limit;
    const struct clfcn_arg squares_args[] = { CLFCN_ARG(g), CLFCN_ARG(run->scratch),
                                              CLFCN_ARG(n), CLFCN_ARG(chunk) };
    const struct clfcn_arg factor_args[] = { CLFCN_ARG(run->scratch), CLFCN_ARG(result),
                                             CLFCN_ARG(groups), CLFCN_ARG(index),
                                             CLFCN_ARG(most) };
    const struct clfcn_arg scale_args[] = { CLFCN_ARG(g), CLFCN_ARG(result), CLFCN_ARG(n),
                                            CLFCN_ARG(index) };
    const size_t global[] = { (size_t)groups * (size_t)clip->group }, one[] = { 1 };
    const size_t local[] = { (size_t)clip->group };
    int rc = clfcn_launch(run->dev, &clip->squares, 1, global, local, squares_args,
                          CLFCN_ARRAY_LEN(squares_args), err);
    if (rc == CLFCN_OK) {
        rc = clfcn_launch(run->dev, &clip->factor, 1, one, one, factor_args,
                          CLFCN_ARRAY_LEN(factor_args), err);
    }
    return rc < 0 ? rc
                  : clfcn_launch_each(run->dev, &clip->scale,
                                      count / (size_t)clip->vector_width, scale_args,
                                      CLFCN_ARRAY_LEN(scale_args), err);
}
