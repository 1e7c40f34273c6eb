/* data_view.h - what `clfcn data` found out, as text and as JSON. */
#ifndef CLFCN_CLI_DATA_VIEW_H
#define CLFCN_CLI_DATA_VIEW_H

#include "../data/survey.h"
#include "cli.h"

/* Tables on stdout. name is the set's, as it was given. */
void cli_survey_print(const struct clfcn_survey *s, const char *name);
/* One line of JSON on stdout. */
int cli_survey_print_json(const struct clfcn_survey *s, const char *name,
                          struct clfcn_err *err);

#endif
