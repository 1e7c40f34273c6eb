/* measured.h - a training step that was measured earlier: by bench, or in a run. */
#ifndef CLFCN_CLI_MEASURED_H
#define CLFCN_CLI_MEASURED_H

#include "../net/net.h"
#include "options.h"

struct cli_measured {
    struct clfcn_net_desc desc;
    enum clfcn_loss loss;
    enum clfcn_optimizer optimizer;
    bool freeze_backbone;
    double ms;             /* of a step of the whole batch on one device: the median */
    double backward_share; /* of its forward and backward pass; NaN: not known */
};

/* Read what bench --json printed of one network, or the log of the run in a folder. Also
 * a failure to open it is CLFCN_EDATA. */
int cli_measured_read(const char *path, struct cli_measured *out, struct clfcn_err *err);

/* Where options do not describe the network, let it be the one that was measured at path.
 * CLFCN_EINVAL if they describe another; a batch of another size is the same network. */
int cli_measured_adopt(const struct cli_measured *measured, const char *path,
                       struct cli_option *options, struct clfcn_err *err);

#endif
