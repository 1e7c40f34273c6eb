#include "op_impl.h"

struct add {
    struct clfcn_op op;
    int vector_width;
    struct clfcn_kernel forward, backward;
};

enum { P_VW, P_MASK };

#define PARAMS                                                              \
    {                                                                       \
        [P_VW] = { "VW", 4, { 4, 8, 16 } }, [P_MASK] = { "MASK", 0, { 0 } } \
    }

static const struct clfcn_kernel_desc forward_desc = {
    .stem = "add", .entry = "add_forward", .cut = CLFCN_CUT_X, .params = PARAMS
};
static const struct clfcn_kernel_desc backward_desc = {
    .stem = "add", .entry = "add_backward", .cut = CLFCN_CUT_X, .params = PARAMS
};

static int infer(struct clfcn_op *op, const struct clfcn_op_env *env,
                 struct clfcn_err *err)
{
    const struct clfcn_tensor *a = op->x, *b = op->x2;
    if (a->c != b->c || a->n != b->n || a->h != b->h || a->w != b->w) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "%dx%dx%dx%d and %dx%dx%dx%d cannot be added", a->c, a->n,
                             a->h, a->w, b->c, b->n, b->h, b->w);
    }
    *op->y = (struct clfcn_tensor){ a->c, a->n, a->h, a->w, NULL };
    return clfcn_op_check_row(a, err);
}

static int prepare(struct clfcn_op *op, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    struct add *add = (struct add *)op;
    add->vector_width = clfcn_defaults_for(&env->dev->info).vector_width;
    const int values[CLFCN_MAX_PARAMS] = {
        [P_VW] = add->vector_width, [P_MASK] = op->mask_dx
    };
    int rc = clfcn_kernel_want(env->programs, &add->forward, &forward_desc, values, err);
    if (rc == CLFCN_OK && env->training) {
        rc =
            clfcn_kernel_want(env->programs, &add->backward, &backward_desc, values, err);
    }
    return rc;
}

static int launch(const struct add *add, const struct clfcn_op_run *run,
                  const struct clfcn_kernel *kernel, cl_mem a, cl_mem b, cl_mem c,
                  struct clfcn_err *err)
{
    const size_t vw = (size_t)add->vector_width, n = clfcn_tensor_count(add->op.y);
    const cl_uint count = (cl_uint)n;
    const struct clfcn_arg args[] = { CLFCN_ARG(a), CLFCN_ARG(b), CLFCN_ARG(c),
                                      CLFCN_ARG(count) };
    return clfcn_launch_each(run->dev, kernel, (n + vw - 1) / vw, args,
                             CLFCN_ARRAY_LEN(args), err);
}

static int forward(struct clfcn_op *op, const struct clfcn_op_run *run,
                   struct clfcn_err *err)
{
    const struct add *add = (const struct add *)op;
    return launch(add, run, &add->forward, op->x->mem, op->x2->mem, op->y->mem, err);
}

static int backward(struct clfcn_op *op, const struct clfcn_op_run *run,
                    struct clfcn_err *err)
{
    const struct add *add = (const struct add *)op;
    return launch(add, run, &add->backward, op->x->mem, op->dy->mem, op->dx->mem, err);
}

static const struct clfcn_op_impl add_impl = {
    .kind = "add",
    .backward_reads_x = true,
    .masks_dx = true,
    .infer = infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
};

int clfcn_add_create(struct clfcn_op **out, struct clfcn_err *err)
{
    return clfcn_op_alloc(sizeof(struct add), &add_impl, out, err);
}
