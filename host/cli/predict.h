/* predict.h - pictures through a predictor, files in and files out, all at once. */
#ifndef CLFCN_CLI_PREDICT_H
#define CLFCN_CLI_PREDICT_H

#include "cli.h"
#include "results.h"

struct cli_predict {
    struct cli_env *env;
    struct clfcn_predictor *predictor;
    const struct cli_inputs *inputs;
    struct cli_results_how results;
    const volatile bool *stop; /* the predictor's too */
};

/* Write every input's results. An unreadable picture is noted and left out, and
 * CLFCN_EDATA returned when all others are done; everything else that fails ends it.
 * CLFCN_EINTR when stopped. */
int cli_predict_run(const struct cli_predict *job, struct clfcn_err *err);

#endif
