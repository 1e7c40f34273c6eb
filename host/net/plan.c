#include "plan.h"

#include <assert.h>
#include <stdlib.h>

static int by_size(const void *a, const void *b)
{
    const struct clfcn_plan_item *x = a, *y = b;
    if (x->bytes != y->bytes) {
        return x->bytes > y->bytes ? -1 : 1;
    }
    return x->first - y->first;
}

static bool alive_together(const struct clfcn_plan_item *a,
                           const struct clfcn_plan_item *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest offset in slab where item fits among the count items placed before it, all
 * of which come in no particular order: start at 0 and move past every collision until
 * there is none. */
static size_t lowest_offset(const struct clfcn_plan *plan, int count, int slab,
                            const struct clfcn_plan_item *item)
{
    size_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < count; ++i) {
            const struct clfcn_plan_item *other = &plan->items[i];
            if (other->slab == slab && alive_together(other, item) &&
                at < other->offset + other->bytes && other->offset < at + item->bytes) {
                at = other->offset + other->bytes;
                moved = true;
            }
        }
    }
    return at;
}

int clfcn_plan_layout(struct clfcn_plan *plan, size_t align, size_t max_slab,
                      struct clfcn_err *err)
{
    const size_t slab_limit = max_slab / align * align;
    for (int i = 0; i < plan->item_count; ++i) {
        struct clfcn_plan_item *item = &plan->items[i];
        item->bytes = (item->bytes + align - 1) / align * align;
        if (item->bytes > slab_limit) {
            return clfcn_err_set(
                err, CLFCN_EDEVMEM, 0,
                "a layer's output of %zu MiB is larger than the device's largest "
                "buffer of %zu MiB: lower --batch or --size, or let --mem take the batch "
                "in parts",
                item->bytes >> 20, max_slab >> 20);
        }
    }
    qsort(plan->items, (size_t)plan->item_count, sizeof(plan->items[0]), by_size);
    plan->slab_count = 0;
    for (int i = 0; i < plan->item_count; ++i) {
        struct clfcn_plan_item *item = &plan->items[i];
        for (item->slab = 0; item->slab < CLFCN_MAX_SLABS; ++item->slab) {
            item->offset = lowest_offset(plan, i, item->slab, item);
            if (item->offset + item->bytes <= slab_limit) {
                break;
            }
        }
        if (item->slab == CLFCN_MAX_SLABS) {
            return clfcn_err_set(
                err, CLFCN_EDEVMEM, 0,
                "the activations need more than %d buffers of the device's "
                "largest size: lower --batch or --size",
                CLFCN_MAX_SLABS);
        }
        const size_t end = item->offset + item->bytes;
        while (plan->slab_count <= item->slab) {
            plan->slab_bytes[plan->slab_count++] = 0;
        }
        if (end > plan->slab_bytes[item->slab]) {
            plan->slab_bytes[item->slab] = end;
        }
    }
    return CLFCN_OK;
}

struct clfcn_plan_item *clfcn_plan_add(struct clfcn_plan *plan, cl_mem *place,
                                       size_t bytes, int time)
{
    assert(plan->item_count < CLFCN_MAX_ITEMS);
    struct clfcn_plan_item *item = &plan->items[plan->item_count++];
    *item = (struct clfcn_plan_item){
        .place = place, .bytes = bytes, .first = time, .last = time
    };
    return item;
}

static struct clfcn_plan_item *add_tensor(struct clfcn_plan *plan,
                                          struct clfcn_tensor *tensor, int time)
{
    return clfcn_plan_add(plan, &tensor->mem, clfcn_tensor_count(tensor) * sizeof(float),
                          time);
}

/* Each forward act of its producer begins a life of value v, which lasts until its last
 * reader; that of the logits in an inference, to the end. */
static void add_activation(struct clfcn_plan *plan, struct clfcn_graph *graph,
                           const struct clfcn_tape *tape, int v)
{
    struct clfcn_value *value = &graph->values[v];
    struct clfcn_plan_item *life = NULL;
    for (int t = 0; t < tape->count; ++t) {
        const struct clfcn_act *act = &tape->acts[t];
        if (act->kind == CLFCN_ACT_FORWARD && act->op == value->producer) {
            life = add_tensor(plan, &value->tensor, t);
        } else if (life && clfcn_act_reads(act, graph, v)) {
            life->last = t;
        }
    }
    if (life && tape->count == tape->forward_count && v == graph->logits) {
        life->last = tape->count;
    }
}

/* The gradient that value v owns lives from its first writer until the producers of v,
 * and of every value that shares it, have run backward. */
static void add_gradient(struct clfcn_plan *plan, struct clfcn_graph *graph,
                         const struct clfcn_tape *tape, int v)
{
    struct clfcn_tensor *grad = graph->values[v].grad;
    struct clfcn_plan_item *life = NULL;
    for (int t = 0; t < tape->count; ++t) {
        const struct clfcn_act *act = &tape->acts[t];
        const bool backward = act->kind == CLFCN_ACT_BACKWARD;
        const bool writes = backward ? graph->ops[act->op]->dx == grad
                                     : act->kind == CLFCN_ACT_LOSS && v == graph->logits;
        if (!life && writes) {
            life = add_tensor(plan, grad, t);
        } else if (life && backward && graph->ops[act->op]->dy == grad) {
            life->last = t;
        }
    }
}

void clfcn_plan_keep(struct clfcn_plan_item *item, const struct clfcn_tape *tape)
{
    const struct clfcn_loop *first = clfcn_tape_loop(tape, item->first);
    const struct clfcn_loop *last = clfcn_tape_loop(tape, item->last);
    item->first = first ? first->begin : item->first;
    item->last = last ? last->end - 1 : item->last;
}

void clfcn_plan_tape(struct clfcn_plan *plan, struct clfcn_graph *graph,
                     const struct clfcn_tape *tape)
{
    for (int v = 1; v < graph->value_count; ++v) {
        const struct clfcn_value *value = &graph->values[v];
        const int from = plan->item_count;
        if (value->producer < 0) {
            continue;
        }
        add_activation(plan, graph, tape, v);
        if (value->grad == &value->own_grad) {
            add_gradient(plan, graph, tape, v);
        }
        for (int i = from; i < plan->item_count && clfcn_graph_is_whole(graph, v); ++i) {
            clfcn_plan_keep(&plan->items[i], tape);
        }
    }
}

size_t clfcn_plan_least(const struct clfcn_plan *plan)
{
    size_t begins[CLFCN_MAX_ACTS + 1] = { 0 }, ends[CLFCN_MAX_ACTS + 1] = { 0 };
    size_t live = 0, most = 0;
    for (int i = 0; i < plan->item_count; ++i) {
        begins[plan->items[i].first] += plan->items[i].bytes;
        ends[plan->items[i].last] += plan->items[i].bytes;
    }
    for (int t = 0; t <= CLFCN_MAX_ACTS; ++t) {
        live += begins[t];
        most = live > most ? live : most;
        live -= ends[t];
    }
    return most;
}
