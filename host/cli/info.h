/* info.h - what `clfcn info` shows of files other than weights. */
#ifndef CLFCN_CLI_INFO_H
#define CLFCN_CLI_INFO_H

#include "cli.h"

/* Whether a file begins as what bench --json prints does; a certificate does not. */
bool cli_info_is_bench(const char *path);

/* Show a file that bench --json printed: each run, and its slowest layers. CLFCN_EDATA
 * names what is wrong with it. (info_bench.c) */
int cli_info_bench(const struct cli_env *env, const char *path, struct clfcn_err *err);

/* Show how far the run in a folder is. CLFCN_EDATA if it holds none. (info_run.c) */
int cli_info_run(const struct cli_env *env, const char *dir, struct clfcn_err *err);

#endif
