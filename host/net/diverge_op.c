/* diverge_op.c - one layer forward or backward on two devices, and what it made. */
#include "diverge_impl.h"

#include <stdlib.h>
#include <string.h>

static struct clfcn_op *op_of(const struct clfcn_diverge_run *run, int side, int i)
{
    return run->net[side]->graph.ops[i];
}

static bool sums(const struct clfcn_op *op)
{
    return op->param_count > 0;
}

static struct clfcn_diverge_tensor of_op(const struct clfcn_diverge_run *run, int i,
                                         const char *pass, const char *name)
{
    const struct clfcn_op *op = op_of(run, 0, i);
    return (struct clfcn_diverge_tensor){
        .layer = op->name,
        .kind = op->impl->kind,
        .pass = pass,
        .name = name,
        .op = i,
        .rigor = sums(op) ? CLFCN_SUMMED : CLFCN_ROUNDED,
    };
}

void clfcn_diverge_place(struct clfcn_diverge_tensor *t, const struct clfcn_tensor *a,
                         const struct clfcn_tensor *b)
{
    const int64_t dims[4] = { a->c, a->n, a->h, a->w };
    t->ndim = 4;
    memcpy(t->dims, dims, sizeof(dims));
    t->mem[0] = a->mem;
    t->mem[1] = b->mem;
}

/* The algorithms of a convolution's pass; a layer of another kind has just one backward
 * pass. */
static void set_pass(struct clfcn_diverge_run *run, struct clfcn_diverge_tensor *t,
                     enum clfcn_pass pass)
{
    for (int s = 0; s < 2; ++s) {
        const struct clfcn_op *op = op_of(run, s, t->op);
        if (op->impl->conv) {
            t->conv[s] = op->impl->conv(op, pass);
            t->pass = clfcn_pass_name(pass);
        }
    }
}

static int check_param(struct clfcn_diverge_run *run, int i, int param, bool gradient,
                       struct clfcn_err *err)
{
    const struct clfcn_param *a = &op_of(run, 0, i)->params[param],
                             *b = &op_of(run, 1, i)->params[param];
    const bool weight = strcmp(a->suffix, "weight") == 0;
    struct clfcn_diverge_tensor t = of_op(run, i, gradient ? "backward" : "forward",
                                          !gradient ? a->suffix
                                          : weight  ? "weight gradient"
                                                    : "bias gradient");
    t.ndim = a->ndim;
    memcpy(t.dims, a->dims, sizeof(t.dims));
    t.mem[0] = gradient ? a->grad : a->value;
    t.mem[1] = gradient ? b->grad : b->value;
    t.part = gradient ? CLFCN_PART_GRADIENT : CLFCN_PART_NONE;
    if (gradient && weight) {
        set_pass(run, &t, CLFCN_PASS_WEIGHT);
    }
    return clfcn_diverge_check(run, &t, err);
}

/* What batch norm keeps for its backward pass, and its running statistics. */
static int check_statistics(struct clfcn_diverge_run *run, int i, struct clfcn_err *err)
{
    const struct clfcn_op *a = op_of(run, 0, i), *b = op_of(run, 1, i);
    struct clfcn_diverge_tensor t = of_op(run, i, "forward", "mean and 1/deviation");
    int rc = CLFCN_OK;
    if (a->state) {
        t.ndim = 2;
        t.dims[0] = 2;
        t.dims[1] = a->x->c;
        t.mem[0] = a->state;
        t.mem[1] = b->state;
        rc = clfcn_diverge_check(run, &t, err);
    }
    for (int p = 0; rc == CLFCN_OK && p < a->param_count; ++p) {
        rc = a->params[p].learned ? CLFCN_OK : check_param(run, i, p, false, err);
    }
    return rc;
}

int clfcn_diverge_forward(struct clfcn_diverge_run *run, int i, struct clfcn_err *err)
{
    int rc = clfcn_diverge_begin(run, op_of(run, 0, i)->name, "forward", err);
    for (int s = 0; rc == CLFCN_OK && s < 2; ++s) {
        rc = clfcn_diverge_blame(clfcn_net_op_forward(run->net[s], i, true, err), s, err);
    }
    if (rc == CLFCN_OK) {
        rc = check_statistics(run, i, err);
    }
    if (rc == CLFCN_OK) {
        struct clfcn_diverge_tensor t = of_op(run, i, "forward", "output");
        clfcn_diverge_place(&t, op_of(run, 0, i)->y, op_of(run, 1, i)->y);
        set_pass(run, &t, CLFCN_PASS_FORWARD);
        rc = clfcn_diverge_check(run, &t, err);
    }
    return rc;
}

/* A reference needs what the gradient held before a convolution added to it. */
static int keep_before(struct clfcn_diverge_run *run, int i, struct clfcn_err *err)
{
    const struct clfcn_op *op = op_of(run, 0, i);
    free(run->before);
    run->before = NULL;
    if (!op->dx || !op->dx_add || run->out->found) {
        return CLFCN_OK;
    }
    const size_t bytes = clfcn_tensor_count(op->dx) * sizeof(float);
    run->before = malloc(bytes);
    return run->before ? clfcn_buffer_read(run->net[0]->dev, op->dx->mem, 0, bytes,
                                           run->before, err)
                       : clfcn_err_nomem(err);
}

/* In the order in which an op makes them: a wrong one spoils those that follow. */
static int check_backward(struct clfcn_diverge_run *run, int i, struct clfcn_err *err)
{
    const struct clfcn_op *a = op_of(run, 0, i), *b = op_of(run, 1, i);
    int rc = CLFCN_OK;
    if (a->relu && !a->dy_masked) {
        struct clfcn_diverge_tensor t =
            of_op(run, i, "backward", "masked output gradient");
        clfcn_diverge_place(&t, a->dy, b->dy);
        t.rigor = CLFCN_ROUNDED;
        rc = clfcn_diverge_check(run, &t, err);
    }
    for (int p = a->param_count - 1; rc == CLFCN_OK && p >= 0; --p) {
        rc = a->params[p].grad ? check_param(run, i, p, true, err) : CLFCN_OK;
    }
    if (rc == CLFCN_OK && a->dx) {
        struct clfcn_diverge_tensor t = of_op(run, i, "backward", "input gradient");
        clfcn_diverge_place(&t, a->dx, b->dx);
        set_pass(run, &t, CLFCN_PASS_INPUT);
        rc = clfcn_diverge_check(run, &t, err);
    }
    return rc;
}

int clfcn_diverge_backward(struct clfcn_diverge_run *run, int i, struct clfcn_err *err)
{
    int rc = clfcn_diverge_begin(run, op_of(run, 0, i)->name, "backward", err);
    if (rc == CLFCN_OK) {
        rc = keep_before(run, i, err);
    }
    for (int s = 0; rc == CLFCN_OK && s < 2; ++s) {
        rc = clfcn_diverge_blame(clfcn_net_op_backward(run->net[s], i, err), s, err);
    }
    return rc < 0 ? rc : check_backward(run, i, err);
}
