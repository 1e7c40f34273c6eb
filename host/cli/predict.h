/* predict.h - pictures through a network, a batch at a time, the host working while the
 * device does. */
#ifndef CLFCN_CLI_PREDICT_H
#define CLFCN_CLI_PREDICT_H

#include "../net/net.h"
#include "cli.h"
#include "inputs.h"
#include <clfcn/data.h>

struct cli_predict {
    struct cli_env *env;
    struct clfcn_net *net;
    const struct clfcn_classes *classes;
    const struct cli_inputs *inputs;
    enum clfcn_resize resize;
    const char *out;      /* folder */
    bool overlay, logits; /* write these too */
    const volatile bool *stop;
};

/* Write every input's results. An unreadable picture is noted and left out, and
 * CLFCN_EDATA returned when all others are done; everything else that fails ends it.
 * CLFCN_EINTR when stopped. */
int cli_predict_run(const struct cli_predict *job, struct clfcn_err *err);

#endif
