#include "selftest.h"

#include "../ops/verify.h"
#include "net_impl.h"
#include "tune.h"
#include <stdio.h>

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
    const int rc = clfcn_selftest_run(&t, found, err);
    return rc < 0 || !what->desc ? rc : test_convolutions(&t, what, found, err);
}
