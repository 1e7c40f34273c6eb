/* run_net.c - the network of a run, with the algorithms it was begun with. */
#include "../net/tune.h"
#include "../util/log.h"
#include "../util/strbuf.h"
#include "run.h"

#include <stdio.h>
#include <stdlib.h>

/* What --mem led to. */
static void say_thrift(const struct clfcn_run *run)
{
    struct clfcn_net_forecast f;
    char takes[32];
    clfcn_net_get_forecast(run->net, &f);
    if (f.thrift) {
        clfcn_info("%s of device memory, with %s; a step takes about %.2f times as long",
                   clfcn_format_bytes(f.memory.total, takes, sizeof(takes)), f.thrift,
                   f.ms / f.usual_ms);
    }
    free(f.thrift);
}

/* Other algorithms round otherwise: so a run keeps those it was begun with, whatever has
 * been tuned since. */
static void choose_algorithms(struct clfcn_run *run, const struct clfcn_net_desc *desc,
                              const struct clfcn_net_options *options)
{
    const json_t *begun = json_object_get(run->info.json, "tuning");
    struct clfcn_err err;
    if (!run->resumed) {
        clfcn_tune_first(run->dev, desc, options, run->callbacks.stop);
    } else if (begun != NULL) {
        if (clfcn_choices_from_json(begun, run->dev, &run->choices, &err) == CLFCN_OK) {
            return;
        }
        clfcn_warn("the algorithms that this run was begun with are of no use here (%s): "
                   "it goes on with others, which round otherwise",
                   err.msg);
    }
    clfcn_choices_load(run->dev, CLFCN_LOG_WARN, &run->choices);
}

int clfcn_run_open_net(struct clfcn_run *run, struct clfcn_err *err)
{
    const struct clfcn_train_config *config = &run->config;
    const struct clfcn_net_desc desc = {
        .arch = config->arch,
        .backbone = config->backbone,
        .classes = clfcn_dataset_classes(run->set),
        .width = config->width,
        .height = config->height,
        .batch = config->batch,
    };
    const struct clfcn_loss_how loss = clfcn_checkpoint_loss(config, &run->state);
    struct clfcn_net_options options = {
        .training = true,
        .loss = loss.kind,
        .class_weights = loss.weights,
        .focal_gamma = loss.gamma,
        .clip_norm = config->clip_grad,
        .optimizer = config->optimizer,
        .freeze_backbone = config->freeze_backbone,
        .gemm = config->gemm,
        .workspace_bytes = config->workspace_bytes,
        .mem_bytes = config->mem_bytes,
    };
    choose_algorithms(run, &desc, &options);
    options.choices = &run->choices;
    int rc = clfcn_net_create(run->dev, &desc, &options, &run->net, err);
    if (rc < 0) {
        return rc;
    }
    say_thrift(run);
    if (run->resumed) {
        char name[512];
        snprintf(name, sizeof(name), "%s/checkpoints/last.safetensors", config->out);
        rc = clfcn_net_read_file(run->net, &run->last, name, true, err);
        clfcn_weights_close(&run->last);
        return rc;
    }
    rc = clfcn_net_init(run->net, config->seed, err);
    if (rc == CLFCN_OK && config->init != NULL) {
        rc = clfcn_net_load(run->net, config->init, config->partial, err);
    }
    return rc;
}
