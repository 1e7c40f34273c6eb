/* runlog.c - appending events to log.jsonl. */
#include "runlog.h"
#include "../util/file.h"
#include "../util/log.h"
#include "../util/path.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct clfcn_runlog {
    FILE *f;
    char *path;
    uint64_t bytes;
    struct clfcn_train_callbacks callbacks;
};

json_t *clfcn_json_number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *clfcn_json_integers(const int64_t *values, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; ++i) {
        json_array_append_new(list, json_integer(values[i]));
    }
    return list;
}

/* Cut the file to keep bytes, or make an empty one. *bytes receives what it then has. */
static int cut(const char *path, uint64_t keep, uint64_t *bytes, struct clfcn_err *err)
{
    FILE *f = fopen(path, "ab");
    if (f == NULL) {
        return clfcn_err_errno(err, errno, "cannot write %s", path);
    }
    fseek(f, 0, SEEK_END);
    const long size = ftell(f);
    fclose(f);
    if (size < 0) {
        return clfcn_err_errno(err, errno, "cannot read %s", path);
    }
    *bytes = keep;
    if ((uint64_t)size < keep) {
        clfcn_warn("%s: shorter than when the checkpoint was saved: some lines are lost",
                   path);
        *bytes = (uint64_t)size;
    }
    return clfcn_file_truncate(path, (size_t)*bytes, err);
}

int clfcn_runlog_open(const char *dir, uint64_t keep_bytes,
                      const struct clfcn_train_callbacks *callbacks,
                      struct clfcn_runlog **out, struct clfcn_err *err)
{
    *out = NULL;
    struct clfcn_runlog *log = calloc(1, sizeof(*log));
    if (log == NULL) {
        return clfcn_err_nomem(err);
    }
    if (callbacks != NULL) {
        log->callbacks = *callbacks;
    }
    log->path = clfcn_path_join(dir, "log.jsonl");
    int rc = log->path != NULL ? cut(log->path, keep_bytes, &log->bytes, err)
                               : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        log->f = fopen(log->path, "ab");
        if (log->f == NULL) {
            rc = clfcn_err_errno(err, errno, "cannot write %s", log->path);
        }
    }
    if (rc < 0) {
        clfcn_runlog_close(&log);
    }
    *out = log;
    return rc;
}

void clfcn_runlog_close(struct clfcn_runlog **log)
{
    if (log == NULL || *log == NULL) {
        return;
    }
    if ((*log)->f != NULL) {
        fclose((*log)->f); /* every line was flushed as it was written */
    }
    free((*log)->path);
    free(*log);
    *log = NULL;
}

/* One line of text for the event, "event" first; NULL if memory is exhausted. Free with
 * free(). */
static char *to_line(const char *event, json_t *object)
{
    json_t *line = json_pack("{s:s}", "event", event);
    char *text = NULL;
    if (line != NULL && object != NULL && json_object_update(line, object) == 0) {
        /* 12 digits tell any two floats apart and print 0.1 as 0.1. */
        text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(12));
    }
    json_decref(line);
    return text;
}

int clfcn_runlog_event(struct clfcn_runlog *log, const char *event, json_t *object,
                       struct clfcn_err *err)
{
    if (log == NULL) {
        json_decref(object);
        return CLFCN_OK;
    }
    char *text = to_line(event, object);
    json_decref(object);
    if (text == NULL) {
        return clfcn_err_nomem(err);
    }
    int rc = CLFCN_OK;
    const size_t n = strlen(text);
    text[n] =
        '\n'; /* in place of the terminating zero, so that one write has the whole line */
    if (fwrite(text, 1, n + 1, log->f) != n + 1 || fflush(log->f) != 0) {
        rc = clfcn_err_errno(err, errno, "cannot write %s", log->path);
    } else {
        log->bytes += n + 1;
    }
    text[n] = '\0';
    if (rc == CLFCN_OK && log->callbacks.event != NULL) {
        log->callbacks.event(log->callbacks.user, event, text);
    }
    free(text);
    return rc;
}

uint64_t clfcn_runlog_bytes(const struct clfcn_runlog *log)
{
    return log != NULL ? log->bytes : 0;
}

int clfcn_runlog_sync(struct clfcn_runlog *log, struct clfcn_err *err)
{
    return log != NULL ? clfcn_file_sync(log->f, log->path, err) : CLFCN_OK;
}
