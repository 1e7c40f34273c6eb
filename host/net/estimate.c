#include "estimate.h"

#include "../ops/conv.h"
#include "fit.h"
#include <string.h>

/* Direct-convolution FLOPs a second over the device's peak, as seen on a CPU, and guessed
 * for GPUs. The first whose words the algorithm's name holds. */
static const struct {
    const char *begin, *end;
    double cpu, gpu;
} shares[] = {
    { "winograd4-batched", "", 0.8, 0.8 },
    { "winograd2-batched", "", 0.6, 0.6 },
    { "winograd4", "", 2.0, 2.0 },
    { "winograd2", "", 0.8, 0.8 },
    { "tiled", "", 0.5, 0.5 },
    { "implicit", "", 0.7, 0.7 },
    { "", "+clblast", 0.2, 0.4 },
    { "", "+native", 0.6, 0.3 },
    { "", "", 0.2, 0.3 },
};
/* FLOPs to a byte of memory traffic that devices have in balance. */
static const double FLOP_PER_BYTE = 8.0;
static const double LAUNCH_MS = 0.02;
static const double TRANSFER_GBPS = 8.0; /* between host and device */

/* GFLOP/s: what was measured, else what units, clock and usual widths come to. */
static double peak_gflops(const struct clfcn_net *net)
{
    const struct clfcn_device_info *info = &net->dev->info;
    const double mhz = info->clock_mhz > 0 ? info->clock_mhz : 1000;
    double lanes = 16; /* of an execution unit */
    if (net->options.choices && net->options.choices->peak_gflops > 0) {
        return net->options.choices->peak_gflops;
    }
    if (net->dev->gflops > 0) {
        return net->dev->gflops;
    }
    if (info->device_class == CLFCN_CLASS_CPU) {
        lanes = info->vector_width;
    } else if (info->device_class == CLFCN_CLASS_NVIDIA) {
        lanes = 128;
    } else if (info->device_class == CLFCN_CLASS_AMD) {
        lanes = 64;
    }
    return 2e-3 * mhz * lanes * info->compute_units;
}

static double share_of(const char *algorithm, bool cpu)
{
    int i = 0;
    while (strncmp(algorithm, shares[i].begin, strlen(shares[i].begin)) != 0 ||
           !strstr(algorithm, shares[i].end)) {
        ++i;
    }
    return cpu ? shares[i].cpu : shares[i].gpu;
}

static double conv_ms(const struct clfcn_net *net, const struct clfcn_conv *cv,
                      bool *measured)
{
    const struct clfcn_choice *choice =
        clfcn_choices_find(net->options.choices, &cv->shape, cv->pass, net->options.gemm);
    if (choice && strcmp(choice->algorithm, cv->name) == 0) {
        return choice->ms;
    }
    *measured = false;
    return 1e-6 * clfcn_conv_flop(&cv->shape) /
           (share_of(cv->name, net->dev->info.is_cpu) * peak_gflops(net));
}

static double bytes_ms(const struct clfcn_net *net, double bytes)
{
    return LAUNCH_MS + 1e-6 * bytes * FLOP_PER_BYTE / peak_gflops(net);
}

/* To move so many tensors of the sizes of an op's input and output; of the whole batch,
 * of which it takes a part or to which it gives one, that part. */
static double move_ms(const struct clfcn_net *net, const struct clfcn_op *op, int times)
{
    double x = (double)clfcn_tensor_count(op->x), y = (double)clfcn_tensor_count(op->y);
    if (op->x->n != op->y->n) {
        x = y = x < y ? x : y;
    }
    return bytes_ms(net, sizeof(float) * (double)times * (x + y));
}

/* To add the gradients of one part to those of the parts before. */
static double accumulate_ms(const struct clfcn_net *net, int i)
{
    const struct clfcn_op *op = net->graph.ops[i];
    double ms = 0.0;
    for (int j = 0; j < op->param_count && clfcn_graph_learns(&net->graph, i); ++j) {
        ms += bytes_ms(net, 3.0 * sizeof(float) * (double)op->params[j].count);
    }
    return ms;
}

static double pass_ms(const struct clfcn_net *net, const struct clfcn_op *op,
                      enum clfcn_pass pass, bool *measured)
{
    const struct clfcn_conv *cv = op->impl->conv ? op->impl->conv(op, pass) : NULL;
    return cv ? conv_ms(net, cv, measured) : move_ms(net, op, 1);
}

static double backward_ms(const struct clfcn_net *net, int i, bool *measured)
{
    const struct clfcn_op *op = net->graph.ops[i];
    if (!op->impl->conv) {
        return move_ms(net, op, 2);
    }
    double ms = move_ms(net, op, 1); /* ReLU and bias */
    if (op->dx) {
        ms += pass_ms(net, op, CLFCN_PASS_INPUT, measured);
    }
    if (clfcn_graph_learns(&net->graph, i)) {
        ms += pass_ms(net, op, CLFCN_PASS_WEIGHT, measured);
    }
    const int runs = clfcn_graph_runs(&net->graph, i);
    return ms + accumulate_ms(net, i) * (runs - 1) / runs;
}

/* Weights, gradients and states read, all but gradients written. */
static double update_ms(const struct clfcn_net *net)
{
    const double bytes = (double)net->params.trained_end *
                         (3 + 2 * clfcn_optim_states(net->options.optimizer));
    return 1e-6 * bytes * FLOP_PER_BYTE / peak_gflops(net);
}

/* Of updates one by one. */
static double launches_ms(const struct clfcn_net *net, enum clfcn_level level)
{
    int launches = 0;
    for (int i = 0; level >= CLFCN_UPDATE_EACH && i < net->graph.op_count; ++i) {
        launches += clfcn_graph_learns(&net->graph, i) ? 2 : 0;
    }
    return launches * LAUNCH_MS;
}

static double transfer_ms(double bytes)
{
    return 1e-6 * bytes / TRANSFER_GBPS;
}

/* States to the device and back; weights there for the forward pass, there and back for
 * the backward pass. */
double clfcn_estimate_level(const struct clfcn_net *net, enum clfcn_level level)
{
    const struct clfcn_params *ps = &net->params;
    double bytes = 0.0;
    if (level >= CLFCN_HOST_STATES) {
        bytes += 2.0 * ps->state_count * (double)ps->trained_end;
    }
    if (level >= CLFCN_HOST_WEIGHTS) {
        bytes += (double)ps->learned_end + 2.0 * (double)ps->trained_end;
    }
    return launches_ms(net, level) + transfer_ms(bytes);
}

/* To the device and back, as the network was laid out. */
static double moved_bytes(const struct clfcn_net *net)
{
    double bytes = 0.0;
    for (int i = 0; i < net->plan.item_count; ++i) {
        const struct clfcn_plan_item *item = &net->plan.items[i];
        if (item->home) {
            const bool parts = clfcn_tape_loop(&net->tape, item->first);
            const int times = (parts ? net->graph.parts.count : 1) + item->changes;
            bytes += times * (double)item->bytes;
        }
    }
    return bytes;
}

double clfcn_estimate_forward(const struct clfcn_net *net, int i)
{
    bool measured;
    return pass_ms(net, net->graph.ops[i], CLFCN_PASS_FORWARD, &measured);
}

/* Of a step besides its passes. */
static double rest_ms(const struct clfcn_net *net)
{
    return update_ms(net) + launches_ms(net, net->thrift.level) +
           transfer_ms(moved_bytes(net));
}

double clfcn_estimate_run(const struct clfcn_net *net, bool *measured)
{
    bool all = true;
    double ms = 0.0;
    for (int t = 0; t < net->tape.count; ++t) {
        const struct clfcn_act *act = &net->tape.acts[t];
        const int times = clfcn_tape_loop(&net->tape, t) ? net->graph.parts.count : 1;
        if (act->kind == CLFCN_ACT_FORWARD) {
            ms += times * pass_ms(net, net->graph.ops[act->op], CLFCN_PASS_FORWARD, &all);
        } else if (act->kind == CLFCN_ACT_BACKWARD) {
            ms += times * backward_ms(net, act->op, &all);
        }
    }
    if (net->options.training) {
        ms += rest_ms(net);
    }
    if (measured) {
        *measured = all;
    }
    return ms;
}

static double act_ms(const struct clfcn_net *net, int t)
{
    bool measured;
    const struct clfcn_act *act = &net->tape.acts[t];
    return act->kind == CLFCN_ACT_FORWARD    ? clfcn_estimate_forward(net, act->op)
           : act->kind == CLFCN_ACT_BACKWARD ? backward_ms(net, act->op, &measured)
                                             : 0.0;
}

/* What op i's backward pass completes. */
static struct clfcn_step_layer layer_of(const struct clfcn_net *net, int i)
{
    const struct clfcn_op *op = net->graph.ops[i];
    struct clfcn_step_layer layer = { 0 };
    for (int j = 0; j < op->param_count && clfcn_graph_learns(&net->graph, i); ++j) {
        layer.bytes +=
            op->params[j].learned ? sizeof(float) * (double)op->params[j].count : 0.0;
    }
    if (strcmp(op->impl->kind, "batchnorm") == 0) {
        layer.norm_channels = op->y->c;
    }
    return layer;
}

_Static_assert((int)CLFCN_STEP_LAYERS >= (int)CLFCN_MAX_OPS, "room for every op");

void clfcn_estimate_step(const struct clfcn_net *net, struct clfcn_step_times *out)
{
    const struct clfcn_tape *tape = &net->tape;
    const struct clfcn_loop *loop = &tape->backward_parts;
    double ms = 0.0; /* since the last gradient */
    *out = (struct clfcn_step_times){ .each = net->thrift.level >= CLFCN_UPDATE_EACH,
                                      .rest_ms = rest_ms(net) };
    for (int t = 0; t < tape->forward_count; ++t) {
        const int times = clfcn_tape_loop(tape, t) ? net->graph.parts.count : 1;
        out->forward_ms += times * act_ms(net, t);
    }
    for (int t = tape->forward_count; t < tape->count; ++t) {
        /* All parts of the batch but the last complete nothing. */
        for (int u = loop->begin; t == loop->begin && u < loop->end; ++u) {
            ms += (net->graph.parts.count - 1) * act_ms(net, u);
        }
        ms += act_ms(net, t);
        if (tape->acts[t].kind == CLFCN_ACT_BACKWARD) {
            struct clfcn_step_layer *layer = &out->layers[out->layer_count++];
            *layer = layer_of(net, tape->acts[t].op);
            layer->ms = ms;
            ms = 0.0;
        }
    }
}

int clfcn_step_times_forecast(struct clfcn_dev *dev, const struct clfcn_net_desc *desc,
                              const struct clfcn_net_options *options,
                              struct clfcn_step_times *out,
                              struct clfcn_net_memory *memory, struct clfcn_err *err)
{
    struct clfcn_net *net = NULL;
    const int rc = clfcn_fit_net(dev, desc, options, CLFCN_LOG_DEBUG, &net, err);
    *out = (struct clfcn_step_times){ 0 };
    if (rc == CLFCN_OK) {
        clfcn_estimate_step(net, out);
        if (memory) {
            clfcn_net_get_memory(net, memory);
        }
    }
    clfcn_net_destroy(&net);
    return rc;
}
