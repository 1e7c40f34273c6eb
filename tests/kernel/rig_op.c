#include "rig_op.h"
#include "../../host/ops/conv.h"
#include "../../host/ops/ref.h"
#include <stdlib.h>

static const size_t PLENTY = (size_t)64 << 20;

/* A GPU for which the tests' layers are small, so that few kernels are built. */
enum { GPU_UNITS = 64 };

static size_t floats_of(size_t bytes)
{
    return (bytes + sizeof(float) - 1) / sizeof(float);
}

static void open_tensor(struct rig_op *t, struct vec *v, const char *name, size_t count,
                        cl_mem *mem)
{
    vec_open(t->rig, v, name, count);
    *mem = v->mem;
}

static void open_parameters(struct rig_op *t)
{
    for (int i = 0; i < t->op->param_count; ++i) {
        struct clfcn_param *p = &t->op->params[i];
        open_tensor(t, &t->value[i], p->suffix, p->count, &p->value);
        if (p->learned && !t->use.frozen && !t->use.inference) {
            open_tensor(t, &t->grad[i], p->suffix, p->count, &p->grad);
        }
    }
}

static void open_gradients(struct rig_op *t)
{
    t->tdy = t->ty;
    open_tensor(t, &t->dy, "dy", clfcn_tensor_count(&t->ty), &t->tdy.mem);
    t->op->dy = &t->tdy;
    if (!t->use.no_dx) {
        t->tdx = t->tx;
        open_tensor(t, &t->dx, "dx", clfcn_tensor_count(&t->tx), &t->tdx.mem);
        t->op->dx = &t->tdx;
    }
    t->op->dx_add = t->use.dx_add;
    t->op->mask_dx = t->use.mask_dx;
    t->op->dy_masked = t->use.dy_masked;
}

static void open_memory(struct rig_op *t)
{
    open_tensor(t, &t->x, "x", clfcn_tensor_count(&t->tx), &t->tx.mem);
    if (t->use.with_x2) {
        open_tensor(t, &t->x2, "x2", clfcn_tensor_count(&t->tx), &t->tx2.mem);
    }
    open_tensor(t, &t->y, "y", clfcn_tensor_count(&t->ty), &t->ty.mem);
    open_parameters(t);
    if (!t->use.inference) {
        open_gradients(t);
    }
    vec_open_whole(t->rig, &t->columns, "columns", floats_of(t->op->columns_bytes));
    vec_open_whole(t->rig, &t->scratch, "scratch", floats_of(t->op->scratch_bytes));
    open_tensor(t, &t->state, "state", floats_of(t->op->state_bytes), &t->op->state);
}

/* Let the op take over a pooling of its output. */
static void absorb_pooling(struct rig_op *t, const struct clfcn_op_env *env)
{
    struct clfcn_op *pool = NULL;
    struct clfcn_tensor pooled;
    struct clfcn_err err;
    rig_ok(clfcn_maxpool_create(&pool, &err), &err);
    pool->x = &t->ty;
    pool->y = &pooled;
    rig_ok(pool->impl->infer(pool, env, &err), &err);
    t->absorbed = t->op->impl->absorb(t->op, pool);
    clfcn_op_destroy(&pool);
    if (t->absorbed) {
        assert_ptr_equal(t->op->y, &pooled);
        t->ty = pooled;
        t->op->y = &t->ty;
    }
}

/* Let the op take over a batch norm of its output. */
static void absorb_norm(struct rig_op *t, const struct clfcn_op_env *env)
{
    struct rig_norm *n = &t->norm;
    struct clfcn_err err;
    rig_ok(clfcn_batchnorm_create(&n->op, &err), &err);
    n->op->x = &t->ty;
    n->op->y = &t->ty;
    rig_ok(n->op->impl->infer(n->op, env, &err), &err);
    t->absorbed = t->op->impl->absorb(t->op, n->op);
    n->op->absorbed = t->absorbed;
    for (int i = 0; i < n->op->param_count; ++i) {
        struct clfcn_param *p = &n->op->params[i];
        open_tensor(t, &n->value[i], p->suffix, p->count, &p->value);
    }
    open_tensor(t, &n->state, "norm state", floats_of(n->op->state_bytes), &n->op->state);
    if (t->use.with_skip) {
        n->tskip = t->ty;
        open_tensor(t, &n->skip, "skip", clfcn_tensor_count(&t->ty), &n->tskip.mem);
        n->op->x2 = &n->tskip;
    }
    rig_ok(n->op->impl->prepare(n->op, env, &err), &err);
}

static void close_norm(struct rig_op *t)
{
    struct rig_norm *n = &t->norm;
    for (int i = 0; i < CLFCN_OP_MAX_PARAMS; ++i) {
        vec_close(t->rig, &n->value[i]);
    }
    vec_close(t->rig, &n->skip);
    vec_close(t->rig, &n->state);
    clfcn_op_destroy(&n->op);
}

void rig_op_open(struct rig_op *t, struct rig *rig, struct clfcn_op *op, int c, int n,
                 int h, int w, const struct rig_use *use)
{
    struct clfcn_err err;
    const enum clfcn_gemm_kind gemm =
        use->gemm == CLFCN_GEMM_AUTO ? CLFCN_GEMM_NATIVE : use->gemm;
    *t = (struct rig_op){ .rig = rig, .use = *use, .op = op };
    rig_ok(clfcn_programs_create(rig->dev, &t->programs, &err), &err);
    t->gemms =
        (struct clfcn_gemms){ .dev = rig->dev, .programs = t->programs, .kind = gemm };
    t->tx = (struct clfcn_tensor){ .c = c, .n = n, .h = h, .w = w };
    t->tx2 = t->tx;
    op->x = &t->tx;
    op->x2 = use->with_x2 ? &t->tx2 : NULL;
    op->y = &t->ty;
    clfcn_op_set_name(op, "tested", NULL);

    const struct clfcn_op_env env = {
        .dev = rig->dev,
        .programs = t->programs,
        .gemms = &t->gemms,
        .gemm_kind = use->gemm,
        .columns_limit = use->columns_limit > 0 ? use->columns_limit : PLENTY,
        .workspace_limit = SIZE_MAX,
        .training = !use->inference,
        .conv = { use->conv, use->conv, use->conv },
        .conv_variant = use->variant,
    };
    op->frozen = use->frozen;
    const unsigned real_units = rig->dev->info.compute_units;
    rig->dev->info.compute_units = rig_has_vectors(rig) ? real_units : GPU_UNITS;
    rig_ok(op->impl->infer(op, &env, &err), &err);
    rig->dev->info.compute_units = real_units;
    if (use->pooled) {
        absorb_pooling(t, &env);
    }
    if (use->normed) {
        absorb_norm(t, &env);
    }
    open_memory(t);
    rig_ok(op->impl->prepare(op, &env, &err), &err);
    rig_ok(clfcn_programs_build(t->programs, &err), &err);
}

void rig_op_close(struct rig_op *t)
{
    struct vec *const vecs[] = { &t->x,  &t->x2,      &t->y,       &t->dy,
                                 &t->dx, &t->columns, &t->scratch, &t->state };
    for (int i = 0; i < CLFCN_ARRAY_LEN(vecs); ++i) {
        vec_close(t->rig, vecs[i]);
    }
    for (int i = 0; i < CLFCN_OP_MAX_PARAMS; ++i) {
        vec_close(t->rig, &t->value[i]);
        vec_close(t->rig, &t->grad[i]);
    }
    clfcn_programs_destroy(&t->programs); /* before the others, whose kernels it knows */
    close_norm(t);
    clfcn_gemms_destroy(&t->gemms);
    clfcn_op_destroy(&t->op);
}

bool rig_op_uses(const struct rig_op *t, const struct clfcn_conv_impl *impl)
{
    for (int i = 0; i < CLFCN_PASS_COUNT; ++i) {
        const struct clfcn_conv *conv = t->op->impl->conv(t->op, (enum clfcn_pass)i);
        if (conv && conv->impl == impl) {
            return true;
        }
    }
    return false;
}

void rig_op_fill(struct rig_op *t)
{
    vec_normal(t->rig, &t->x, 0.0, 1.0);
    vec_normal(t->rig, &t->x2, 0.0, 1.0);
    for (size_t i = 0; t->use.mask_dx && i < t->x.count; ++i) {
        t->x.host[i] = t->x.host[i] > 0.0 ? t->x.host[i] : 0.0;
    }
    for (int i = 0; i < t->op->param_count; ++i) {
        vec_normal(t->rig, &t->value[i], 0.0, 1.0);
    }
    for (int i = 0; t->norm.op && i < t->norm.op->param_count; ++i) {
        vec_normal(t->rig, &t->norm.value[i], 0.0, 1.0);
        clfcn_ref_relu(t->norm.value[i].count, t->norm.value[i].host,
                       t->norm.value[i].host);
    }
    vec_normal(t->rig, &t->norm.skip, 0.0, 1.0);
}

static struct clfcn_op_run run_of(const struct rig_op *t)
{
    return (struct clfcn_op_run){ .dev = t->rig->dev,
                                  .training = !t->use.inference,
                                  .part = t->use.part,
                                  .columns = t->columns.mem,
                                  .scratch = t->scratch.mem,
                                  .comm = t->use.comm,
                                  .sync_batchnorm = t->use.sync_batchnorm };
}

static void check_all_guards(struct rig_op *t)
{
    const struct vec *const vecs[] = { &t->x,  &t->x2,      &t->y,       &t->dy,
                                       &t->dx, &t->columns, &t->scratch, &t->state };
    for (int i = 0; i < CLFCN_ARRAY_LEN(vecs); ++i) {
        vec_check_guards(t->rig, vecs[i]);
    }
}

static void derive(struct clfcn_op *op, const struct clfcn_op_run *run)
{
    struct clfcn_err err;
    if (!run->training && op->impl->derive) {
        rig_ok(op->impl->derive(op, run, &err), &err);
    }
}

static void upload_norm(struct rig_op *t, const struct clfcn_op_run *run)
{
    struct rig_norm *n = &t->norm;
    for (int i = 0; i < n->op->param_count; ++i) {
        vec_upload(t->rig, &n->value[i]);
    }
    vec_upload(t->rig, &n->skip);
    vec_poison(t->rig, &n->state);
    derive(n->op, run);
}

void rig_op_forward(struct rig_op *t)
{
    struct clfcn_err err;
    const struct clfcn_op_run run = run_of(t);
    vec_upload(t->rig, &t->x);
    vec_upload(t->rig, &t->x2);
    for (int i = 0; i < t->op->param_count; ++i) {
        vec_upload(t->rig, &t->value[i]);
    }
    vec_poison(t->rig, &t->y);
    vec_poison(t->rig, &t->columns);
    vec_poison(t->rig, &t->scratch);
    vec_poison(t->rig, &t->state);
    derive(t->op, &run);
    if (t->norm.op) {
        upload_norm(t, &run);
    }
    rig_ok(t->op->impl->forward(t->op, &run, &err), &err);
    vec_download(t->rig, &t->y);
    for (int i = 0; i < t->op->param_count; ++i) {
        vec_download(t->rig, &t->value[i]);
    }
    check_all_guards(t);
}

/* NaN on the device, while the host keeps the values for the reference. */
static void hide(struct rig_op *t, struct vec *v)
{
    double *kept = vec_copy(v);
    vec_poison(t->rig, v);
    free(v->host);
    v->host = kept;
}

void rig_op_backward(struct rig_op *t)
{
    struct clfcn_err err;
    const struct clfcn_op_run run = run_of(t);
    if (!t->op->impl->backward_reads_x) {
        hide(t, &t->x);
    }
    if (!t->op->impl->backward_reads_y) {
        hide(t, &t->y);
    }
    vec_upload(t->rig, &t->dy);
    if (t->use.dx_add) {
        vec_upload(t->rig, &t->dx);
    } else if (!t->use.no_dx) {
        vec_poison(t->rig, &t->dx);
    }
    vec_poison(t->rig, &t->columns);
    vec_poison(t->rig, &t->scratch);
    rig_ok(t->op->impl->backward(t->op, &run, &err), &err);
    vec_download(t->rig, &t->dx);
    for (int i = 0; i < t->op->param_count; ++i) {
        vec_download(t->rig, &t->grad[i]);
    }
    check_all_guards(t);
}

void rig_op_check_repeats(struct rig_op *t)
{
    struct vec *const made[] = { &t->y, &t->dx, &t->grad[0], &t->grad[1] };
    double *first[CLFCN_ARRAY_LEN(made)];
    rig_op_fill(t);
    vec_normal(t->rig, &t->dy, 0.0, 1.0);
    rig_op_forward(t);
    rig_op_backward(t);
    for (int i = 0; i < CLFCN_ARRAY_LEN(made); ++i) {
        first[i] = vec_copy(made[i]);
    }
    rig_op_forward(t);
    rig_op_backward(t);
    for (int i = 0; i < CLFCN_ARRAY_LEN(made); ++i) {
        assert_close(made[i]->name, made[i]->host, first[i], made[i]->count,
                     TOLERANCE_EXACT);
        free(first[i]);
    }
}

void rig_op_check_dx(struct rig_op *t, double *want, const double *share,
                     struct tolerance tolerance)
{
    for (size_t i = 0; i < t->dx.count; ++i) {
        want[i] += share ? share[i] : 0.0;
        if (t->use.mask_dx && !(t->x.host[i] > 0.0)) {
            want[i] = 0.0;
        }
    }
    assert_close("dx", t->dx.host, want, t->dx.count, tolerance);
}
