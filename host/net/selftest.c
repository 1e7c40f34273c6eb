#include "selftest.h"

#include "../ops/channel.h"
#include "../ops/verify.h"
#include "../util/log.h"
#include "net_impl.h"
#include "tune.h"
#include <stdio.h>

enum { RUNS = 4 }; /* of each test, so that races show */

static int test_convolutions(const struct clfcn_selftest *t,
                             const struct clfcn_net_selftest *what,
                             struct clfcn_certificate *found, struct clfcn_err *err)
{
    struct clfcn_tuning rows;
    int rc =
        clfcn_tuning_open(t->dev, what->desc, what->options, CLFCN_LOG_DEBUG, &rows, err);
    for (int i = 0; rc == CLFCN_OK && i < rows.count; ++i) {
        rc = clfcn_selftest_shape(t, &rows.rows[i].shape, rows.rows[i].pass, found, err);
    }
    clfcn_tuning_close(&rows);
    return rc;
}

/* A layer without weights, or a batch norm, as it stands in the network. */
static int test_layer(const struct clfcn_selftest *t, struct clfcn_net *net,
                      struct clfcn_op *op, bool backward, struct clfcn_certificate *found,
                      struct clfcn_err *err)
{
    static const struct clfcn_verify_how how = { .data = CLFCN_TRIAL_NORMAL,
                                                 .runs = RUNS };
    const struct clfcn_op_run run = {
        .dev = t->dev, .training = true, .columns = net->columns, .scratch = net->scratch
    };
    struct clfcn_finding one = { .bound = CLFCN_SAMPLES_BOUND };
    struct clfcn_err why;
    char at[64];
    snprintf(at, sizeof(at), "%s, %d channels, %d of %dx%d", op->name, op->x->c, op->x->n,
             op->x->w, op->x->h);
    const int rc = clfcn_verify_op(op, &run, backward, &how, &one, &why);
    return clfcn_selftest_note(t, &one, op->impl->kind, backward ? "backward" : "forward",
                               at, rc, &why, found, err);
}

/* They need the network; one that cannot be made is told, as the rest was tested. */
static int test_layers(const struct clfcn_selftest *t,
                       const struct clfcn_net_selftest *what,
                       struct clfcn_certificate *found, struct clfcn_err *err)
{
    struct clfcn_net *net = NULL;
    struct clfcn_err why;
    int rc = CLFCN_OK;
    if (clfcn_net_create(t->dev, what->desc, what->options, &net, &why) < 0) {
        clfcn_warn("layers are tested on awkward shapes alone: %s", why.msg);
        return CLFCN_OK;
    }
    for (int i = 0; rc == CLFCN_OK && i < net->graph.op_count; ++i) {
        struct clfcn_op *op = net->graph.ops[i];
        const bool known = !op->impl->conv && clfcn_channel_knows(op);
        for (int backward = 0; rc == CLFCN_OK && known && backward < 2; ++backward) {
            if (!backward || op->dx) {
                rc = test_layer(t, net, op, backward, found, err);
            }
        }
    }
    clfcn_net_destroy(&net);
    return rc;
}

int clfcn_net_selftest(struct clfcn_dev *dev, const struct clfcn_net_selftest *what,
                       struct clfcn_certificate *found, struct clfcn_err *err)
{
    const struct clfcn_op_env env = clfcn_net_env(dev, what->options);
    const struct clfcn_selftest t = { .dev = dev,
                                      .impls = clfcn_conv_impls,
                                      .gemm = what->options->gemm,
                                      .columns_limit = env.columns_limit,
                                      .workspace_limit = env.workspace_limit,
                                      .stop = what->stop,
                                      .progress = what->progress,
                                      .user = what->user };
    int rc = clfcn_selftest_run(&t, found, err);
    if (rc == CLFCN_OK && what->desc) {
        rc = test_convolutions(&t, what, found, err);
    }
    if (rc == CLFCN_OK && what->desc) {
        rc = test_layers(&t, what, found, err);
    }
    return rc;
}
