/* trace.h - what happened when, as a timeline that Perfetto and chrome://tracing show.
 *
 * Process-wide, as the log is: any thread may record at any time, and pays for one test
 * while no trace is taken.
 *
 *     const double begin = clfcn_trace_begin();
 *     ...
 *     clfcn_trace_end("decode", begin);
 * */
#ifndef CLFCN_UTIL_TRACE_H
#define CLFCN_UTIL_TRACE_H

#include "file.h"

/* The rows of the timeline: the device's queues, the main thread, other threads. */
enum clfcn_trace_row {
    CLFCN_ROW_MAIN,
    CLFCN_ROW_COMPUTE,
    CLFCN_ROW_TRANSFER,
    CLFCN_ROW_LOADER = 100, /* and the 99 that follow */
    CLFCN_ROW_HELPER = 200, /* and the 255 that follow */
    CLFCN_ROW_END = 456
};

/* Something with a beginning and an end. */
struct clfcn_trace_event {
    const char *name;     /* literals all, or what lives as long: they are borrowed, */
    const char *category; /* and written without escapes */
    const char *pass;     /* NULL: none */
    char layer[32];       /* "": none */
    double begin, end;    /* seconds of clfcn_clock() */
    int row;
};

/* Forget what was recorded and record at most limit events from now on; those beyond are
 * counted. An event takes 80 bytes, claimed as they come. */
void clfcn_trace_start(int limit);
/* Record no more. */
void clfcn_trace_stop(void);
/* Free what was recorded. */
void clfcn_trace_clear(void);
/* How many events found no room. */
int64_t clfcn_trace_left_out(void);

void clfcn_trace_add(const struct clfcn_trace_event *event);

/* Now; 0 while no trace is taken, which clfcn_trace_end() passes over. */
double clfcn_trace_begin(void);
/* Record a span of the calling thread from begin to now. */
void clfcn_trace_end(const char *name, double begin);

/* The row of the calling thread, which is the main thread's otherwise. */
void clfcn_trace_set_row(int row);
/* The same for a loader's thread: a row that no other has, as long as there are some. */
void clfcn_trace_set_loader_row(void);

/* Write what was recorded as JSON ("traceEvents"; microseconds since the start). */
int clfcn_trace_write(struct clfcn_atomic_file *file, struct clfcn_err *err);

#endif
