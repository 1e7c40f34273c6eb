#include "graph.h"

void clfcn_graph_finish(struct clfcn_graph *graph)
{
    for (int i = 0; i < graph->op_count; ++i) {
        clfcn_op_destroy(&graph->ops[i]);
    }
    graph->op_count = 0;
}

/* Let the op that makes the input of the last one do both, if it can. */
static void absorb_last(struct clfcn_graph *graph)
{
    const int i = graph->op_count - 1;
    struct clfcn_op *op = graph->ops[i];
    struct clfcn_value *x = &graph->values[graph->in[i]];
    struct clfcn_op *from = x->producer < 0 ? NULL : graph->ops[x->producer];
    if (from && x->consumers == 1 && from->impl->absorb && from->impl->absorb(from, op)) {
        graph->out[x->producer] = graph->out[i];
        graph->values[graph->out[i]].producer = x->producer;
        x->producer = -1;
        op->absorbed = true;
    }
}

int clfcn_graph_add(struct clfcn_graph *graph, struct clfcn_op *op, const char *name,
                    const char *prefix, int in, int in2, bool frozen,
                    const struct clfcn_op_env *env, int *out, struct clfcn_err *err)
{
    if (graph->op_count == CLFCN_MAX_OPS) {
        clfcn_op_destroy(&op);
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "a network has at most %d layers",
                             CLFCN_MAX_OPS);
    }
    const int i = graph->op_count++, v = graph->value_count++;
    struct clfcn_value *value = &graph->values[v];
    graph->ops[i] = op;
    graph->in[i] = in;
    graph->in2[i] = in2;
    graph->out[i] = v;
    graph->segment[i] = graph->segment_count;
    value->producer = i;
    clfcn_op_set_name(op, name, prefix);
    op->frozen = frozen;
    op->x = &graph->values[in].tensor;
    op->x2 = in2 < 0 ? NULL : &graph->values[in2].tensor;
    op->y = &value->tensor;
    ++graph->values[in].consumers;
    if (in2 >= 0) {
        ++graph->values[in2].consumers;
    }
    *out = v;
    const int rc = op->impl->infer(op, env, err);
    if (rc < 0) {
        clfcn_err_note(err, "layer '%s'", name);
        return rc;
    }
    if (!env->training) {
        absorb_last(graph);
    }
    return CLFCN_OK;
}

bool clfcn_graph_learns(const struct clfcn_graph *graph, int i)
{
    return graph->ops[i]->param_count > 0 && !graph->ops[i]->frozen;
}

int clfcn_graph_runs(const struct clfcn_graph *graph, int i)
{
    return i < graph->part_ops ? graph->parts.count : 1;
}

bool clfcn_graph_is_whole(const struct clfcn_graph *graph, int v)
{
    return graph->values[v].tensor.n == graph->values[0].tensor.n;
}

/* An op runs backward if it learns or if something before it does. */
static void find_active(struct clfcn_graph *graph)
{
    for (int i = 0; i < graph->op_count; ++i) {
        const int from = graph->values[graph->in[i]].producer;
        const int from2 = graph->in2[i] < 0 ? -1 : graph->values[graph->in2[i]].producer;
        graph->active[i] = clfcn_graph_learns(graph, i) ||
                           (from >= 0 && graph->active[from]) ||
                           (from2 >= 0 && graph->active[from2]);
    }
}

static bool wants_grad(const struct clfcn_graph *graph, int value)
{
    const int producer = graph->values[value].producer;
    return producer >= 0 && graph->active[producer];
}

/* The value's own gradient tensor, which shares nothing yet. */
static struct clfcn_tensor *own_grad(struct clfcn_value *value)
{
    value->own_grad = value->tensor;
    value->own_grad.mem = NULL;
    return &value->own_grad;
}

/* The ReLU mask of y = relu(..) can be applied by y's only consumer while it writes dy.
 */
static void pass_mask(struct clfcn_graph *graph, int i)
{
    struct clfcn_op *op = graph->ops[i];
    const struct clfcn_value *x = &graph->values[graph->in[i]];
    struct clfcn_op *from = x->producer < 0 ? NULL : graph->ops[x->producer];
    if (from && from->relu && x->consumers == 1 && op->dx && op->impl->masks_dx) {
        op->mask_dx = true;
        from->dy_masked = true;
    }
}

int clfcn_graph_link_gradients(struct clfcn_graph *graph, struct clfcn_err *err)
{
    find_active(graph);
    struct clfcn_value *logits = &graph->values[graph->logits];
    logits->grad = own_grad(logits);
    for (int i = graph->op_count - 1; i >= 0; --i) {
        struct clfcn_op *op = graph->ops[i];
        if (!graph->active[i]) {
            continue;
        }
        struct clfcn_value *x = &graph->values[graph->in[i]];
        op->dy = graph->values[graph->out[i]].grad;
        if (graph->in2[i] >= 0 && wants_grad(graph, graph->in2[i])) {
            /* A skip adds its value to the output, so that both have the same gradient;
             * later contributions are added to it once this op has read it. */
            struct clfcn_value *x2 = &graph->values[graph->in2[i]];
            if (x2->grad) {
                return clfcn_err_set(
                    err, CLFCN_EINVAL, 0,
                    "layer '%s': its skip must be the last use of its value", op->name);
            }
            x2->grad = graph->values[graph->out[i]].grad;
        }
        if (wants_grad(graph, graph->in[i])) {
            op->dx_add = x->grad != NULL;
            if (op->dx_add && !op->impl->adds_dx) {
                return clfcn_err_set(err, CLFCN_EINVAL, 0,
                                     "layer '%s': a %s cannot share its input", op->name,
                                     op->impl->kind);
            }
            if (!x->grad) {
                x->grad = own_grad(x);
            }
            op->dx = x->grad;
            pass_mask(graph, i);
        }
    }
    return CLFCN_OK;
}
