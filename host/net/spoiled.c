#include "spoiled.h"

#include "audit_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 20 };

struct trace {
    struct clfcn_net_tap tap;
    struct clfcn_spoiled *out;
    int time;    /* of the act looked at */
    float *room; /* [BLOCK] */
};

static struct clfcn_op *op_of(const struct trace *t, int time)
{
    const int i = time < 0 ? -1 : t->tap.net->tape.acts[time].op;
    return i < 0 ? NULL : t->tap.net->graph.ops[i];
}

/* Take note of the first element of values that is no number; base: of them in their
 * tensor. */
static void scan(struct clfcn_spoiled *s, const float *values, size_t count, size_t base,
                 size_t *first)
{
    for (size_t i = 0; i < count; ++i) {
        if (isfinite(values[i])) {
            continue;
        }
        if (s->count++ == 0) {
            *first = base + i;
            s->value = values[i];
        }
    }
}

static void note(struct trace *t, const char *layer, const char *pass, const char *tensor,
                 int ndim, const int64_t *dims, size_t first)
{
    struct clfcn_spoiled *s = t->out;
    s->found = true;
    s->time = t->time;
    s->pass = pass;
    s->ndim = ndim;
    snprintf(s->layer, sizeof(s->layer), "%s", layer);
    snprintf(s->tensor, sizeof(s->tensor), "%s", tensor);
    memcpy(s->dims, dims, (size_t)ndim * sizeof(*dims));
    for (int i = ndim - 1; i >= 0; --i) {
        s->index[i] = (int64_t)(first % (size_t)dims[i]);
        first /= (size_t)dims[i];
    }
}

/* The values of a buffer, from float at on, unless something was found before. */
static int look(struct trace *t, const char *layer, const char *pass, const char *tensor,
                cl_mem mem, size_t at, int ndim, const int64_t *dims,
                struct clfcn_err *err)
{
    size_t count = 1, first = 0;
    int rc = CLFCN_OK;
    for (int i = 0; i < ndim; ++i) {
        count *= (size_t)dims[i];
    }
    for (size_t i = 0; rc == CLFCN_OK && !t->out->found && i < count; i += BLOCK) {
        const size_t n = count - i < BLOCK ? count - i : BLOCK;
        rc = clfcn_buffer_read(t->tap.net->dev, mem, (at + i) * sizeof(float),
                               n * sizeof(float), t->room, err);
        if (rc == CLFCN_OK) {
            scan(t->out, t->room, n, i, &first);
        }
    }
    if (!t->out->found && t->out->count > 0) {
        note(t, layer, pass, tensor, ndim, dims, first);
    }
    return rc;
}

static int look_tensor(struct trace *t, const char *layer, const char *pass,
                       const char *name, const struct clfcn_tensor *x,
                       struct clfcn_err *err)
{
    const int64_t dims[] = { x->c, x->n, x->h, x->w };
    return look(t, layer, pass, name, x->mem, 0, 4, dims, err);
}

/* --- what is there before the first act --- */

static int look_weights(struct trace *t, struct clfcn_err *err)
{
    struct clfcn_net *net = t->tap.net;
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && !t->out->found && i < net->tensor_count; ++i) {
        struct clfcn_net_tensor info;
        clfcn_net_tensor_info(net, i, &info);
        if (info.dtype != CLFCN_F32) {
            continue;
        }
        float *values = malloc(info.bytes);
        size_t first = 0;
        rc = values ? clfcn_net_tensor_read(net, i, values, err) : clfcn_err_nomem(err);
        if (rc == CLFCN_OK) {
            scan(t->out, values, info.bytes / sizeof(float), 0, &first);
        }
        if (t->out->count > 0) {
            note(t, "parameters", NULL, info.name, info.ndim, info.dims, first);
            t->out->by = CLFCN_BY_WEIGHTS;
        }
        free(values);
    }
    return rc;
}

static int look_start(struct trace *t, struct clfcn_err *err)
{
    const int rc = look_tensor(t, "input", "upload", "images",
                               &t->tap.net->graph.values[0].tensor, err);
    t->out->by = CLFCN_BY_PICTURE;
    return rc < 0 || t->out->found ? rc : look_weights(t, err);
}

/* --- what acts make, in the order in which they do --- */

static int look_param(struct trace *t, const struct clfcn_op *op,
                      const struct clfcn_param *p, cl_mem mem, const char *pass,
                      const char *name, struct clfcn_err *err)
{
    return mem ? look(t, op->name, pass, name, mem, 0, p->ndim, p->dims, err) : CLFCN_OK;
}

static int look_forward(struct trace *t, const struct clfcn_op *op, struct clfcn_err *err)
{
    const char *pass = clfcn_pass_name(CLFCN_PASS_FORWARD);
    int rc = CLFCN_OK;
    if (op->state && !op->impl->conv) {
        const int64_t dims[] = { op->x->c, 2 };
        rc = look(t, op->name, pass, "mean and 1/deviation", op->state, 0, 2, dims, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < op->param_count; ++i) {
        const struct clfcn_param *p = &op->params[i];
        rc = p->learned ? CLFCN_OK : look_param(t, op, p, p->value, pass, p->suffix, err);
    }
    return rc < 0 ? rc : look_tensor(t, op->name, pass, "output", op->y, err);
}

static int look_loss(struct trace *t, struct clfcn_err *err)
{
    const struct clfcn_net *net = t->tap.net;
    const int64_t one[] = { 1 };
    const int rc = look(t, "loss", "loss", "loss", net->results,
                        (size_t)t->tap.slot * CLFCN_STEP_RESULTS, 1, one, err);
    return rc < 0 ? rc
                  : look_tensor(t, "loss", "loss", "logits gradient",
                                net->graph.values[net->graph.logits].grad, err);
}

static int look_backward(struct trace *t, const struct clfcn_op *op,
                         struct clfcn_err *err)
{
    const bool conv = op->impl->conv;
    int rc = CLFCN_OK;
    for (int i = op->param_count - 1; rc == CLFCN_OK && i >= 0; --i) {
        const struct clfcn_param *p = &op->params[i];
        rc = look_param(t, op, p, p->grad,
                        conv && i == 0 ? clfcn_pass_name(CLFCN_PASS_WEIGHT) : "backward",
                        i == 0 ? "weight gradient" : "bias gradient", err);
    }
    return rc < 0 || !op->dx
               ? rc
               : look_tensor(t, op->name,
                             conv ? clfcn_pass_name(CLFCN_PASS_INPUT) : "backward",
                             "input gradient", op->dx, err);
}

/* The optimiser's states first, of which a value is made. */
static int look_updated(struct trace *t, const struct clfcn_op *op,
                        const struct clfcn_param *p, struct clfcn_err *err)
{
    const enum clfcn_optimizer optimizer = t->tap.net->options.optimizer;
    char name[160];
    int rc = CLFCN_OK;
    for (int s = 0; rc == CLFCN_OK && s < t->tap.net->params.state_count; ++s) {
        snprintf(name, sizeof(name), "optim.%s.%s.%s",
                 clfcn_optim_state_name(optimizer, s), op->prefix, p->suffix);
        rc = look_param(t, op, p, p->states[s], "update", name, err);
    }
    snprintf(name, sizeof(name), "%s.%s", op->prefix, p->suffix);
    return rc < 0 ? rc : look_param(t, op, p, p->value, "update", name, err);
}

static int look_update(struct trace *t, int of, struct clfcn_err *err)
{
    const struct clfcn_net *net = t->tap.net;
    const int64_t one[] = { 1 };
    int rc = CLFCN_OK;
    if (of < 0 && net->options.clip_norm > 0) {
        rc =
            look(t, "parameters", "clip", "gradient norm", net->results,
                 (size_t)t->tap.slot * CLFCN_STEP_RESULTS + CLFCN_STEP_NORM, 1, one, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < net->graph.op_count; ++i) {
        const struct clfcn_op *op = net->graph.ops[i];
        const bool updated = (of < 0 || of == i) && clfcn_graph_learns(&net->graph, i);
        for (int j = 0; rc == CLFCN_OK && updated && j < op->param_count; ++j) {
            rc = op->params[j].learned ? look_updated(t, op, &op->params[j], err)
                                       : CLFCN_OK;
        }
    }
    return rc;
}

/* --- why --- */

static double largest(struct clfcn_net *net, cl_mem mem, size_t count, float *room)
{
    double most = 0;
    for (size_t i = 0; i < count; i += BLOCK) {
        const size_t n = count - i < BLOCK ? count - i : BLOCK;
        if (clfcn_buffer_read(net->dev, mem, i * sizeof(float), n * sizeof(float), room,
                              NULL) < 0) {
            return most;
        }
        for (size_t k = 0; k < n; ++k) {
            most = isfinite(room[k]) ? fmax(most, fabs(room[k])) : most;
        }
    }
    return most;
}

/* The largest numbers that an op reads. */
static void find_largest(struct trace *t, const struct clfcn_op *op, bool backward)
{
    const struct clfcn_tensor *in = backward ? op->dy : op->x;
    t->out->largest_input = largest(t->tap.net, in->mem, clfcn_tensor_count(in), t->room);
    if (op->param_count > 0 && op->params[0].value) {
        t->out->largest_weight =
            largest(t->tap.net, op->params[0].value, op->params[0].count, t->room);
    }
}

/* An update makes a few products and sums of finite numbers: whether they are so large
 * that it may have passed what floats hold. */
static void judge_update(struct trace *t)
{
    const struct clfcn_net *net = t->tap.net;
    const double large = 1e30;
    struct clfcn_spoiled *s = t->out;
    for (int i = 0; i < net->graph.op_count; ++i) {
        const struct clfcn_op *op = net->graph.ops[i];
        for (int j = 0; j < op->param_count && strcmp(op->name, s->layer) == 0; ++j) {
            const struct clfcn_param *p = &op->params[j];
            s->largest_input =
                fmax(s->largest_input,
                     p->grad ? largest(t->tap.net, p->grad, p->count, t->room) : 0);
            s->largest_weight =
                fmax(s->largest_weight,
                     p->learned ? largest(t->tap.net, p->value, p->count, t->room) : 0);
        }
    }
    const double g = s->largest_input;
    const bool fits =
        g * g < large && t->tap.hyper->lr * g < large && s->largest_weight < large;
    s->by = fits ? CLFCN_BY_DEVICE : CLFCN_BY_SIZE;
    s->reference = NAN;
    s->kind = clfcn_optimizer_name(net->options.optimizer);
}

/* Which part of the act at time makes the tensor that was found. */
static struct clfcn_audit_unit unit_of(const struct trace *t, int time)
{
    const struct clfcn_act *act = &t->tap.net->tape.acts[time];
    const bool conv = act->op >= 0 && t->tap.net->graph.ops[act->op]->impl->conv;
    struct clfcn_audit_unit unit = { CLFCN_AUDIT_FORWARD, time, act->op };
    if (act->kind == CLFCN_ACT_LOSS) {
        unit.what = CLFCN_AUDIT_LOSS;
    } else if (act->kind == CLFCN_ACT_BACKWARD) {
        unit.what = !conv || strcmp(t->out->tensor, "bias gradient") == 0
                        ? CLFCN_AUDIT_BACKWARD
                    : strcmp(t->out->tensor, "weight gradient") == 0 ? CLFCN_AUDIT_WEIGHT
                                                                     : CLFCN_AUDIT_INPUT;
    }
    return unit;
}

/* Whether float64 makes a number there. What the act changed in place is not known as it
 * was, but was finite, too. */
static int find_cause(struct trace *t, int time, struct clfcn_err *err)
{
    struct clfcn_audit audit = { 0 };
    const struct clfcn_audit_unit unit = unit_of(t, time);
    struct clfcn_audit_run run = { .tap = t->tap,
                                   .unit = &unit,
                                   .part = t->tap.net->part,
                                   .focus = t->out->index,
                                   .out = &audit };
    clfcn_rng_init(&run.rng, 0, "audit", 0, 0);
    const int rc = clfcn_audit_check(&run, err);
    t->out->kind = audit.kind;
    t->out->by = audit.wrong       ? CLFCN_BY_DEVICE
                 : audit.too_large ? CLFCN_BY_SIZE
                                   : CLFCN_BY_UNKNOWN;
    t->out->reference = audit.reference;
    snprintf(t->out->algorithm, sizeof(t->out->algorithm), "%s", audit.algorithm);
    return rc;
}

/* The gradients that an update reads: of all ranks, which looked at their own before. */
static int look_exchanged(struct trace *t, int of, struct clfcn_err *err)
{
    const struct clfcn_net *net = t->tap.net;
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < net->graph.op_count; ++i) {
        const struct clfcn_op *op = net->graph.ops[i];
        const bool updated = (of < 0 || of == i) && clfcn_graph_learns(&net->graph, i);
        for (int j = 0; rc == CLFCN_OK && updated && j < op->param_count; ++j) {
            rc = look_param(t, op, &op->params[j], op->params[j].grad, "exchange",
                            j == 0 ? "weight gradient" : "bias gradient", err);
        }
    }
    return rc;
}

static int before(struct clfcn_net_tap *tap, int time, struct clfcn_err *err)
{
    struct trace *t = (struct trace *)tap;
    const struct clfcn_act *act = &tap->net->tape.acts[time];
    if (!tap->net->exchange || act->kind != CLFCN_ACT_UPDATE || t->out->found) {
        return CLFCN_OK;
    }
    t->time = time;
    t->out->by = CLFCN_BY_EXCHANGE;
    return look_exchanged(t, act->op, err);
}

static int look_after(struct trace *t, int time, struct clfcn_err *err)
{
    const struct clfcn_act *act = time < 0 ? NULL : &t->tap.net->tape.acts[time];
    const struct clfcn_op *op = op_of(t, time);
    t->time = time;
    int rc = !act                              ? look_start(t, err)
             : act->kind == CLFCN_ACT_FORWARD  ? look_forward(t, op, err)
             : act->kind == CLFCN_ACT_LOSS     ? look_loss(t, err)
             : act->kind == CLFCN_ACT_BACKWARD ? look_backward(t, op, err)
                                               : look_update(t, act->op, err);
    if (rc < 0 || !t->out->found) {
        return rc;
    }
    if (act && act->kind == CLFCN_ACT_UPDATE) {
        judge_update(t);
    } else if (act) {
        rc = find_cause(t, time, err);
    }
    if (rc == CLFCN_OK && op && act->kind != CLFCN_ACT_UPDATE) {
        find_largest(t, op, act->kind == CLFCN_ACT_BACKWARD);
    }
    return rc;
}

static int after(struct clfcn_net_tap *tap, int time, struct clfcn_err *err)
{
    struct trace *t = (struct trace *)tap;
    const int rc = t->out->found ? CLFCN_OK : look_after(t, time, err);
    return rc == CLFCN_OK && t->out->found && !tap->net->exchange
               ? clfcn_err_set(err, CLFCN_ENUMERIC, 0, "found")
               : rc;
}

int clfcn_net_step_traced(struct clfcn_net *net, int slot,
                          const struct clfcn_net_hyper *hyper, struct clfcn_spoiled *out,
                          struct clfcn_err *err)
{
    struct trace t = { .tap = { net, slot, hyper, before, after },
                       .out = out,
                       .room = malloc(BLOCK * sizeof(float)) };
    *out = (struct clfcn_spoiled){ 0 };
    if (!t.room) {
        return clfcn_err_nomem(err);
    }
    net->tap = &t.tap;
    const int rc = clfcn_net_step(net, slot, hyper, err);
    net->tap = NULL;
    free(t.room);
    return out->found && rc == CLFCN_ENUMERIC ? CLFCN_OK : rc;
}
