/* profile.c - a step's commands by layer and pass, and the gaps between them. */
#include "net_impl.h"

#include "../device/prof.h"
#include "../ops/conv.h"
#include "../util/log.h"
#include "../util/sys.h"
#include <math.h>
#include <string.h>

/* Of a step's time by the host's clock, what a device says it was busy lies between
 * these.
 */
static const double LEAST_SHARE = 0.2, MOST_SHARE = 1.5;

static int find_layer(const struct clfcn_net *net, const char *name)
{
    for (int i = 0; i < net->graph.op_count; ++i) {
        if (strcmp(net->graph.ops[i]->name, name) == 0) {
            return i;
        }
    }
    return -1;
}

/* Add a command's time to the pass it was for; "backward", which no pass is called, is
 * what an op does besides. */
static void add_to_layer(struct clfcn_net *net, int layer,
                         const struct clfcn_prof_record *record)
{
    const double seconds = record->end - record->begin;
    for (int p = 0; record->pass && p < CLFCN_PASS_COUNT; ++p) {
        if (strcmp(record->pass, clfcn_pass_name((enum clfcn_pass)p)) == 0) {
            net->times.pass_s[layer][p] += seconds;
            return;
        }
    }
    net->times.rest_s[layer] += seconds;
}

/* Records come in the order of enqueueing, which is that of running. */
static void take_record(void *user, const struct clfcn_prof_record *record)
{
    struct clfcn_net *net = user;
    struct clfcn_net_times *t = &net->times;
    const int layer = find_layer(net, record->layer);
    if (layer >= 0) {
        add_to_layer(net, layer, record);
    }
    if (!record->compute) {
        return;
    }
    if (t->last == 0) {
        t->first = t->last = record->begin;
    }
    if (record->begin > t->last) {
        t->gap_s += record->begin - t->last;
    }
    if (record->end > t->last) {
        t->last = record->end;
    }
}

int clfcn_net_profile(struct clfcn_net *net, int slot,
                      const struct clfcn_net_hyper *hyper, struct clfcn_err *err)
{
    struct clfcn_net_times *t = &net->times;
    if (!clfcn_prof_is_on(net->dev)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "profiling is off");
    }
    clfcn_prof_drain(net->dev); /* what came before is not of this step */
    t->first = t->last = 0;
    clfcn_prof_listen(net->dev, take_record, net);
    const double start = clfcn_clock();
    int rc = clfcn_net_step(net, slot, hyper, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_net_wait(net, slot, NULL, err);
    }
    const double wall = clfcn_clock() - start, slack = 1e-3;
    clfcn_prof_drain(net->dev);
    clfcn_prof_listen(net->dev, NULL, NULL);
    t->span_s += t->last - t->first;
    t->steps += rc == CLFCN_OK;
    if (rc == CLFCN_OK && t->steps == 1 &&
        !(t->span_s >= LEAST_SHARE * (wall - slack) &&
          t->span_s <= MOST_SHARE * (wall + slack))) {
        clfcn_info("this device's own times are wrong: layers are timed by the host's "
                   "clock");
        *t = (struct clfcn_net_times){ 0 };
        clfcn_prof_by_host(net->dev);
    }
    return rc;
}

int clfcn_net_profiled(const struct clfcn_net *net)
{
    return net->times.steps;
}

double clfcn_net_launch_share(const struct clfcn_net *net)
{
    return net->times.span_s > 0 ? net->times.gap_s / net->times.span_s : NAN;
}

int clfcn_net_layer_count(const struct clfcn_net *net)
{
    return net->graph.op_count;
}

static double mean_ms(const struct clfcn_net_times *t, double seconds)
{
    return t->steps > 0 ? 1e3 * seconds / t->steps : -1;
}

bool clfcn_net_has_pass(const struct clfcn_net *net, int layer, enum clfcn_pass pass)
{
    const struct clfcn_op *op = net->graph.ops[layer];
    if (pass == CLFCN_PASS_FORWARD) {
        return true;
    }
    return op->impl->conv && net->graph.active[layer] && net->options.training &&
           (pass == CLFCN_PASS_INPUT ? op->dx != NULL : !op->frozen);
}

/* Each tensor once; of parameters the weights, beside which the others are nothing. */
static double bytes_of(const struct clfcn_op *op)
{
    size_t floats = clfcn_tensor_count(op->x) + clfcn_tensor_count(op->y);
    floats += op->x2 ? clfcn_tensor_count(op->x2) : 0;
    floats += op->param_count > 0 ? op->params[0].count : 0;
    return (double)floats * sizeof(float);
}

static struct clfcn_net_pass describe_pass(const struct clfcn_net *net, int layer,
                                           enum clfcn_pass pass)
{
    const struct clfcn_op *op = net->graph.ops[layer];
    struct clfcn_net_pass p = { .ms = -1 };
    if (clfcn_net_has_pass(net, layer, pass)) {
        const struct clfcn_conv *conv = op->impl->conv ? op->impl->conv(op, pass) : NULL;
        const double runs = clfcn_graph_runs(&net->graph, layer);
        p.algorithm = conv ? conv->name : NULL;
        p.flop = runs * op->forward_flop;
        p.own_flop = conv ? runs * clfcn_conv_own_flop(conv) : p.flop;
        p.bytes = runs * bytes_of(op);
        p.ms = mean_ms(&net->times, net->times.pass_s[layer][pass]);
    }
    return p;
}

void clfcn_net_layer_get(const struct clfcn_net *net, int i, struct clfcn_net_layer *out)
{
    const struct clfcn_op *op = net->graph.ops[i];
    const struct clfcn_net_times *t = &net->times;
    const double backward_s =
        t->pass_s[i][CLFCN_PASS_INPUT] + t->pass_s[i][CLFCN_PASS_WEIGHT] + t->rest_s[i];
    const bool backward = net->graph.active[i] && net->options.training;
    *out = (struct clfcn_net_layer){
        .name = op->name,
        .kind = op->impl->kind,
        .rest_ms = backward ? mean_ms(t, t->rest_s[i]) : -1,
        .backward_flop = clfcn_graph_runs(&net->graph, i) * op->backward_flop,
        .backward_ms = backward ? mean_ms(t, backward_s) : -1,
    };
    for (int p = 0; p < CLFCN_PASS_COUNT; ++p) {
        out->pass[p] = describe_pass(net, i, (enum clfcn_pass)p);
    }
}
