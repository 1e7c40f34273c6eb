/* report.h - a run folder as one self-contained HTML page. */
#ifndef CLFCN_REPORT_REPORT_H
#define CLFCN_REPORT_REPORT_H

#include "../util/err.h"

/* Read dir/config.json, dir/log.jsonl and dir/samples/, write path (NULL:
 * dir/report.html) atomically. Works during training. A damaged last line of the log is
 * ignored; CLFCN_EDATA if the folder is no run. */
int clfcn_report_write(const char *dir, const char *path, struct clfcn_err *err);

#endif
