/* trace.c - a bounded list of events, filled by all threads, written as JSON. */
#include "trace.h"
#include "sys.h"
#include "thread.h"
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Process-wide state, like the log's: spans come from every floor and thread. */
static struct {
    struct clfcn_mutex mutex;
    atomic_bool on; /* read without the mutex, so that being off costs nothing */
    struct clfcn_trace_event *events;
    int count, capacity, limit;
    int64_t left_out;
    double start;
    atomic_int loaders; /* rows given to loaders' threads */
} trace = { .mutex = { PTHREAD_MUTEX_INITIALIZER } };

static _Thread_local int row_of_thread = CLFCN_ROW_MAIN;

void clfcn_trace_start(int limit)
{
    clfcn_trace_clear();
    clfcn_mutex_lock(&trace.mutex);
    trace.limit = limit;
    trace.start = clfcn_clock();
    atomic_store(&trace.loaders, 0);
    atomic_store(&trace.on, true);
    clfcn_mutex_unlock(&trace.mutex);
}

void clfcn_trace_stop(void)
{
    atomic_store(&trace.on, false);
}

void clfcn_trace_clear(void)
{
    clfcn_mutex_lock(&trace.mutex);
    atomic_store(&trace.on, false);
    free(trace.events);
    trace.events = NULL;
    trace.count = trace.capacity = 0;
    trace.left_out = 0;
    clfcn_mutex_unlock(&trace.mutex);
}

int64_t clfcn_trace_left_out(void)
{
    clfcn_mutex_lock(&trace.mutex);
    const int64_t left_out = trace.left_out;
    clfcn_mutex_unlock(&trace.mutex);
    return left_out;
}

/* Whether there is room for one more. Locked. */
static bool make_room(void)
{
    if (trace.count < trace.capacity) {
        return true;
    }
    int capacity = trace.capacity ? 2 * trace.capacity : 1024;
    capacity = capacity < trace.limit ? capacity : trace.limit;
    if (trace.count >= capacity) {
        return false;
    }
    struct clfcn_trace_event *grown =
        realloc(trace.events, (size_t)capacity * sizeof(*grown));
    if (!grown) {
        return false;
    }
    trace.events = grown;
    trace.capacity = capacity;
    return true;
}

void clfcn_trace_add(const struct clfcn_trace_event *event)
{
    if (!atomic_load(&trace.on)) {
        return;
    }
    clfcn_mutex_lock(&trace.mutex);
    if (make_room()) {
        trace.events[trace.count++] = *event;
    } else {
        ++trace.left_out;
    }
    clfcn_mutex_unlock(&trace.mutex);
}

double clfcn_trace_begin(void)
{
    return atomic_load(&trace.on) ? clfcn_clock() : 0;
}

void clfcn_trace_end(const char *name, double begin)
{
    if (begin > 0 && atomic_load(&trace.on)) {
        const struct clfcn_trace_event event = {
            .name = name,
            .category = "host",
            .begin = begin,
            .end = clfcn_clock(),
            .row = row_of_thread,
        };
        clfcn_trace_add(&event);
    }
}

void clfcn_trace_set_row(int row)
{
    row_of_thread = row;
}

void clfcn_trace_set_loader_row(void)
{
    const int rows = CLFCN_ROW_HELPER - CLFCN_ROW_LOADER;
    row_of_thread = CLFCN_ROW_LOADER + atomic_fetch_add(&trace.loaders, 1) % rows;
}

/* --- writing --- */

enum { PID_HOST = 1, PID_DEVICE = 2, LINE = 512 };

static int pid_of(int row)
{
    return row == CLFCN_ROW_COMPUTE || row == CLFCN_ROW_TRANSFER ? PID_DEVICE : PID_HOST;
}

static int write_line(struct clfcn_atomic_file *file, const char *line, int len,
                      struct clfcn_err *err)
{
    return clfcn_atomic_write(file, line, (size_t)(len < LINE ? len : LINE - 1), err);
}

static int write_row_name(struct clfcn_atomic_file *file, int row, struct clfcn_err *err)
{
    char line[LINE], name[32];
    if (row >= CLFCN_ROW_HELPER) {
        snprintf(name, sizeof(name), "helper %d", row - CLFCN_ROW_HELPER + 1);
    } else if (row >= CLFCN_ROW_LOADER) {
        snprintf(name, sizeof(name), "loader %d", row - CLFCN_ROW_LOADER + 1);
    } else {
        snprintf(name, sizeof(name), "%s",
                 row == CLFCN_ROW_MAIN      ? "main"
                 : row == CLFCN_ROW_COMPUTE ? "compute queue"
                                            : "transfer queue");
    }
    const int len = snprintf(line, sizeof(line),
                             "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":%d,"
                             "\"tid\":%d,\"args\":{\"name\":\"%s\"}},\n",
                             pid_of(row), row, name);
    return write_line(file, line, len, err);
}

/* Titles say all, and the arguments say it once more for queries. The end of what is
 * written is not allowed a comma, so a comma stands in front of each. */
static int write_event(struct clfcn_atomic_file *file, const struct clfcn_trace_event *e,
                       struct clfcn_err *err)
{
    char line[LINE];
    const double begin = 1e6 * (e->begin - trace.start);
    const double duration = e->end > e->begin ? 1e6 * (e->end - e->begin) : 0;
    const char *pass = e->pass ? e->pass : "";
    int len =
        snprintf(line, sizeof(line),
                 ",\n{\"ph\":\"X\",\"name\":\"%s%s%s%s%s\",\"cat\":\"%s\",\"pid\":%d,"
                 "\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f",
                 e->name, e->layer[0] ? ", " : "", e->layer, *pass ? ", " : "", pass,
                 e->category, pid_of(e->row), e->row, begin, duration);
    if (e->layer[0]) {
        len += snprintf(line + len, sizeof(line) - (size_t)len,
                        ",\"args\":{\"what\":\"%s\",\"layer\":\"%s\",\"pass\":\"%s\"}",
                        e->name, e->layer, pass);
    }
    len += snprintf(line + len, sizeof(line) - (size_t)len, "}");
    return write_line(file, line, len, err);
}

static int write_head(struct clfcn_atomic_file *file, struct clfcn_err *err)
{
    char line[LINE];
    bool seen[CLFCN_ROW_END] = { false };
    int len = snprintf(line, sizeof(line),
                       "{\"displayTimeUnit\":\"ms\",\n"
                       "\"otherData\":{\"program\":\"clfcn %s\",\"event_limit\":%d,"
                       "\"events_left_out\":%" PRId64 "},\n\"traceEvents\":[\n",
                       clfcn_version(), trace.limit, trace.left_out);
    int rc = write_line(file, line, len, err);
    for (int i = 0; i < trace.count && rc == CLFCN_OK; ++i) {
        const int row = trace.events[i].row;
        if (!seen[row]) {
            seen[row] = true;
            rc = write_row_name(file, row, err);
        }
    }
    if (rc == CLFCN_OK) {
        len = snprintf(line, sizeof(line),
                       "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%d,"
                       "\"args\":{\"name\":\"host\"}},\n"
                       "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%d,"
                       "\"args\":{\"name\":\"device\"}}",
                       PID_HOST, PID_DEVICE);
        rc = write_line(file, line, len, err);
    }
    return rc;
}

int clfcn_trace_write(struct clfcn_atomic_file *file, struct clfcn_err *err)
{
    clfcn_mutex_lock(&trace.mutex);
    int rc = write_head(file, err);
    for (int i = 0; i < trace.count && rc == CLFCN_OK; ++i) {
        rc = write_event(file, &trace.events[i], err);
    }
    if (rc == CLFCN_OK) {
        rc = write_line(file, "\n]}\n", 4, err);
    }
    clfcn_mutex_unlock(&trace.mutex);
    return rc;
}
