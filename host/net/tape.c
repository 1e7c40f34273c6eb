#include "tape.h"

static void add(struct clfcn_tape *tape, enum clfcn_act_kind kind, int op)
{
    tape->acts[tape->count++] = (struct clfcn_act){ kind, op };
}

void clfcn_tape_for_inference(struct clfcn_tape *tape, const struct clfcn_graph *graph)
{
    tape->count = 0;
    for (int i = 0; i < graph->op_count; ++i) {
        if (!graph->ops[i]->absorbed) {
            add(tape, CLFCN_ACT_FORWARD, i);
        }
    }
    tape->forward_count = tape->count;
    tape->forward_parts = (struct clfcn_loop){ 0, graph->part_ops };
    tape->backward_parts = (struct clfcn_loop){ 0, 0 };
}

const struct clfcn_loop *clfcn_tape_loop(const struct clfcn_tape *tape, int time)
{
    const struct clfcn_loop *loops[] = { &tape->forward_parts, &tape->backward_parts };
    for (int i = 0; i < CLFCN_ARRAY_LEN(loops); ++i) {
        if (time >= loops[i]->begin && time < loops[i]->end) {
            return loops[i];
        }
    }
    return NULL;
}

static void add_update(struct clfcn_tape *tape, const struct clfcn_graph *graph, int i,
                       const struct clfcn_thrift *thrift)
{
    if (thrift->level >= CLFCN_UPDATE_EACH && clfcn_graph_learns(graph, i)) {
        add(tape, CLFCN_ACT_UPDATE, i);
    }
}

/* The backward pass of ops begin .. end-1. */
static void add_segment(struct clfcn_tape *tape, const struct clfcn_graph *graph,
                        int begin, int end, const struct clfcn_thrift *thrift)
{
    const bool again = thrift->again >> graph->segment[begin] & 1;
    for (int i = begin; again && graph->active[end - 1] && i < end - 1; ++i) {
        add(tape, CLFCN_ACT_FORWARD, i);
    }
    for (int i = end - 1; i >= begin; --i) {
        if (graph->active[i]) {
            add(tape, CLFCN_ACT_BACKWARD, i);
        }
        add_update(tape, graph, i, thrift);
    }
}

/* That of the ops which take parts of the batch: their activations are those of one part,
 * their gradients come to be those of all. */
static void add_parts(struct clfcn_tape *tape, const struct clfcn_graph *graph,
                      const struct clfcn_thrift *thrift)
{
    const int end = graph->part_ops;
    tape->backward_parts.begin = tape->count;
    for (int i = 0; i < end && graph->active[end - 1]; ++i) {
        if (!clfcn_graph_is_whole(graph, graph->out[i])) {
            add(tape, CLFCN_ACT_FORWARD, i);
        }
    }
    for (int i = end - 1; i >= 0; --i) {
        if (graph->active[i]) {
            add(tape, CLFCN_ACT_BACKWARD, i);
        }
    }
    tape->backward_parts.end = tape->count;
    for (int i = end - 1; i >= 0; --i) {
        add_update(tape, graph, i, thrift);
    }
}

void clfcn_tape_for_training(struct clfcn_tape *tape, const struct clfcn_graph *graph,
                             const struct clfcn_thrift *thrift)
{
    clfcn_tape_for_inference(tape, graph);
    add(tape, CLFCN_ACT_LOSS, -1);
    for (int end = graph->op_count, begin; end > graph->part_ops; end = begin) {
        begin = end - 1;
        while (begin > 0 && graph->segment[begin - 1] == graph->segment[end - 1]) {
            --begin;
        }
        add_segment(tape, graph, begin, end, thrift);
    }
    add_parts(tape, graph, thrift);
    if (thrift->level < CLFCN_UPDATE_EACH) {
        add(tape, CLFCN_ACT_UPDATE, -1);
    }
}

/* Whether op i, or one that it absorbed, reads value v in its forward pass. */
static bool forward_reads(const struct clfcn_graph *graph, int i, int v)
{
    for (int j = i; j < graph->op_count && graph->values[graph->out[j]].producer == i;
         ++j) {
        if (graph->in[j] == v || graph->in2[j] == v) {
            return true;
        }
    }
    return false;
}

static bool backward_reads(const struct clfcn_graph *graph, int i, int v)
{
    const struct clfcn_op *op = graph->ops[i];
    const bool y = op->impl->backward_reads_y && op->relu && !op->dy_masked;
    return (graph->in[i] == v && op->impl->backward_reads_x) || (graph->out[i] == v && y);
}

bool clfcn_act_reads(const struct clfcn_act *act, const struct clfcn_graph *graph, int v)
{
    switch (act->kind) {
    case CLFCN_ACT_FORWARD:
        return forward_reads(graph, act->op, v);
    case CLFCN_ACT_LOSS:
        return v == graph->logits;
    case CLFCN_ACT_BACKWARD:
        return backward_reads(graph, act->op, v);
    default:
        return false;
    }
}
