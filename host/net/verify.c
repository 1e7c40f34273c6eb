/* verify.c - the algorithms that a network has chosen, checked on its own shapes. */
#include "../ops/channel.h"
#include "../ops/verify.h"
#include "net_impl.h"

/* Give the layer the workspace of its forward pass, which has room for all of them. */
static void place_workspace(struct clfcn_net *net, int layer)
{
    int time = 0;
    while (time < net->tape.forward_count && net->tape.acts[time].op != layer) {
        ++time;
    }
    for (int i = 0; i < net->plan.item_count; ++i) {
        const struct clfcn_plan_item *item = &net->plan.items[i];
        const bool workspace =
            item->place == &net->columns || item->place == &net->scratch;
        if (workspace && item->first == time) {
            *item->place = item->mem;
        }
    }
}

/* CLFCN_OK with *checked false where there is nothing to check. */
static int verify(struct clfcn_net *net, int layer, enum clfcn_pass pass, bool *checked,
                  struct clfcn_finding *found, struct clfcn_err *err)
{
    static const struct clfcn_verify_how once = { .data = CLFCN_TRIAL_NORMAL, .runs = 1 };
    struct clfcn_op *op = net->graph.ops[layer];
    place_workspace(net, layer);
    const struct clfcn_op_run run = { .dev = net->dev,
                                      .training = true,
                                      .columns = net->columns,
                                      .scratch = net->scratch };
    if (op->impl->conv) {
        *checked = clfcn_net_has_pass(net, layer, pass);
        return *checked
                   ? clfcn_verify_conv(op->impl->conv(op, pass), &run, &once, found, err)
                   : CLFCN_OK;
    }
    const bool backward = pass == CLFCN_PASS_INPUT;
    *checked = net->options.training && clfcn_channel_knows(op) &&
               pass != CLFCN_PASS_WEIGHT && (op->dx || !backward);
    return *checked ? clfcn_verify_op(op, &run, backward, &once, found, err) : CLFCN_OK;
}

int clfcn_net_verify(struct clfcn_net *net, int layer, enum clfcn_pass pass,
                     struct clfcn_net_verdict *out, struct clfcn_err *err)
{
    struct clfcn_finding found = { 0 };
    bool checked = false;
    *out = (struct clfcn_net_verdict){ 0 };
    const int rc = verify(net, layer, pass, &checked, &found, err);
    if (rc < 0) {
        clfcn_err_note(err, "verifying layer '%s', %s", net->graph.ops[layer]->name,
                       clfcn_pass_name(pass));
    } else if (checked) {
        *out = (struct clfcn_net_verdict){ .checked = true,
                                           .correct = found.correct,
                                           .error = found.error,
                                           .ms = found.ms *
                                                 clfcn_graph_runs(&net->graph, layer) };
    }
    return rc;
}
