/* job.h - a command that several ranks of an MPI job run together. */
#ifndef CLFCN_CLI_JOB_H
#define CLFCN_CLI_JOB_H

#include "cli.h"

/* Join the job that this process was started in: env->comm. From here on ranks but the
 * first print nothing, unless --verbose asks for it. To be called before anything else.
 */
int cli_job_open(struct cli_env *env, struct clfcn_err *err);

/* Whether this process speaks and writes for all. */
bool cli_job_leads(const struct cli_env *env);

/* CLFCN_EINVAL unless all ranks were given the same value of an option, NULL for none:
 * for those on which it depends what a command does next. Collective. */
int cli_job_same(const struct cli_env *env, const char *option, const char *value,
                 struct clfcn_err *err);

/* Open this rank's device or its part of one; rc is what the rank's way here came to.
 * Collective: all ranks open one, or none does. */
int cli_job_device_open(struct cli_env *env, int rc, struct clfcn_dev **dev,
                        struct clfcn_err *err);

/* Leave the job, rc being what the command came to, and err why. Returns what is left of
 * it for this process: an error that all ranks have is told by the first alone. */
int cli_job_close(struct cli_env *env, int rc, const struct clfcn_err *err);

#endif
