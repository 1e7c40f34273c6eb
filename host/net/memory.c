/* memory.c - what memory a network takes, and who lies where in it when. */
#include "net_impl.h"

#include "../device/prof.h"

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t label_bytes(const struct clfcn_net *net)
{
    return clfcn_tensor_row(&net->graph.values[0].tensor);
}

static size_t image_bytes(const struct clfcn_net *net)
{
    return clfcn_tensor_count(&net->graph.values[0].tensor) * sizeof(float);
}

size_t clfcn_net_clip_scratch(const struct clfcn_net *net)
{
    return net->options.clip_norm > 0.0
               ? clfcn_clip_scratch(net->params.trained_end / sizeof(float))
               : 0;
}

static size_t result_bytes(void)
{
    return sizeof(float) * CLFCN_NET_SLOTS * CLFCN_STEP_RESULTS;
}

/* Add up what will be allocated. */
static void account(struct clfcn_net *net)
{
    struct clfcn_net_memory *m = &net->memory;
    const struct clfcn_params *ps = &net->params;
    const bool training = net->options.training;
    const bool apart = net->thrift.level == CLFCN_APART;
    *m = (struct clfcn_net_memory){
        .weights = ps->values_bytes + (training ? 0 : net->state_bytes),
        .gradients = ps->grads_bytes,
        .optimizer = ps->states_bytes * (size_t)ps->state_count,
        .host = (ps->end - ps->values_bytes) +
                (ps->trained_end - ps->states_bytes) * (size_t)ps->state_count,
        .activations = training ? net->state_bytes : 0,
        .workspace = apart ? net->columns_bytes + net->scratch_bytes : 0,
        .io = CLFCN_NET_SLOTS * (image_bytes(net) + (training ? label_bytes(net) : 0)) +
              (training ? result_bytes() + clfcn_loss_weight_bytes(&net->loss) : 0),
        .largest_buffer =
            larger(larger(ps->values_bytes, net->state_bytes),
                   apart ? larger(net->columns_bytes, net->scratch_bytes) : 0),
    };
    for (int i = 0; i < net->plan.slab_count; ++i) {
        m->activations += net->plan.slab_bytes[i];
        m->largest_buffer = larger(m->largest_buffer, net->plan.slab_bytes[i]);
    }
    m->largest_buffer = larger(m->largest_buffer, image_bytes(net));
    m->total =
        m->weights + m->gradients + m->optimizer + m->activations + m->workspace + m->io;
}

/* An op's learned parameters live on the device for its acts, those that follow upon each
 * other in one piece; an update changes them. */
static void add_values(struct clfcn_net *net, int t, int i, int j)
{
    struct clfcn_params *ps = &net->params;
    struct clfcn_plan *plan = &net->plan;
    struct clfcn_param *p = &net->graph.ops[i]->params[j];
    const struct clfcn_act *act = &net->tape.acts[t];
    struct clfcn_plan_item *life = NULL;
    for (int k = plan->item_count - 1; k >= 0 && !life; --k) {
        life = plan->items[k].place == &p->value ? &plan->items[k] : NULL;
    }
    if (!life || life->last != t - 1 ||
        clfcn_tape_loop(&net->tape, t - 1) != clfcn_tape_loop(&net->tape, t)) {
        life = clfcn_plan_add(plan, &p->value, clfcn_params_room(net, p), t);
        life->home = &ps->host_values;
        life->at = ps->offsets[i][j];
    }
    life->last = t;
    life->changes = life->changes || act->kind == CLFCN_ACT_UPDATE;
}

static int update_time(const struct clfcn_tape *tape, int i)
{
    int t = tape->count - 1;
    while (tape->acts[t].kind != CLFCN_ACT_UPDATE || tape->acts[t].op != i) {
        --t;
    }
    return t;
}

/* Gradients live from the backward pass to the update, which op i's acts at t are; the
 * optimiser's state for the update. */
static void add_trained(struct clfcn_net *net, int t, int i, int j)
{
    struct clfcn_params *ps = &net->params;
    struct clfcn_param *p = &net->graph.ops[i]->params[j];
    const bool update = net->tape.acts[t].kind == CLFCN_ACT_UPDATE;
    const size_t bytes = clfcn_params_room(net, p);
    if (!update) {
        struct clfcn_plan_item *life = clfcn_plan_add(&net->plan, &p->grad, bytes, t);
        clfcn_plan_keep(life, &net->tape);
        life->last = update_time(&net->tape, i);
    }
    for (int s = 0;
         update && net->thrift.level >= CLFCN_HOST_STATES && s < ps->state_count; ++s) {
        struct clfcn_plan_item *life =
            clfcn_plan_add(&net->plan, &p->states[s], bytes, t);
        life->home = &ps->host_states[s];
        life->at = ps->offsets[i][j];
        life->changes = true;
    }
}

static void add_workspace(struct clfcn_net *net, int t, size_t columns, size_t scratch)
{
    if (columns > 0) {
        clfcn_plan_add(&net->plan, &net->columns, columns, t);
    }
    if (scratch > 0) {
        clfcn_plan_add(&net->plan, &net->scratch, scratch, t);
    }
}

/* What lives among the activations by the network's thrift. */
static void add_shared(struct clfcn_net *net)
{
    const enum clfcn_level level = net->thrift.level;
    for (int t = 0; t < net->tape.count && level >= CLFCN_SHARE_WORKSPACE; ++t) {
        const struct clfcn_act *act = &net->tape.acts[t];
        if (act->kind == CLFCN_ACT_LOSS) {
            add_workspace(net, t, 0, net->loss.scratch_bytes);
        } else if (act->kind == CLFCN_ACT_UPDATE && act->op < 0) {
            add_workspace(net, t, 0, clfcn_net_clip_scratch(net));
        }
        if (act->op < 0) {
            continue;
        }
        const struct clfcn_op *op = net->graph.ops[act->op];
        if (act->kind != CLFCN_ACT_UPDATE) {
            add_workspace(net, t, op->columns_bytes, op->scratch_bytes);
        }
        for (int j = 0; j < op->param_count; ++j) {
            const bool learned = op->params[j].learned;
            const bool trained = learned && !op->frozen;
            if (learned && level >= CLFCN_HOST_WEIGHTS) {
                add_values(net, t, act->op, j);
            }
            if (trained && level >= CLFCN_UPDATE_EACH && act->kind != CLFCN_ACT_FORWARD) {
                add_trained(net, t, act->op, j);
            }
            if (trained && act->kind == CLFCN_ACT_BACKWARD &&
                act->op < net->graph.part_ops) {
                clfcn_plan_add(&net->plan, &net->part_grads[j],
                               clfcn_params_room(net, &op->params[j]), t);
            }
        }
    }
}

int clfcn_net_lay_out(struct clfcn_net *net, size_t enough, struct clfcn_err *err)
{
    struct clfcn_params *ps = &net->params;
    const enum clfcn_level level = net->thrift.level;
    if (net->options.training) {
        clfcn_tape_for_training(&net->tape, &net->graph, &net->thrift);
    } else {
        clfcn_tape_for_inference(&net->tape, &net->graph);
    }
    ps->values_bytes = ps->end - (level >= CLFCN_HOST_WEIGHTS ? ps->learned_end : 0);
    ps->grads_bytes = level >= CLFCN_UPDATE_EACH ? 0 : ps->trained_end;
    ps->states_bytes = level >= CLFCN_HOST_STATES ? 0 : ps->trained_end;
    net->plan.item_count = 0;
    clfcn_plan_tape(&net->plan, &net->graph, &net->tape);
    add_shared(net);
    net->plan.slab_bytes[0] = clfcn_plan_least(&net->plan);
    net->plan.slab_count = 1;
    account(net);
    if (net->memory.total >= enough) {
        return CLFCN_OK;
    }
    const int rc = clfcn_plan_layout(&net->plan, clfcn_net_align(net->dev),
                                     net->dev->info.max_alloc_bytes, err);
    if (rc == CLFCN_OK) {
        account(net);
    }
    return rc;
}

static int allocate_shared(struct clfcn_net *net, struct clfcn_err *err)
{
    struct clfcn_dev *dev = net->dev;
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < net->plan.slab_count; ++i) {
        rc = clfcn_buffer_create(dev, net->plan.slab_bytes[i], "activations",
                                 &net->slabs[i], err);
    }
    const bool apart = net->thrift.level == CLFCN_APART;
    if (rc == CLFCN_OK && apart && net->columns_bytes) {
        rc = clfcn_buffer_create(dev, net->columns_bytes,
                                 "columns and transformed weights", &net->columns, err);
    }
    if (rc == CLFCN_OK && apart && net->scratch_bytes) {
        rc = clfcn_buffer_create(dev, net->scratch_bytes, "scratch", &net->scratch, err);
    }
    if (rc == CLFCN_OK && net->state_bytes) {
        rc = clfcn_buffer_create(dev, net->state_bytes, "batch norm and kept weights",
                                 &net->state, err);
    }
    if (rc == CLFCN_OK && net->options.training) {
        rc = clfcn_buffer_create(dev, result_bytes(), "losses", &net->results, err);
    }
    if (rc == CLFCN_OK && net->options.training) {
        rc = clfcn_loss_allocate(&net->loss, dev, err);
    }
    for (int s = 0; rc == CLFCN_OK && s < CLFCN_NET_SLOTS; ++s) {
        struct clfcn_slot *slot = &net->slots[s];
        rc = clfcn_buffer_create(dev, image_bytes(net), "images", &slot->images, err);
        if (rc == CLFCN_OK && net->options.training) {
            rc = clfcn_buffer_create(dev, label_bytes(net), "labels", &slot->labels, err);
        }
    }
    return rc;
}

/* Give every activation, gradient and op state its window on the shared buffers. */
static int assign_memory(struct clfcn_net *net, struct clfcn_err *err)
{
    struct clfcn_dev *dev = net->dev;
    const size_t align = clfcn_net_align(dev);
    size_t at = 0;
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < net->plan.item_count; ++i) {
        struct clfcn_plan_item *item = &net->plan.items[i];
        rc = clfcn_buffer_view(dev, net->slabs[item->slab], item->offset, item->bytes,
                               &item->mem, err);
        if (rc < 0) {
            clfcn_err_note(err, "buffer 'activations'");
        }
        if (rc == CLFCN_OK && !*item->place) {
            *item->place = item->mem;
        }
    }
    for (int i = 0; rc == CLFCN_OK && i < net->graph.op_count; ++i) {
        struct clfcn_op *op = net->graph.ops[i];
        if (op->state_bytes) {
            rc = clfcn_buffer_view(dev, net->state, at, op->state_bytes, &op->state, err);
            if (rc < 0) {
                clfcn_err_note(err, "layer '%s'", op->name);
            }
            at += (op->state_bytes + align - 1) / align * align;
        }
    }
    return rc;
}

int clfcn_memory_allocate(struct clfcn_net *net, struct clfcn_err *err)
{
    const int rc = allocate_shared(net, err);
    return rc < 0 ? rc : assign_memory(net, err);
}

void clfcn_memory_release(struct clfcn_net *net)
{
    struct clfcn_dev *dev = net->dev;
    for (int s = 0; s < CLFCN_NET_SLOTS; ++s) {
        clfcn_event_release(dev, &net->slots[s].uploaded);
        clfcn_event_release(dev, &net->slots[s].done);
        clfcn_buffer_release(dev, &net->slots[s].shared_images);
        clfcn_buffer_release(dev, &net->slots[s].shared_labels);
        clfcn_buffer_release(dev, &net->slots[s].images);
        clfcn_buffer_release(dev, &net->slots[s].labels);
    }
    for (int i = 0; i < net->plan.item_count; ++i) {
        struct clfcn_plan_item *item = &net->plan.items[i];
        if (item->mem) {
            *item->place = NULL;
        }
        clfcn_buffer_release(dev, &item->mem);
    }
    for (int i = 0; i < net->graph.op_count; ++i) {
        clfcn_buffer_release(dev, &net->graph.ops[i]->state);
    }
    clfcn_loss_release(&net->loss, dev);
    clfcn_buffer_release(dev, &net->results);
    clfcn_buffer_release(dev, &net->state);
    clfcn_buffer_release(dev, &net->scratch);
    clfcn_buffer_release(dev, &net->columns);
    for (int i = 0; i < net->plan.slab_count; ++i) {
        clfcn_buffer_release(dev, &net->slabs[i]);
    }
}

/* Enqueue the way of an item from its home or back. */
static int move(struct clfcn_net *net, const struct clfcn_plan_item *item, bool to_device,
                struct clfcn_err *err)
{
    unsigned char *host = *item->home + item->at;
    cl_command_queue queue = net->dev->compute;
    clfcn_prof_label(net->dev, "host memory", NULL);
    const cl_int status =
        to_device
            ? clEnqueueWriteBuffer(queue, item->mem, CL_FALSE, 0, item->bytes, host, 0,
                                   NULL, clfcn_prof_event(net->dev, "from host memory"))
            : clEnqueueReadBuffer(queue, item->mem, CL_FALSE, 0, item->bytes, host, 0,
                                  NULL, clfcn_prof_event(net->dev, "to host memory"));
    return status == CL_SUCCESS
               ? CLFCN_OK
               : clfcn_cl_err(err, status, "cannot move weights %s the host's memory",
                              to_device ? "from" : "to");
}

int clfcn_memory_begin(struct clfcn_net *net, int time, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < net->plan.item_count; ++i) {
        const struct clfcn_plan_item *item = &net->plan.items[i];
        if (item->first == time) {
            *item->place = item->mem;
            rc = item->home ? move(net, item, true, err) : CLFCN_OK;
        }
    }
    return rc;
}

int clfcn_memory_end(struct clfcn_net *net, int time, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < net->plan.item_count; ++i) {
        const struct clfcn_plan_item *item = &net->plan.items[i];
        if (item->last == time && item->home && item->changes) {
            rc = move(net, item, false, err);
        }
    }
    return rc;
}
