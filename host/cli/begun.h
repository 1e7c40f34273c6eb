/* begun.h - what the run in a folder was begun with. */
#ifndef CLFCN_CLI_BEGUN_H
#define CLFCN_CLI_BEGUN_H

#include "../train/checkpoint.h"
#include "../train/config.h"

/* A run's configuration, and what its strings point into. Zero-initialised is empty. */
struct cli_begun {
    struct clfcn_train_config config; /* out is the folder */
    struct clfcn_checkpoint_info info;
    json_t *json;
};

/* Read it from the last checkpoint in dir, or, of a run that was killed before its first,
 * from config.json. dir is borrowed. Free with cli_begun_free() in every case.
 * CLFCN_EDATA if there is no run to go on with. */
int cli_begun_read(const char *dir, struct cli_begun *begun, struct clfcn_err *err);
void cli_begun_free(struct cli_begun *begun);

#endif
