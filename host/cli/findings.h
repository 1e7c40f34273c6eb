/* findings.h - what self-tests found, as selftest and info print it. */
#ifndef CLFCN_CLI_FINDINGS_H
#define CLFCN_CLI_FINDINGS_H

#include "../ops/certificate.h"
#include "cli.h"

/* A table, a row each. */
void cli_findings_print(const struct clfcn_certificate *c);
/* A new object. */
json_t *cli_finding_to_json(const struct clfcn_finding *f);
int cli_findings_wrong(const struct clfcn_certificate *c);

/* clfcn info, of a certificate. */
int cli_info_certificate(const struct cli_env *env, const char *path,
                         struct clfcn_err *err);

#endif
