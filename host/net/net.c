#include "net_impl.h"

#include "../comm/comm.h"
#include "../device/prof.h"
#include "../ops/defaults.h"
#include "../util/log.h"
#include "../util/strbuf.h"
#include "certify.h"
#include "estimate.h"
#include "fit.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

struct clfcn_op_env clfcn_net_env(struct clfcn_dev *dev,
                                  const struct clfcn_net_options *options)
{
    const size_t limit = options->workspace_bytes;
    return (struct clfcn_op_env){
        .dev = dev,
        .gemm_kind = options->gemm,
        .workspace_limit = limit ? limit : SIZE_MAX,
        .columns_limit = limit ? limit : clfcn_defaults_for(&dev->info).columns_bytes,
        .training = options->training,
    };
}

static struct clfcn_op_env make_env(struct clfcn_net *net)
{
    struct clfcn_op_env env = clfcn_net_env(net->dev, &net->options);
    env.programs = net->programs;
    env.gemms = &net->gemms;
    env.choices = net->options.choices;
    env.certificate = &net->certificate;
    return env;
}

/* Everything that can be known before memory is taken: ops, shapes, sizes. */
static int plan_net(struct clfcn_net *net, const struct clfcn_parts *parts,
                    struct clfcn_err *err)
{
    int rc = clfcn_net_check_desc(&net->desc, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_programs_create(net->dev, &net->programs, err);
    }
    if (rc == CLFCN_OK) {
        net->gemms = (struct clfcn_gemms){ .dev = net->dev,
                                           .programs = net->programs,
                                           .kind = net->options.gemm };
    }
    const struct clfcn_op_env env = make_env(net);
    if (rc == CLFCN_OK) {
        rc = clfcn_graph_build(&net->graph, &net->desc, net->options.freeze_backbone,
                               parts, &env, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_params_plan(net, err);
    }
    if (rc == CLFCN_OK && env.training) {
        const struct clfcn_loss_how how = { .kind = net->options.loss,
                                            .weights = net->options.class_weights,
                                            .gamma = net->options.focal_gamma };
        rc = clfcn_loss_prepare(&net->loss, &how,
                                &net->graph.values[net->graph.logits].tensor, &env, err);
    }
    if (rc == CLFCN_OK && env.training) {
        rc = clfcn_optim_prepare(&net->optim, net->options.optimizer, &env, err);
    }
    if (rc == CLFCN_OK && net->options.clip_norm > 0.0) {
        rc = clfcn_clip_prepare(&net->clip, &env, err);
    }
    if (rc == CLFCN_OK && parts) {
        rc = clfcn_accumulate_prepare(&net->accumulate, &env, err);
    }
    if (rc < 0) {
        return rc;
    }
    net->scratch_bytes = larger(net->loss.scratch_bytes, clfcn_net_clip_scratch(net));
    for (int i = 0; i < net->graph.op_count; ++i) {
        const struct clfcn_op *op = net->graph.ops[i];
        const size_t align = clfcn_net_align(net->dev);
        net->columns_bytes = larger(net->columns_bytes, op->columns_bytes);
        net->scratch_bytes = larger(net->scratch_bytes, op->scratch_bytes);
        net->state_bytes += (op->state_bytes + align - 1) / align * align;
    }
    return clfcn_net_lay_out(net, SIZE_MAX, err);
}

/* One clear line before anything is allocated. */
static int check_fits(const struct clfcn_net *net, struct clfcn_err *err)
{
    const struct clfcn_device_info *info = &net->dev->info;
    const struct clfcn_net_memory *m = &net->memory;
    const uint64_t taken = atomic_load(&net->dev->bytes);
    const uint64_t limit = net->options.mem_bytes;
    char need[32], has[32];
    if (limit > 0 && m->total > limit) {
        return clfcn_err_set(
            err, CLFCN_EDEVMEM, 0,
            "--mem %s is too little: %s is the least that this network can do with; "
            "lower --batch (now %d) or --size (now %dx%d)%s",
            clfcn_format_bytes(limit, has, sizeof(has)),
            clfcn_format_bytes(m->total, need, sizeof(need)), net->desc.batch,
            net->desc.width, net->desc.height,
            net->options.clip_norm > 0.0
                ? ", or leave out --clip-grad, which keeps all gradients"
                : "");
    }
    if (m->total + taken > info->global_bytes) {
        clfcn_format_bytes(m->total + taken, need, sizeof(need));
        clfcn_format_bytes(info->global_bytes, has, sizeof(has));
    } else if (m->largest_buffer > info->max_alloc_bytes) {
        clfcn_format_bytes(m->largest_buffer, need, sizeof(need));
        clfcn_format_bytes(info->max_alloc_bytes, has, sizeof(has));
    } else {
        return CLFCN_OK;
    }
    return clfcn_err_set(
        err, CLFCN_EDEVMEM, 0,
        "%s%s of device memory are needed where '%s' has %s: lower --batch (now "
        "%d) or --size (now %dx%d), or make it fit with --mem %" PRIu64 "M",
        need, m->total + taken > info->global_bytes ? "" : " in one buffer", info->name,
        has, net->desc.batch, net->desc.width, net->desc.height,
        (info->global_bytes - taken) >> 20);
}

static int build_kernels(struct clfcn_net *net, struct clfcn_err *err)
{
    const struct clfcn_op_env env = make_env(net);
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < net->graph.op_count; ++i) {
        struct clfcn_op *op = net->graph.ops[i];
        const bool needed = !op->absorbed || op->impl->derive;
        rc = needed ? op->impl->prepare(op, &env, err) : CLFCN_OK;
        if (rc < 0) {
            clfcn_err_note(err, "layer '%s'", op->name);
        }
    }
    return rc < 0 ? rc : clfcn_programs_build(net->programs, err);
}

int clfcn_net_plan(struct clfcn_dev *dev, const struct clfcn_net_desc *desc,
                   const struct clfcn_net_options *options,
                   const struct clfcn_parts *parts, enum clfcn_log_level level,
                   struct clfcn_net **out, struct clfcn_err *err)
{
    struct clfcn_net *net = calloc(1, sizeof(*net));
    *out = net;
    if (!net) {
        return clfcn_err_nomem(err);
    }
    net->dev = dev;
    net->desc = *desc;
    net->options = *options;
    if (!options->choices) {
        clfcn_choices_load(dev, level, &net->stored);
        net->options.choices = &net->stored;
    }
    clfcn_certificate_load(dev, &net->certificate);
    const int rc = plan_net(net, parts, err);
    return rc < 0 ? rc : clfcn_net_check_faults(net, err);
}

/* Of kernels that are right. again: one was found not to be; *out stays NULL. */
static int create_net(struct clfcn_dev *dev, const struct clfcn_net_desc *desc,
                      const struct clfcn_net_options *options, bool *again,
                      struct clfcn_net **out, struct clfcn_err *err)
{
    *again = false;
    int rc = clfcn_fit_net(dev, desc, options, CLFCN_LOG_WARN, out, err);
    if (rc == CLFCN_OK) {
        rc = check_fits(*out, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_params_allocate(*out, err);
    }
    if (rc == CLFCN_OK) {
        rc = build_kernels(*out, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_net_certify(*out, again, err);
    }
    if (rc == CLFCN_OK && !*again) {
        rc = clfcn_memory_allocate(*out, err);
    }
    if (rc < 0 || *again) {
        clfcn_net_destroy(out);
    }
    return rc;
}

int clfcn_net_create(struct clfcn_dev *dev, const struct clfcn_net_desc *desc,
                     const struct clfcn_net_options *options, struct clfcn_net **out,
                     struct clfcn_err *err)
{
    bool again;
    int rc;
    do {
        rc = create_net(dev, desc, options, &again, out, err);
    } while (again && rc == CLFCN_OK);
    if (options->training && options->comm) {
        rc = clfcn_comm_agree(options->comm, rc, err);
        rc = rc < 0 ? rc : clfcn_exchange_create(*out, &(*out)->exchange, err);
    }
    if (rc < 0) {
        clfcn_net_destroy(out);
        return rc;
    }
    clfcn_net_tell_replaced(*out);
    return CLFCN_OK;
}

void clfcn_net_destroy(struct clfcn_net **out)
{
    struct clfcn_net *net = *out;
    *out = NULL;
    if (!net) {
        return;
    }
    struct clfcn_dev *dev = net->dev;
    clFinish(dev->transfer);
    clFinish(dev->compute);
    clfcn_prof_collect(dev);
    clfcn_exchange_destroy(&net->exchange);
    clfcn_memory_release(net);
    clfcn_params_release(net);
    clfcn_programs_destroy(&net->programs); /* releases kernels inside the next two */
    clfcn_gemms_destroy(&net->gemms);
    clfcn_graph_finish(&net->graph);
    clfcn_choices_free(&net->stored);
    clfcn_certificate_free(&net->certificate);
    free(net);
}

const struct clfcn_net_desc *clfcn_net_get_desc(const struct clfcn_net *net)
{
    return &net->desc;
}

static double flop_of(const struct clfcn_net *net)
{
    double flop = 0.0;
    for (int i = 0; i < net->graph.op_count; ++i) {
        const struct clfcn_op *op = net->graph.ops[i];
        const bool backward = net->options.training && net->graph.active[i];
        const int passes =
            1 + (backward && op->dx) + (backward && clfcn_graph_learns(&net->graph, i));
        flop += clfcn_graph_runs(&net->graph, i) * passes * op->forward_flop;
    }
    return flop;
}

void clfcn_net_get_forecast(const struct clfcn_net *net, struct clfcn_net_forecast *out)
{
    *out = (struct clfcn_net_forecast){ .memory = net->memory, .flop = flop_of(net) };
    out->ms = clfcn_estimate_run(net, &out->measured);
    out->usual_ms = net->usual_ms > 0 ? net->usual_ms : out->ms;
    out->thrift = net->usual_ms > 0 ? clfcn_thrift_describe(net) : NULL;
}

int clfcn_net_forecast(struct clfcn_dev *dev, const struct clfcn_net_desc *desc,
                       const struct clfcn_net_options *options,
                       struct clfcn_net_forecast *out, struct clfcn_err *err)
{
    struct clfcn_net *net = NULL;
    const int rc = clfcn_fit_net(dev, desc, options, CLFCN_LOG_DEBUG, &net, err);
    *out = (struct clfcn_net_forecast){ 0 };
    if (rc == CLFCN_OK) {
        clfcn_net_get_forecast(net, out);
    }
    clfcn_net_destroy(&net);
    return rc;
}

void clfcn_net_get_memory(const struct clfcn_net *net, struct clfcn_net_memory *out)
{
    *out = net->memory;
}

bool clfcn_net_is_tuned(const struct clfcn_net *net)
{
    return net->options.choices->count > 0;
}

json_t *clfcn_net_tuning_to_json(const struct clfcn_net *net)
{
    return clfcn_choices_to_json(net->options.choices, net->dev);
}
