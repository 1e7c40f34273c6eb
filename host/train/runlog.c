/* runlog.c - appending events to log.jsonl. */
#include "runlog.h"
#include "../util/file.h"
#include "../util/json.h"
#include "../util/log.h"
#include "../util/path.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct clfcn_runlog {
    struct clfcn_output out;
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
        clfcn_json_append(&list, json_integer(values[i]));
    }
    return list;
}

/* How long the file is without what follows its last whole line. */
static int measure_lines(FILE *f, const char *path, uint64_t *bytes,
                         struct clfcn_err *err)
{
    char block[4096];
    long end = fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    while (end > 0) {
        const long begin = end > (long)sizeof(block) ? end - (long)sizeof(block) : 0;
        size_t n = (size_t)(end - begin);
        if (fseek(f, begin, SEEK_SET) != 0 || fread(block, 1, n, f) != n) {
            end = -1;
            break;
        }
        while (n > 0 && block[n - 1] != '\n') {
            --n;
        }
        end = begin + (long)n;
        if (n > 0) {
            break;
        }
    }
    *bytes = end > 0 ? (uint64_t)end : 0;
    return end < 0 ? clfcn_err_errno(err, errno, "cannot read %s", path) : CLFCN_OK;
}

/* What errnum, which may be 0, means for the caller. */
static int written(const struct clfcn_runlog *log, int errnum, struct clfcn_err *err)
{
    return errnum == 0 ? CLFCN_OK
                       : clfcn_err_errno(err, errnum, "cannot write %s", log->path);
}

/* Cut the file to keep bytes, or make an empty one. *bytes receives what it then has. */
static int cut(const char *path, uint64_t keep, uint64_t *bytes, struct clfcn_err *err)
{
    uint64_t size = 0;
    FILE *f = clfcn_file_open_read(path);
    if (f == NULL && errno != ENOENT) {
        return clfcn_err_errno(err, errno, "cannot read %s", path);
    }
    int rc = CLFCN_OK;
    if (f != NULL) {
        rc = measure_lines(f, path, &size, err);
        fclose(f);
    }
    if (rc < 0) {
        return rc;
    }
    *bytes = keep;
    if (size < keep) {
        clfcn_warn("%s: shorter than when the checkpoint was saved: some lines are lost",
                   path);
        *bytes = size;
    }
    return f != NULL ? clfcn_file_truncate(path, (size_t)*bytes, err) : CLFCN_OK;
}

int clfcn_runlog_mend(const char *dir, struct clfcn_err *err)
{
    uint64_t bytes;
    char *path = clfcn_path_join(dir, "log.jsonl");
    if (path == NULL) {
        return clfcn_err_nomem(err);
    }
    int rc = CLFCN_OK;
    FILE *f = clfcn_file_open_read(path);
    if (f != NULL) {
        rc = measure_lines(f, path, &bytes, err);
        const bool torn =
            rc == CLFCN_OK && fseek(f, (long)bytes, SEEK_SET) == 0 && fgetc(f) != EOF;
        fclose(f);
        if (torn) {
            rc = clfcn_file_truncate(path, (size_t)bytes, err);
        }
    }
    free(path);
    return rc;
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
        rc = written(log, clfcn_output_open(&log->out, log->path, CLFCN_OUTPUT_APPEND),
                     err);
    }
    if (rc < 0) {
        clfcn_runlog_close(&log);
    } else {
        clfcn_file_sync_name(log->path); /* it may be new */
    }
    *out = log;
    return rc;
}

void clfcn_runlog_close(struct clfcn_runlog **log)
{
    if (log == NULL || *log == NULL) {
        return;
    }
    clfcn_output_drop(&(*log)->out); /* every line was flushed as it was written */
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
    const size_t n = strlen(text);
    text[n] =
        '\n'; /* in place of the terminating zero, so that one write has the whole line */
    clfcn_output_put(&log->out, text, n + 1);
    const int rc = written(log, clfcn_output_flush(&log->out), err);
    log->bytes += rc == CLFCN_OK ? n + 1 : 0;
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
    /* A thread does this while the run goes on; every line was flushed as it was written.
     */
    return log != NULL ? written(log, clfcn_output_sync_flushed(&log->out), err)
                       : CLFCN_OK;
}
