/* supervise.h - a run in a process of its own, begun again when its device fails.
 *
 * A driver that has lost its device, crashed or hangs cannot be trusted any more, nor the
 * process that it is part of. */
#ifndef CLFCN_CLI_SUPERVISE_H
#define CLFCN_CLI_SUPERVISE_H

#include "cli.h"

struct cli_supervisor;

/* What the process does: a run, or on with it. restarted: why the process before this one
 * ended, NULL for the first. */
typedef int (*cli_work_fn)(void *user, const char *restarted, struct clfcn_err *err);

/* Do work in a child process, and again in another one while its device fails, at most
 * `restarts` times; 0: in this process, once. Returns twice: in the parent with what the
 * last child came to, and in each child with what it has done, env->told being set. To be
 * called before there are threads or devices. */
int cli_supervise(struct cli_env *env, int restarts, cli_work_fn work, void *user,
                  struct clfcn_err *err);

/* End this process because its device hangs, as message says: by the parent's telling, or
 * where there is none with a line of its own, to which advice is added. For any thread;
 * does not return. */
void cli_supervise_hung(struct cli_env *env, const char *message, const char *advice);

#endif
