#include "op_impl.h"
#include "sync.h"
#include <math.h>
#include <stdlib.h>

/* eps and momentum of torch.nn.BatchNorm2d. */
static const float bn_eps = CLFCN_BATCHNORM_EPS, bn_momentum = 0.1f;

enum { GAMMA, BETA, RUNNING_MEAN, RUNNING_VAR };

struct batchnorm {
    struct clfcn_op op;
    bool inference; /* built for nothing else */
    double values;  /* of a channel in all ranks, as the last forward pass learnt */
    struct clfcn_defaults defaults;
    struct clfcn_kernel partial, finish, running, apply;
    struct clfcn_kernel grad_partial, grad_finish, grad_apply;
};

enum { P_VW, P_WGS, P_CHUNK, P_SKIP, P_MASK };

#define DESC(entry_, cut_)                                             \
    {                                                                  \
        .stem = "batchnorm", .entry = entry_, .cut = cut_, .params = { \
            [P_VW] = { "VW", 4, { 4, 8, 16 } },                        \
            [P_WGS] = { "WGS", 64, { 1, 64, 128, 256 } },              \
            [P_CHUNK] = { "CHUNK", CLFCN_CHUNK, { 0 } },               \
            [P_SKIP] = { "SKIP", 0, { 0 } },                           \
            [P_MASK] = { "MASK", 0, { 0 } },                           \
        }                                                              \
    }

static const struct clfcn_kernel_desc partial_desc = DESC("bn_partial", CLFCN_CUT_Y);
static const struct clfcn_kernel_desc finish_desc = DESC("bn_finish", 0);
static const struct clfcn_kernel_desc running_desc = DESC("bn_running", 0);
static const struct clfcn_kernel_desc apply_desc =
    DESC("bn_apply", CLFCN_CUT_X | CLFCN_CUT_Y);
static const struct clfcn_kernel_desc grad_partial_desc =
    DESC("bn_grad_partial", CLFCN_CUT_Y);
static const struct clfcn_kernel_desc grad_finish_desc = DESC("bn_grad_finish", 0);
static const struct clfcn_kernel_desc grad_apply_desc =
    DESC("bn_grad_apply", CLFCN_CUT_X | CLFCN_CUT_Y);

static int infer(struct clfcn_op *op, const struct clfcn_op_env *env,
                 struct clfcn_err *err)
{
    const struct clfcn_tensor *x = op->x;
    const int64_t dims[] = { x->c };
    const size_t row = clfcn_tensor_row(x);
    if (env->training && row < 2) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "batch norm in training needs more than one value a channel: raise "
            "--batch or --size");
    }
    *op->y = (struct clfcn_tensor){ x->c, x->n, x->h, x->w, NULL };
    clfcn_op_add_param(op, "weight", true, CLFCN_INIT_ONE, 0.0, 1, dims);
    clfcn_op_add_param(op, "bias", true, CLFCN_INIT_ZERO, 0.0, 1, dims);
    clfcn_op_add_param(op, "running_mean", false, CLFCN_INIT_ZERO, 0.0, 1, dims);
    clfcn_op_add_param(op, "running_var", false, CLFCN_INIT_ONE, 0.0, 1, dims);
    op->state_bytes = 2 * (size_t)x->c * sizeof(float);
    op->scratch_bytes =
        env->training ? op->state_bytes * (size_t)clfcn_op_chunks(row) : 0;
    return clfcn_op_check_row(x, err);
}

static int prepare(struct clfcn_op *op, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    struct batchnorm *bn = (struct batchnorm *)op;
    const struct {
        struct clfcn_kernel *kernel;
        const struct clfcn_kernel_desc *desc;
        bool training;
    } wanted[] = {
        { &bn->running, &running_desc, false },
        { &bn->apply, &apply_desc, false },
        { &bn->partial, &partial_desc, true },
        { &bn->finish, &finish_desc, true },
        { &bn->grad_partial, &grad_partial_desc, true },
        { &bn->grad_finish, &grad_finish_desc, true },
        { &bn->grad_apply, &grad_apply_desc, true },
    };
    bn->inference = !env->training;
    bn->defaults = clfcn_defaults_for(&env->dev->info);
    int values[CLFCN_MAX_PARAMS] = {
        [P_VW] = bn->defaults.vector_width,
        [P_WGS] = bn->defaults.group,
        [P_CHUNK] = CLFCN_CHUNK,
        [P_MASK] = op->mask_dx,
    };
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < CLFCN_ARRAY_LEN(wanted); ++i) {
        /* The others know nothing of it, and shall not be compiled twice. */
        values[P_SKIP] = wanted[i].kernel == &bn->apply && op->x2;
        const bool wants = env->training || !wanted[i].training;
        if (wants && !(op->absorbed && wanted[i].kernel == &bn->apply)) {
            rc = clfcn_kernel_want(env->programs, wanted[i].kernel, wanted[i].desc,
                                   values, err);
        }
    }
    return rc;
}

/* The running mean and deviation of each channel into op->state. */
static int derive(struct clfcn_op *op, const struct clfcn_op_run *run,
                  struct clfcn_err *err)
{
    const struct batchnorm *bn = (const struct batchnorm *)op;
    const int channels = op->x->c;
    const struct clfcn_arg args[] = { CLFCN_ARG(op->params[RUNNING_MEAN].value),
                                      CLFCN_ARG(op->params[RUNNING_VAR].value),
                                      CLFCN_ARG(op->state), CLFCN_ARG(channels),
                                      CLFCN_ARG(bn_eps) };
    return clfcn_launch_each(run->dev, &bn->running, (size_t)channels, args,
                             CLFCN_ARRAY_LEN(args), err);
}

static bool synchronised(const struct clfcn_op_run *run)
{
    return run->comm && run->sync_batchnorm;
}

/* state and the running statistics from the batch's moments. By the host, since devices
 * round differently and these are to be the same in all ranks. room: [C][4]. */
static int store(const struct clfcn_op *op, const struct clfcn_op_run *run,
                 const struct clfcn_moments *moments, float *room, struct clfcn_err *err)
{
    const size_t channels = (size_t)op->x->c, bytes = channels * sizeof(float);
    float *state = room, *mean = state + 2 * channels, *var = mean + channels;
    const cl_mem mean_mem = op->params[RUNNING_MEAN].value,
                 var_mem = op->params[RUNNING_VAR].value;
    int rc = clfcn_buffer_read(run->dev, mean_mem, 0, bytes, mean, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_buffer_read(run->dev, var_mem, 0, bytes, var, err);
    }
    for (size_t c = 0; rc == CLFCN_OK && c < channels; ++c) {
        const struct clfcn_moments *m = &moments[c];
        const double unbiased = m->m2 / fmax(m->count - 1.0, 1.0);
        state[2 * c] = (float)m->mean;
        state[2 * c + 1] = (float)(1.0 / sqrt(m->m2 / m->count + bn_eps));
        mean[c] = (float)(mean[c] + bn_momentum * (m->mean - mean[c]));
        var[c] = (float)(var[c] + bn_momentum * (unbiased - var[c]));
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_buffer_write(run->dev, op->state, 0, 2 * bytes, state, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_buffer_write(run->dev, mean_mem, 0, bytes, mean, err);
    }
    return rc < 0 ? rc : clfcn_buffer_write(run->dev, var_mem, 0, bytes, var, err);
}

/* What bn_finish does, for the batch of all ranks: from the chunks in scratch. */
static int finish_synchronised(struct batchnorm *bn, const struct clfcn_op_run *run,
                               struct clfcn_err *err)
{
    const struct clfcn_op *op = &bn->op;
    const size_t channels = (size_t)op->x->c;
    struct clfcn_moments *moments = malloc(channels * sizeof(*moments));
    float *room = malloc(4 * channels * sizeof(*room));
    int rc = moments && room ? CLFCN_OK : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc =
            clfcn_sync_moments(run, (int)channels, clfcn_tensor_row(op->x), moments, err);
    }
    if (rc == CLFCN_OK) {
        bn->values = moments[0].count;
        rc = store(op, run, moments, room, err);
    }
    free(moments);
    free(room);
    return rc;
}

/* Those of the batch. */
static int statistics(struct batchnorm *bn, const struct clfcn_op_run *run,
                      struct clfcn_err *err)
{
    const struct clfcn_op *op = &bn->op;
    const struct clfcn_param *mean = &op->params[RUNNING_MEAN],
                             *var = &op->params[RUNNING_VAR];
    const int channels = op->x->c, row = (int)clfcn_tensor_row(op->x);
    const int chunks = clfcn_op_chunks((size_t)row);
    const struct clfcn_arg args[] = { CLFCN_ARG(op->x->mem), CLFCN_ARG(run->scratch),
                                      CLFCN_ARG(row) };
    const struct clfcn_arg finish_args[] = {
        CLFCN_ARG(run->scratch), CLFCN_ARG(op->state), CLFCN_ARG(mean->value),
        CLFCN_ARG(var->value),   CLFCN_ARG(channels),  CLFCN_ARG(row),
        CLFCN_ARG(chunks),       CLFCN_ARG(bn_eps),    CLFCN_ARG(bn_momentum),
    };
    const int rc =
        clfcn_launch_chunks(run->dev, &bn->partial, bn->defaults.group, (size_t)row,
                            channels, args, CLFCN_ARRAY_LEN(args), err);
    if (rc == CLFCN_OK && synchronised(run)) {
        return finish_synchronised(bn, run, err);
    }
    return rc < 0 ? rc
                  : clfcn_launch_each(run->dev, &bn->finish, (size_t)channels,
                                      finish_args, CLFCN_ARRAY_LEN(finish_args), err);
}

static int forward(struct clfcn_op *op, const struct clfcn_op_run *run,
                   struct clfcn_err *err)
{
    struct batchnorm *bn = (struct batchnorm *)op;
    const int row = (int)clfcn_tensor_row(op->x);
    /* A kernel argument must be some buffer even where the kernel does not read it. */
    const cl_mem skip = op->x2 ? op->x2->mem : op->x->mem;
    const struct clfcn_arg args[] = {
        CLFCN_ARG(op->x->mem),
        CLFCN_ARG(skip),
        CLFCN_ARG(op->state),
        CLFCN_ARG(op->params[GAMMA].value),
        CLFCN_ARG(op->params[BETA].value),
        CLFCN_ARG(op->y->mem),
        CLFCN_ARG(row),
    };
    int rc = CLFCN_OK;
    if (run->training) {
        rc = statistics(bn, run, err);
    } else if (!bn->inference) {
        rc = derive(op, run, err);
    }
    return rc < 0 ? rc
                  : clfcn_launch_rows(run->dev, &bn->apply, bn->defaults.vector_width,
                                      (size_t)row, op->x->c, args, CLFCN_ARRAY_LEN(args),
                                      err);
}

/* The sums in scratch over all ranks, instead of its chunks: dgamma, then dbeta. */
static int sum_gradients(const struct clfcn_op *op, const struct clfcn_op_run *run,
                         struct clfcn_err *err)
{
    const size_t channels = (size_t)op->x->c, count = 2 * channels;
    float *sums = malloc(2 * count * sizeof(*sums));
    if (!sums) {
        return clfcn_err_nomem(err);
    }
    float *apart = sums + count;
    int rc = clfcn_sync_sums(run, 0, (int)channels,
                             clfcn_op_chunks(clfcn_tensor_row(op->x)), sums, err);
    for (size_t c = 0; rc == CLFCN_OK && c < channels; ++c) {
        apart[c] = sums[2 * c + 1];
        apart[channels + c] = sums[2 * c];
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_buffer_write(run->dev, run->scratch, 0, count * sizeof(*apart), apart,
                                err);
    }
    free(sums);
    return rc;
}

/* From the sums that bn_grad_finish leaves, which stay this rank's own. */
static int backward_input(struct batchnorm *bn, const struct clfcn_op_run *run,
                          struct clfcn_err *err)
{
    const struct clfcn_op *op = &bn->op;
    const struct clfcn_param *gamma = &op->params[GAMMA];
    const int row = (int)clfcn_tensor_row(op->x);
    cl_mem dgamma = gamma->grad, dbeta = op->params[BETA].grad;
    float values = (float)row;
    int beta_at = 0;
    if (synchronised(run)) {
        const int rc = sum_gradients(op, run, err);
        if (rc < 0) {
            return rc;
        }
        dgamma = dbeta = run->scratch;
        values = (float)bn->values;
        beta_at = op->x->c;
    }
    const struct clfcn_arg args[] = {
        CLFCN_ARG(op->x->mem),   CLFCN_ARG(op->dy->mem), CLFCN_ARG(op->state),
        CLFCN_ARG(gamma->value), CLFCN_ARG(dgamma),      CLFCN_ARG(dbeta),
        CLFCN_ARG(op->dx->mem),  CLFCN_ARG(row),         CLFCN_ARG(values),
        CLFCN_ARG(beta_at),
    };
    return clfcn_launch_rows(run->dev, &bn->grad_apply, bn->defaults.vector_width,
                             (size_t)row, op->x->c, args, CLFCN_ARRAY_LEN(args), err);
}

static int backward(struct clfcn_op *op, const struct clfcn_op_run *run,
                    struct clfcn_err *err)
{
    struct batchnorm *bn = (struct batchnorm *)op;
    const int channels = op->x->c, row = (int)clfcn_tensor_row(op->x);
    const int chunks = clfcn_op_chunks((size_t)row);
    const struct clfcn_param *gamma = &op->params[GAMMA], *beta = &op->params[BETA];
    const struct clfcn_arg partial_args[] = { CLFCN_ARG(op->x->mem),
                                              CLFCN_ARG(op->dy->mem),
                                              CLFCN_ARG(op->state),
                                              CLFCN_ARG(run->scratch), CLFCN_ARG(row) };
    const struct clfcn_arg finish_args[] = { CLFCN_ARG(run->scratch),
                                             CLFCN_ARG(gamma->grad),
                                             CLFCN_ARG(beta->grad), CLFCN_ARG(channels),
                                             CLFCN_ARG(chunks) };
    int rc =
        clfcn_launch_chunks(run->dev, &bn->grad_partial, bn->defaults.group, (size_t)row,
                            channels, partial_args, CLFCN_ARRAY_LEN(partial_args), err);
    if (rc == CLFCN_OK) {
        rc = clfcn_launch_each(run->dev, &bn->grad_finish, (size_t)channels, finish_args,
                               CLFCN_ARRAY_LEN(finish_args), err);
    }
    return rc < 0 || !op->dx ? rc : backward_input(bn, run, err);
}

static const struct clfcn_op_impl batchnorm_impl = {
    .kind = "batchnorm",
    .backward_reads_x = true,
    .masks_dx = true,
    .infer = infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
    .derive = derive,
};

int clfcn_batchnorm_create(struct clfcn_op **out, struct clfcn_err *err)
{
    return clfcn_op_alloc(sizeof(struct batchnorm), &batchnorm_impl, out, err);
}
