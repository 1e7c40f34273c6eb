/* profile.h - --profile FILE: a timeline of what a command does, on host and device. */
#ifndef CLFCN_CLI_PROFILE_H
#define CLFCN_CLI_PROFILE_H

#include "cli.h"

#define CLI_OPT_PROFILE(env) \
    { .name = "profile", .kind = CLI_STRING, .target = &(env)->profile.path, \
      .arg = "FILE", .resume = true, \
      .help = "write a timeline of kernels, transfers and host work, to be opened in " \
              "ui.perfetto.dev" }

/* Before a device is opened: whether the file can be written. Without --profile this and
 * the next two do nothing. CLFCN_EINVAL. */
int cli_profile_check(struct cli_env *env, struct clfcn_err *err);

/* Begin. What happened is lost if the process dies before cli_profile_finish(). */
int cli_profile_start(struct cli_env *env, struct clfcn_dev *dev, struct clfcn_err *err);

/* Once all is done, or has failed (rc), and the device is closed: write the file. Returns
 * rc, or if that is no error, why writing failed. */
int cli_profile_finish(struct cli_env *env, int rc, struct clfcn_err *err);

#endif
