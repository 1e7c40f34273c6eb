#include "audit_impl.h"

#include "../comm/comm.h"
#include "../device/prof.h"
#include "../ops/channel.h"
#include "../util/sys.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- what there is to audit --- */

static bool is_norm(const struct clfcn_op *op)
{
    return strcmp(op->impl->kind, "batchnorm") == 0;
}

static void add_unit(struct clfcn_audit_unit *units, int *count,
                     enum clfcn_audit_what what, int time, int op)
{
    units[(*count)++] = (struct clfcn_audit_unit){ what, time, op };
}

/* An op's backward pass is as many units as it has passes. */
static void add_backward(const struct clfcn_net *net, int time,
                         struct clfcn_audit_unit *units, int *count)
{
    const int i = net->tape.acts[time].op;
    const struct clfcn_op *op = net->graph.ops[i];
    const bool learns = op->param_count > 0 && op->params[0].grad;
    if (!op->impl->conv) {
        if ((op->dx || learns) && clfcn_channel_knows(op)) {
            add_unit(units, count, CLFCN_AUDIT_BACKWARD, time, i);
        }
        return;
    }
    if (learns || (op->relu && !op->dy_masked)) {
        add_unit(units, count, CLFCN_AUDIT_BACKWARD, time, i);
    }
    if (learns) {
        add_unit(units, count, CLFCN_AUDIT_WEIGHT, time, i);
    }
    if (op->dx) {
        add_unit(units, count, CLFCN_AUDIT_INPUT, time, i);
    }
}

/* All parameters' update is a unit for each op that learns. */
static void add_update(const struct clfcn_net *net, int time,
                       struct clfcn_audit_unit *units, int *count)
{
    const int of = net->tape.acts[time].op;
    if (of < 0 && net->options.clip_norm > 0) {
        add_unit(units, count, CLFCN_AUDIT_CLIP, time, -1);
    }
    for (int i = 0; i < net->graph.op_count; ++i) {
        if ((of < 0 || of == i) && clfcn_graph_learns(&net->graph, i)) {
            add_unit(units, count, CLFCN_AUDIT_UPDATE, time, i);
        }
    }
}

int clfcn_audit_units(const struct clfcn_net *net, struct clfcn_audit_unit *units)
{
    int count = 0;
    add_unit(units, &count, CLFCN_AUDIT_UPLOAD, CLFCN_TAP_UPLOAD, -1);
    for (int t = 0; t < net->tape.count; ++t) {
        const struct clfcn_act *act = &net->tape.acts[t];
        const struct clfcn_op *op = act->op < 0 ? NULL : net->graph.ops[act->op];
        if (act->kind == CLFCN_ACT_FORWARD &&
            (op->impl->conv || clfcn_channel_knows(op))) {
            add_unit(units, &count, CLFCN_AUDIT_FORWARD, t, act->op);
        } else if (act->kind == CLFCN_ACT_LOSS &&
                   !(net->options.comm && net->loss.kind == CLFCN_LOSS_DICE)) {
            /* Of a Dice loss the sums over all ranks are not here. */
            add_unit(units, &count, CLFCN_AUDIT_LOSS, t, -1);
        } else if (act->kind == CLFCN_ACT_BACKWARD) {
            add_backward(net, t, units, &count);
        } else if (act->kind == CLFCN_ACT_UPDATE) {
            add_update(net, t, units, &count);
        }
    }
    return count;
}

/* --- one of them --- */

static bool is_conv(const struct clfcn_audit_run *run)
{
    return run->tap.net->graph.ops[run->unit->op]->impl->conv;
}

int clfcn_audit_before(struct clfcn_audit_run *run, struct clfcn_err *err)
{
    switch (run->unit->what) {
    case CLFCN_AUDIT_FORWARD:
    case CLFCN_AUDIT_BACKWARD:
    case CLFCN_AUDIT_WEIGHT:
    case CLFCN_AUDIT_INPUT:
        return is_conv(run) ? clfcn_audit_keep_conv(run, err)
                            : clfcn_audit_keep_channel(run, err);
    case CLFCN_AUDIT_CLIP:
    case CLFCN_AUDIT_UPDATE:
        return clfcn_audit_keep_update(run, err);
    default:
        return CLFCN_OK;
    }
}

static int compare(struct clfcn_audit_run *run, struct clfcn_err *err)
{
    switch (run->unit->what) {
    case CLFCN_AUDIT_UPLOAD:
        return clfcn_audit_upload(run, err);
    case CLFCN_AUDIT_LOSS:
        return clfcn_audit_loss(run, err);
    case CLFCN_AUDIT_CLIP:
        return clfcn_audit_clip(run, err);
    case CLFCN_AUDIT_UPDATE:
        return clfcn_audit_update(run, err);
    case CLFCN_AUDIT_BACKWARD:
        return is_conv(run) ? clfcn_audit_bias(run, err) : clfcn_audit_channel(run, err);
    default:
        return is_conv(run) ? clfcn_audit_conv(run, err) : clfcn_audit_channel(run, err);
    }
}

/* The names of what is audited. */
static void name(struct clfcn_audit_run *run)
{
    static const char *const passes[] = {
        [CLFCN_AUDIT_UPLOAD] = "upload", [CLFCN_AUDIT_FORWARD] = "forward",
        [CLFCN_AUDIT_LOSS] = "loss",     [CLFCN_AUDIT_BACKWARD] = "backward",
        [CLFCN_AUDIT_CLIP] = "clip",     [CLFCN_AUDIT_UPDATE] = "update"
    };
    const struct clfcn_net *net = run->tap.net;
    const enum clfcn_audit_what what = run->unit->what;
    const struct clfcn_op *op = run->unit->op < 0 ? NULL : net->graph.ops[run->unit->op];
    struct clfcn_audit *out = run->out;
    out->part = run->part;
    out->pass = what == CLFCN_AUDIT_WEIGHT  ? clfcn_pass_name(CLFCN_PASS_WEIGHT)
                : what == CLFCN_AUDIT_INPUT ? clfcn_pass_name(CLFCN_PASS_INPUT)
                                            : passes[what];
    out->kind = what == CLFCN_AUDIT_UPLOAD ? "transfer"
                : what == CLFCN_AUDIT_LOSS ? clfcn_loss_name(net->options.loss)
                : what == CLFCN_AUDIT_CLIP ? "clip"
                : what == CLFCN_AUDIT_UPDATE
                    ? clfcn_optimizer_name(net->options.optimizer)
                    : op->impl->kind;
    snprintf(out->layer, sizeof(out->layer), "%s",
             op                           ? op->name
             : what == CLFCN_AUDIT_UPLOAD ? "input"
             : what == CLFCN_AUDIT_LOSS   ? "loss"
                                          : "parameters");
}

int clfcn_audit_check(struct clfcn_audit_run *run, struct clfcn_err *err)
{
    const struct clfcn_rng rng = run->rng;
    name(run);
    const int rc = compare(run, err);
    run->rng = rng;
    clfcn_audit_forget(run);
    if (rc < 0) {
        clfcn_err_note(err, "verifying layer '%s', %s", run->out->layer, run->out->pass);
    }
    return rc;
}

/* --- once more --- */

/* Whether the act can be done again by this rank alone. */
static bool can_repeat(const struct clfcn_audit_run *run)
{
    const struct clfcn_net *net = run->tap.net;
    const struct clfcn_op *op = run->unit->op < 0 ? NULL : net->graph.ops[run->unit->op];
    return !(net->options.comm && net->options.sync_batchnorm && op && is_norm(op));
}

static int repeat(struct clfcn_audit_run *run, struct clfcn_err *err)
{
    struct clfcn_net *net = run->tap.net;
    const struct clfcn_audit_unit *unit = run->unit;
    const struct clfcn_net_hyper *hyper = run->tap.hyper;
    const int rc = clfcn_audit_restore(run, err);
    if (rc < 0) {
        return rc;
    }
    switch (unit->what) {
    case CLFCN_AUDIT_UPLOAD:
        return CLFCN_OK; /* reading it is what is repeated */
    case CLFCN_AUDIT_CLIP:
        return clfcn_net_clip(net, run->tap.slot, err);
    case CLFCN_AUDIT_UPDATE: /* the gradients are clipped */
        return clfcn_net_update(net, unit->op, run->tap.slot, hyper, err);
    default:
        return clfcn_net_act(net, unit->time, run->tap.slot, hyper, err);
    }
}

/* Do what was wrong again, watching which kernels run. */
static int look_again(struct clfcn_audit_run *run, struct clfcn_err *err)
{
    struct clfcn_dev *dev = run->tap.net->dev;
    struct clfcn_audit again = { 0 }, *out = run->out;
    struct clfcn_ran ran = { 0 };
    if (!can_repeat(run)) {
        return CLFCN_OK;
    }
    clfcn_ran_listen(dev, &ran);
    clfcn_ran_forget(dev, &ran);
    int rc = repeat(run, err);
    clfcn_ran_list(dev, &ran, out->pass, out->kernels);
    clfcn_prof_listen(dev, NULL, NULL);
    if (rc == CLFCN_OK) {
        run->out = &again;
        rc = clfcn_audit_check(run, err);
        run->out = out;
    }
    out->again = rc < 0        ? CLFCN_AUDIT_NOT_REPEATED
                 : again.wrong ? CLFCN_AUDIT_WRONG
                               : CLFCN_AUDIT_RIGHT;
    out->device_again = again.device;
    return rc;
}

static int refuse(const struct clfcn_audit *a, struct clfcn_err *err)
{
    char index[CLFCN_INDEX_TEXT];
    const bool again = a->again == CLFCN_AUDIT_WRONG;
    return clfcn_err_set(
        err, again ? CLFCN_ENUMERIC : CLFCN_EWRONG, 0,
        "layer '%s', %s: %s%s is %.7g, and %.7g in float64 (%.2g apart, tolerance %.2g): "
        "the device computes wrongly, %s",
        a->layer, a->pass, a->tensor, clfcn_index_text(a->index, a->ndim, index),
        a->device, a->reference, a->apart, a->tolerance,
        again ? "and does so again when this is repeated: see 'clfcn selftest'"
        : a->again == CLFCN_AUDIT_RIGHT
            ? "but not when this is repeated: its memory, heat or power may be at fault"
            : "which could not be repeated");
}

/* --- within the step --- */

static bool is_time(const struct clfcn_audit_run *run, int time)
{
    return time == run->unit->time &&
           (time == CLFCN_TAP_UPLOAD || run->tap.net->part == run->part);
}

static int before(struct clfcn_net_tap *tap, int time, struct clfcn_err *err)
{
    struct clfcn_audit_run *run = (struct clfcn_audit_run *)tap;
    if (!is_time(run, time)) {
        return CLFCN_OK;
    }
    clFinish(tap->net->dev->compute);
    const double begin = clfcn_clock();
    const int rc = clfcn_audit_before(run, err);
    run->out->ms += 1e3 * (clfcn_clock() - begin);
    return rc;
}

static int after(struct clfcn_net_tap *tap, int time, struct clfcn_err *err)
{
    struct clfcn_audit_run *run = (struct clfcn_audit_run *)tap;
    if (!is_time(run, time)) {
        return CLFCN_OK;
    }
    clFinish(tap->net->dev->compute);
    const double begin = clfcn_clock();
    int rc = clfcn_audit_check(run, err);
    run->out->ms += 1e3 * (clfcn_clock() - begin);
    if (rc == CLFCN_OK && run->out->wrong) {
        rc = look_again(run, err);
        rc = rc < 0 ? rc : refuse(run->out, err);
    }
    return rc;
}

/* A unit, and the part of the batch where there are some. */
static void draw(struct clfcn_audit_run *run, const struct clfcn_audit_unit *units,
                 int count)
{
    const struct clfcn_net *net = run->tap.net;
    run->unit = &units[clfcn_rng_below(&run->rng, (uint32_t)count)];
    const bool parts =
        run->unit->time >= 0 && clfcn_tape_loop(&net->tape, run->unit->time);
    run->part =
        parts ? (int)clfcn_rng_below(&run->rng, (uint32_t)net->graph.parts.count) : 0;
}

int clfcn_net_step_audited(struct clfcn_net *net, int slot,
                           const struct clfcn_net_hyper *hyper, uint64_t seed,
                           struct clfcn_audit *out, struct clfcn_err *err)
{
    struct clfcn_audit_run run = {
        .tap = { net, slot, hyper, before, after },
        .out = out,
    };
    struct clfcn_audit_unit *units = calloc(CLFCN_MAX_AUDITS, sizeof(*units));
    *out = (struct clfcn_audit){ 0 };
    if (!units) {
        return clfcn_err_nomem(err);
    }
    clfcn_rng_init(&run.rng, seed, "audit", (uint64_t)hyper->update,
                   (uint64_t)clfcn_comm_rank(net->options.comm));
    draw(&run, units, clfcn_audit_units(net, units));
    net->tap = &run.tap;
    const int rc = clfcn_net_step(net, slot, hyper, err);
    net->tap = NULL;
    clfcn_audit_finish(&run);
    free(units);
    return rc;
}
