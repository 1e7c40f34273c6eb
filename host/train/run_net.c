/* run_net.c - the network of a run, with the algorithms it was begun with. */
#include "../comm/comm.h"
#include "../net/tune.h"
#include "../net/unite.h"
#include "../util/log.h"
#include "../util/strbuf.h"
#include "../util/sys.h"
#include "run.h"

#include <math.h>
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
 * been tuned since. Each rank has its own, for its share of a batch on its device. */
static void choose_algorithms(struct clfcn_run *run, const struct clfcn_net_desc *desc,
                              const struct clfcn_net_options *options)
{
    const json_t *begun = clfcn_run_begun_tuning(run);
    struct clfcn_err err;
    if (!run->resumed || (begun == NULL && run->config.comm != NULL)) {
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

static struct clfcn_net_desc describe(const struct clfcn_run *run, int batch)
{
    return (struct clfcn_net_desc){
        .arch = run->config.arch,
        .backbone = run->config.backbone,
        .classes = clfcn_dataset_classes(run->set),
        .width = run->config.width,
        .height = run->config.height,
        .batch = batch,
    };
}

/* loss is borrowed for as long as they are used. */
static struct clfcn_net_options choose_options(const struct clfcn_run *run,
                                               const struct clfcn_loss_how *loss)
{
    const struct clfcn_train_config *config = &run->config;
    return (struct clfcn_net_options){
        .training = true,
        .loss = loss->kind,
        .class_weights = loss->weights,
        .focal_gamma = loss->gamma,
        .clip_norm = config->clip_grad,
        .optimizer = config->optimizer,
        .freeze_backbone = config->freeze_backbone,
        .gemm = config->gemm,
        .workspace_bytes = config->workspace_bytes,
        .mem_bytes = config->mem_bytes,
    };
}

/* The fastest of a few steps, after one in which kernels are compiled and memory is
 * touched for the first time: what else the machine does only makes them slower. */
static int time_steps(struct clfcn_net *net, const struct clfcn_net_input *input,
                      double *seconds, struct clfcn_err *err)
{
    enum { STEPS = 3 };
    const struct clfcn_net_hyper hyper = { .lr = 1e-6, .update = 1, .eps = 1e-8 };
    double fastest = INFINITY;
    int rc = clfcn_net_init(net, 0, err);
    for (int i = -1; rc == CLFCN_OK && i < STEPS; ++i) {
        const double begin = clfcn_clock();
        rc = clfcn_net_upload(net, 0, input, err);
        if (rc == CLFCN_OK) {
            rc = clfcn_net_step(net, 0, &hyper, err);
        }
        if (rc == CLFCN_OK) {
            rc = clfcn_net_wait(net, 0, NULL, err);
        }
        if (i >= 0) {
            fastest = fmin(fastest, clfcn_clock() - begin);
        }
    }
    *seconds = rc == CLFCN_OK ? fastest : 0;
    return rc;
}

int clfcn_run_measure(struct clfcn_run *run, int batch, double *images_per_s,
                      struct clfcn_err *err)
{
    const struct clfcn_loss_how loss = clfcn_checkpoint_loss(&run->config, &run->state);
    const struct clfcn_net_desc desc = describe(run, batch);
    const struct clfcn_net_options options = choose_options(run, &loss);
    const size_t pixels = (size_t)batch * (size_t)desc.width * (size_t)desc.height;
    float *images = calloc(3 * pixels, sizeof(*images));
    uint8_t *labels = calloc(pixels, 1);
    struct clfcn_net *net = NULL;
    double seconds = 0;
    int rc = images != NULL && labels != NULL
                 ? clfcn_net_create(run->dev, &desc, &options, &net, err)
                 : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        const struct clfcn_net_input input = { images, labels, (int64_t)pixels };
        rc = time_steps(net, &input, &seconds, err);
    }
    *images_per_s = seconds > 0 ? batch / seconds : 0;
    clfcn_net_destroy(&net);
    free(images);
    free(labels);
    return rc;
}

/* Rank 0's weights, or those of a process alone; the others receive them. */
static int load(struct clfcn_run *run, struct clfcn_err *err)
{
    const struct clfcn_train_config *config = &run->config;
    if (run->resumed) {
        char name[512];
        snprintf(name, sizeof(name), "%s/checkpoints/last.safetensors", config->out);
        return clfcn_net_read_file(run->net, &run->last, name, true, err);
    }
    return config->init != NULL
               ? clfcn_net_load(run->net, config->init, config->partial, err)
               : CLFCN_OK;
}

int clfcn_run_open_net(struct clfcn_run *run, struct clfcn_err *err)
{
    const struct clfcn_loss_how loss = clfcn_checkpoint_loss(&run->config, &run->state);
    const struct clfcn_net_desc desc = describe(run, clfcn_run_share(run));
    struct clfcn_net_options options = choose_options(run, &loss);
    choose_algorithms(run, &desc, &options);
    options.choices = &run->choices;
    options.comm = run->config.comm;
    options.sync_batchnorm = run->ranks.sync_batchnorm;
    options.wire = run->config.exchange;
    int rc = clfcn_net_create(run->dev, &desc, &options, &run->net, err);
    if (rc == CLFCN_OK) {
        say_thrift(run);
        rc = run->resumed ? CLFCN_OK : clfcn_net_init(run->net, run->config.seed, err);
    }
    if (rc == CLFCN_OK && clfcn_comm_rank(run->config.comm) == 0) {
        rc = load(run, err);
    }
    clfcn_weights_close(&run->last);
    rc = clfcn_comm_agree(run->config.comm, rc, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_run_gather_tunings(run, err);
    }
    return rc < 0 ? rc : clfcn_net_unite(run->net, NULL, err);
}
