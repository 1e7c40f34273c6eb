/* runlog.h - log.jsonl: one JSON object a line, each line written whole. */
#ifndef CLFCN_TRAIN_RUNLOG_H
#define CLFCN_TRAIN_RUNLOG_H

#include "../util/err.h"
#include <clfcn/train.h>
#include <jansson.h>

struct clfcn_runlog;

/* Open dir/log.jsonl, cut to keep_bytes (0 starts it anew). callbacks copied, may be
 * NULL. */
int clfcn_runlog_open(const char *dir, uint64_t keep_bytes,
                      const struct clfcn_train_callbacks *callbacks,
                      struct clfcn_runlog **out, struct clfcn_err *err);
void clfcn_runlog_close(struct clfcn_runlog **log);
/* Cut off what a killed process may have left of a last line, of a run that is complete and
 * does not go on. */
int clfcn_runlog_mend(const char *dir, struct clfcn_err *err);
/* In all that follows log may be NULL, of a rank that writes none: nothing is done. */

/* Append an object, to which "event" is added, and hand it to the event callback. Steals
 * the reference to object; NULL counts as exhausted memory. Non-finite numbers must be
 * json_null(). */
int clfcn_runlog_event(struct clfcn_runlog *log, const char *event, json_t *object,
                       struct clfcn_err *err);
/* Its length so far. */
uint64_t clfcn_runlog_bytes(const struct clfcn_runlog *log);
/* Bring it to the disk; from any thread, also while another one appends. */
int clfcn_runlog_sync(struct clfcn_runlog *log, struct clfcn_err *err);

/* A JSON number, or null where x is not finite. */
json_t *clfcn_json_number(double x);
/* A JSON array; a new reference, or NULL. */
json_t *clfcn_json_integers(const int64_t *values, int count);

#endif
