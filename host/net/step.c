#include "net_impl.h"

#include "../comm/comm.h"
#include "../device/prof.h"
#include "../ops/conv.h"
#include "../util/trace.h"

static int check(cl_int status, const char *what, struct clfcn_err *err)
{
    if (status == CL_SUCCESS) {
        return CLFCN_OK;
    }
    return clfcn_err_set(err, CLFCN_ECL, status, "%s: %s", what,
                         clfcn_cl_error_name(status));
}

static struct clfcn_op_run make_run(const struct clfcn_net *net, bool training)
{
    return (struct clfcn_op_run){
        .dev = net->dev,
        .training = training,
        .part = net->part,
        .columns = net->columns,
        .scratch = net->scratch,
        .comm = net->options.comm,
        .sync_batchnorm = net->options.sync_batchnorm,
    };
}

int clfcn_net_op_forward(struct clfcn_net *net, int i, bool training,
                         struct clfcn_err *err)
{
    struct clfcn_op *op = net->graph.ops[i];
    const struct clfcn_op_run run = make_run(net, training);
    clfcn_prof_label(net->dev, op->name, clfcn_pass_name(CLFCN_PASS_FORWARD));
    const int rc = op->impl->forward(op, &run, err);
    if (rc < 0) {
        clfcn_err_note(err, "layer '%s', forward", op->name);
    }
    return rc;
}

/* Make what an inference network derives from its parameters, if they are new. */
static int derive(struct clfcn_net *net, struct clfcn_err *err)
{
    const struct clfcn_op_run run = make_run(net, false);
    int rc = CLFCN_OK;
    if (net->options.training || net->derived) {
        return CLFCN_OK;
    }
    for (int i = 0; rc == CLFCN_OK && i < net->graph.op_count; ++i) {
        struct clfcn_op *op = net->graph.ops[i];
        clfcn_prof_label(net->dev, op->name, NULL);
        rc = op->impl->derive ? op->impl->derive(op, &run, err) : CLFCN_OK;
        if (rc < 0) {
            clfcn_err_note(err, "layer '%s'", op->name);
        }
    }
    net->derived = rc == CLFCN_OK;
    return rc;
}

static void swap_gradients(struct clfcn_net *net, struct clfcn_op *op)
{
    for (int j = 0; j < op->param_count; ++j) {
        if (op->params[j].grad) {
            const cl_mem grad = op->params[j].grad;
            op->params[j].grad = net->part_grads[j];
            net->part_grads[j] = grad;
        }
    }
}

/* Run op backward and add its parameters' gradients to those of the parts before. */
static int add_part(struct clfcn_net *net, struct clfcn_op *op,
                    const struct clfcn_op_run *run, struct clfcn_err *err)
{
    swap_gradients(net, op);
    int rc = op->impl->backward(op, run, err);
    swap_gradients(net, op);
    for (int j = 0; rc == CLFCN_OK && j < op->param_count; ++j) {
        const struct clfcn_param *p = &op->params[j];
        rc = p->grad ? clfcn_accumulate_run(&net->accumulate, net->dev, p->grad,
                                            net->part_grads[j], p->count, err)
                     : CLFCN_OK;
    }
    return rc;
}

int clfcn_net_op_backward(struct clfcn_net *net, int i, struct clfcn_err *err)
{
    struct clfcn_op *op = net->graph.ops[i];
    const struct clfcn_op_run run = make_run(net, true);
    clfcn_prof_label(net->dev, op->name, "backward");
    const int rc =
        net->part > 0 ? add_part(net, op, &run, err) : op->impl->backward(op, &run, err);
    if (rc < 0) {
        clfcn_err_note(err, "layer '%s', backward", op->name);
    }
    return rc;
}

/* After an error the caller's memory is his again: let nothing be on its way to or from
 * it. */
static void settle(struct clfcn_net *net)
{
    clFinish(net->dev->transfer);
    clFinish(net->dev->compute);
}

/* Enqueue the copies of a batch into slot's own buffers. */
static int copy_batch(struct clfcn_net *net, struct clfcn_slot *s,
                      const struct clfcn_net_input *in, struct clfcn_err *err)
{
    const struct clfcn_tensor *x = &net->graph.values[0].tensor;
    cl_command_queue queue = net->dev->transfer;
    if (in->labels && s->labels) {
        const int rc =
            check(clEnqueueWriteBuffer(queue, s->labels, CL_FALSE, 0, clfcn_tensor_row(x),
                                       in->labels, 0, NULL,
                                       clfcn_prof_event(net->dev, "upload labels")),
                  "uploading labels", err);
        if (rc < 0) {
            return rc;
        }
    }
    return check(clEnqueueWriteBuffer(queue, s->images, CL_FALSE, 0,
                                      clfcn_tensor_count(x) * sizeof(float), in->images,
                                      0, NULL, &s->uploaded),
                 "uploading images", err);
}

/* Let the device read a batch where it lies. */
static int share_batch(struct clfcn_net *net, struct clfcn_slot *s,
                       const struct clfcn_net_input *in, struct clfcn_err *err)
{
    const struct clfcn_tensor *x = &net->graph.values[0].tensor;
    int rc =
        clfcn_buffer_share(net->dev, in->images, clfcn_tensor_count(x) * sizeof(float),
                           &s->shared_images, err);
    if (rc == CLFCN_OK && in->labels && s->labels) {
        rc = clfcn_buffer_share(net->dev, in->labels, clfcn_tensor_row(x),
                                &s->shared_labels, err);
    }
    return rc < 0 ? rc
                  : check(clEnqueueMarkerWithWaitList(net->dev->transfer, 0, NULL,
                                                      &s->uploaded),
                          "uploading images", err);
}

static void unshare_batch(struct clfcn_net *net, struct clfcn_slot *s)
{
    clfcn_buffer_release(net->dev, &s->shared_images);
    clfcn_buffer_release(net->dev, &s->shared_labels);
}

static int check_slot(int slot, struct clfcn_err *err)
{
    return slot >= 0 && slot < CLFCN_NET_SLOTS
               ? CLFCN_OK
               : clfcn_err_set(err, CLFCN_EINVAL, 0, "slot %d: there are 0 and 1", slot);
}

static int64_t count_labelled(const uint8_t *labels, size_t pixels)
{
    int64_t n = 0;
    for (size_t i = 0; i < pixels; ++i) {
        n += labels[i] != CLFCN_IGNORE;
    }
    return n;
}

int clfcn_net_upload(struct clfcn_net *net, int slot, const struct clfcn_net_input *in,
                     struct clfcn_err *err)
{
    if (check_slot(slot, err) < 0) {
        return CLFCN_EINVAL;
    }
    struct clfcn_slot *s = &net->slots[slot];
    if (s->uploaded) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "slot %d has a batch already: wait for it", slot);
    }
    const bool may_share = clfcn_buffer_can_share(net->dev, in->images) &&
                           (!in->labels || clfcn_buffer_can_share(net->dev, in->labels));
    clfcn_prof_label(net->dev, "", NULL);
    unshare_batch(net, s);
    const bool shared = may_share && share_batch(net, s, in, NULL) == CLFCN_OK;
    if (!shared) {
        unshare_batch(net, s);
        const int rc = copy_batch(net, s, in, err);
        if (rc < 0) {
            settle(net);
            return rc;
        }
    }
    clfcn_event_made(net->dev);
    clfcn_prof_keep(net->dev, s->uploaded, shared ? "batch in place" : "upload images");
    s->input = *in;
    s->has_labels = in->labels && s->labels;
    if (s->has_labels) {
        const int64_t labelled =
            in->labelled >= 0
                ? in->labelled
                : count_labelled(in->labels,
                                 clfcn_tensor_row(&net->graph.values[0].tensor));
        s->own_terms = clfcn_loss_terms(&net->loss, in->labels, labelled);
        s->terms = s->own_terms;
    }
    return check(clFlush(net->dev->transfer), "uploading images", err);
}

int clfcn_net_enter(struct clfcn_net *net, int slot, struct clfcn_err *err)
{
    const struct clfcn_slot *s = &net->slots[slot];
    if (!s->uploaded) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "no batch was uploaded");
    }
    net->graph.values[0].tensor.mem = s->shared_images ? s->shared_images : s->images;
    return check(clEnqueueBarrierWithWaitList(net->dev->compute, 1, &s->uploaded, NULL),
                 "waiting for the upload", err);
}

/* Enqueue the read-back that ends the slot's work. */
static int leave_slot(struct clfcn_net *net, struct clfcn_slot *s, cl_mem from,
                      size_t offset, size_t bytes, void *to, struct clfcn_err *err)
{
    clfcn_prof_label(net->dev, "", NULL);
    const int rc = check(clEnqueueReadBuffer(net->dev->compute, from, CL_FALSE, offset,
                                             bytes, to, 0, NULL, &s->done),
                         "reading back a result", err);
    if (rc < 0) {
        return rc;
    }
    clfcn_event_made(net->dev);
    clfcn_prof_keep(net->dev, s->done, s->stepped ? "read loss" : "read logits");
    return check(clFlush(net->dev->compute), "submitting work", err);
}

int clfcn_net_loss(struct clfcn_net *net, int slot, struct clfcn_err *err)
{
    const struct clfcn_op_run run = make_run(net, true);
    const struct clfcn_value *logits = &net->graph.values[net->graph.logits];
    const struct clfcn_slot *s = &net->slots[slot];
    clfcn_prof_label(net->dev, "loss", NULL);
    const int rc =
        clfcn_loss_run(&net->loss, &run, &logits->tensor,
                       s->shared_labels ? s->shared_labels : s->labels, s->terms,
                       logits->grad, net->results, slot * CLFCN_STEP_RESULTS, err);
    if (rc < 0) {
        clfcn_err_note(err, "loss");
    }
    return rc;
}

/* Update parameter j of op i, whose gap must hold numbers: an update runs over it. */
static int update_one(struct clfcn_net *net, int i, int j,
                      const struct clfcn_optim_hyper *h, struct clfcn_err *err)
{
    const struct clfcn_param *p = &net->graph.ops[i]->params[j];
    const size_t room = clfcn_params_room(net, p), bytes = p->count * sizeof(float);
    const int rc = clfcn_buffer_zero(net->dev, p->grad, bytes, room - bytes, err);
    return rc < 0
               ? rc
               : clfcn_optim_run(&net->optim, net->dev, h, p->value, p->grad,
                                 p->states[0], p->states[1], room / sizeof(float), err);
}

int clfcn_net_clip(struct clfcn_net *net, int slot, struct clfcn_err *err)
{
    const struct clfcn_op_run run = make_run(net, true);
    const struct clfcn_params *ps = &net->params;
    return clfcn_clip_run(&net->clip, &run, ps->grads, ps->trained_end / sizeof(float),
                          net->options.clip_norm, net->results,
                          slot * CLFCN_STEP_RESULTS + CLFCN_STEP_NORM, err);
}

int clfcn_net_update(struct clfcn_net *net, int i, int slot,
                     const struct clfcn_net_hyper *hyper, struct clfcn_err *err)
{
    const struct clfcn_optim_hyper h = {
        .lr = hyper->lr,
        .momentum = hyper->momentum,
        .weight_decay = hyper->weight_decay,
        .beta1 = hyper->beta1,
        .beta2 = hyper->beta2,
        .eps = hyper->eps,
        .update = hyper->update,
    };
    const struct clfcn_params *ps = &net->params;
    int rc = CLFCN_OK;
    clfcn_prof_label(net->dev, "update", NULL);
    if (i < 0 && net->options.clip_norm > 0.0) {
        rc = clfcn_net_clip(net, slot, err);
    }
    if (rc == CLFCN_OK && i < 0) {
        rc = clfcn_optim_run(&net->optim, net->dev, &h, ps->values, ps->grads,
                             ps->states[0], ps->states[1],
                             ps->trained_end / sizeof(float), err);
    }
    for (int j = 0; rc == CLFCN_OK && i >= 0 && j < net->graph.ops[i]->param_count; ++j) {
        rc = net->graph.ops[i]->params[j].learned ? update_one(net, i, j, &h, err)
                                                  : CLFCN_OK;
    }
    if (rc < 0) {
        clfcn_err_note(err, "update");
    }
    return rc;
}

static int check_training(const struct clfcn_net *net, int slot, struct clfcn_err *err)
{
    if (!net->options.training) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "this network was built for inference");
    }
    return !net->slots[slot].uploaded || net->slots[slot].has_labels
               ? CLFCN_OK
               : clfcn_err_set(err, CLFCN_EINVAL, 0,
                               "the batch was uploaded without labels");
}

int clfcn_net_act(struct clfcn_net *net, int time, int slot,
                  const struct clfcn_net_hyper *hyper, struct clfcn_err *err)
{
    const struct clfcn_act *act = &net->tape.acts[time];
    switch (act->kind) {
    case CLFCN_ACT_FORWARD:
        return clfcn_net_op_forward(net, act->op, hyper != NULL, err);
    case CLFCN_ACT_LOSS:
        return clfcn_net_loss(net, slot, err);
    case CLFCN_ACT_BACKWARD:
        return clfcn_net_op_backward(net, act->op, err);
    default:
        return clfcn_net_update(net, act->op, slot, hyper, err);
    }
}

/* last: of the batch's parts. */
static int perform(struct clfcn_net *net, int time, bool last, int slot,
                   const struct clfcn_net_hyper *hyper, struct clfcn_err *err)
{
    const struct clfcn_act *a = &net->tape.acts[time];
    int rc = clfcn_memory_begin(net, time, err);
    if (rc == CLFCN_OK && net->exchange && a->kind == CLFCN_ACT_UPDATE) {
        rc = clfcn_exchange_finish(net->exchange, a->op, err);
    }
    if (rc == CLFCN_OK && net->tap) {
        rc = net->tap->before(net->tap, time, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_net_act(net, time, slot, hyper, err);
    }
    if (rc == CLFCN_OK && net->tap) {
        rc = net->tap->after(net->tap, time, err);
    }
    if (rc == CLFCN_OK && net->exchange && a->kind == CLFCN_ACT_BACKWARD && last) {
        rc = clfcn_exchange_ready(net->exchange, a->op, err);
    }
    return rc < 0 ? rc : clfcn_memory_end(net, time, err);
}

/* The tape's first count acts, those in a loop for each part of the batch. */
static int perform_all(struct clfcn_net *net, int count, int slot,
                       const struct clfcn_net_hyper *hyper, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int t = 0; rc == CLFCN_OK && t < count;) {
        const struct clfcn_loop *loop = clfcn_tape_loop(&net->tape, t);
        const int parts = loop ? net->graph.parts.count : 1,
                  end = loop ? loop->end : t + 1;
        for (net->part = 0; rc == CLFCN_OK && net->part < parts; ++net->part) {
            for (int u = t; rc == CLFCN_OK && u < end; ++u) {
                rc = perform(net, u, net->part == parts - 1, slot, hyper, err);
            }
        }
        t = end;
    }
    net->part = 0;
    return rc;
}

int clfcn_net_step(struct clfcn_net *net, int slot, const struct clfcn_net_hyper *hyper,
                   struct clfcn_err *err)
{
    if (check_slot(slot, err) < 0) {
        return CLFCN_EINVAL;
    }
    struct clfcn_slot *s = &net->slots[slot];
    const double begin = clfcn_trace_begin();
    int rc = check_training(net, slot, err);
    if (rc == CLFCN_OK) {
        s->terms = s->own_terms;
        rc = clfcn_comm_sum(net->options.comm, &s->terms, 1, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_net_enter(net, slot, err);
    }
    if (rc == CLFCN_OK && net->tap) {
        rc = net->tap->after(net->tap, CLFCN_TAP_UPLOAD, err);
    }
    if (rc == CLFCN_OK) {
        rc = perform_all(net, net->tape.count, slot, hyper, err);
    }
    if (rc == CLFCN_OK) {
        ++net->batches_tracked;
        s->stepped = true;
        const size_t count = net->options.clip_norm > 0.0 ? CLFCN_STEP_FACTOR : 1;
        rc = leave_slot(net, s, net->results,
                        (size_t)slot * CLFCN_STEP_RESULTS * sizeof(float),
                        count * sizeof(float), s->result, err);
    }
    clfcn_trace_end("enqueue step", begin);
    return rc;
}

int clfcn_net_infer(struct clfcn_net *net, int slot, float *logits, struct clfcn_err *err)
{
    if (check_slot(slot, err) < 0) {
        return CLFCN_EINVAL;
    }
    struct clfcn_slot *s = &net->slots[slot];
    const struct clfcn_tensor *y = &net->graph.values[net->graph.logits].tensor;
    const double begin = clfcn_trace_begin();
    int rc = clfcn_net_enter(net, slot, err);
    if (rc == CLFCN_OK) {
        rc = derive(net, err);
    }
    if (rc == CLFCN_OK) {
        rc = perform_all(net, net->tape.forward_count, slot, NULL, err);
    }
    if (rc == CLFCN_OK) {
        s->stepped = false;
        rc = leave_slot(net, s, y->mem, 0, clfcn_tensor_count(y) * sizeof(float), logits,
                        err);
    }
    clfcn_trace_end("enqueue inference", begin);
    return rc;
}

/* Every rank's loss has the divisor of the whole batch. */
static int sum_loss(struct clfcn_net *net, const struct clfcn_slot *s, float *loss,
                    struct clfcn_err *err)
{
    double sum = s->result[CLFCN_STEP_LOSS];
    const int rc = clfcn_comm_sum(net->options.comm, &sum, 1, err);
    *loss = (float)sum;
    return rc;
}

int clfcn_net_wait(struct clfcn_net *net, int slot, float *loss, struct clfcn_err *err)
{
    if (check_slot(slot, err) < 0) {
        return CLFCN_EINVAL;
    }
    struct clfcn_slot *s = &net->slots[slot];
    const double begin = clfcn_trace_begin();
    int rc = CLFCN_OK;
    if (s->uploaded) {
        rc = check(clWaitForEvents(1, &s->uploaded), "uploading images", err);
    }
    if (s->done && rc == CLFCN_OK) {
        rc = check(clWaitForEvents(1, &s->done), "waiting for the device", err);
        if (rc == CLFCN_OK && loss && s->stepped) {
            rc = sum_loss(net, s, loss, err);
        }
    }
    if (rc < 0) {
        settle(net);
    }
    clfcn_event_release(net->dev, &s->uploaded);
    clfcn_event_release(net->dev, &s->done);
    unshare_batch(net, s);
    clfcn_trace_end("wait for the device", begin);
    clfcn_prof_collect(net->dev);
    return rc;
}

void clfcn_net_take_exchange(struct clfcn_net *net, struct clfcn_exchange_time *out)
{
    if (net->exchange) {
        clfcn_exchange_take(net->exchange, out);
    }
}

float clfcn_net_gradient_norm(const struct clfcn_net *net, int slot)
{
    return net->slots[slot].result[CLFCN_STEP_NORM];
}

int clfcn_net_forward(struct clfcn_net *net, const float *images, float *logits,
                      struct clfcn_err *err)
{
    const struct clfcn_net_input in = { .images = images };
    int rc = clfcn_net_wait(net, 0, NULL, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_net_upload(net, 0, &in, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_net_infer(net, 0, logits, err);
    }
    return rc < 0 ? rc : clfcn_net_wait(net, 0, NULL, err);
}
