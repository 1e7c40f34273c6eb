/* test_trace.c - spans from several threads, bounded, and as JSON. */
#include "../../host/util/sys.h"
#include "../../host/util/thread.h"
#include "../../host/util/trace.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* What a trace written now looks like. Free with free(). */
static char *written(void)
{
    char path[] = "/tmp/clfcn-trace-XXXXXX", *text = NULL;
    struct clfcn_atomic_file file;
    struct clfcn_err err;
    size_t size;
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(clfcn_atomic_open(&file, path, &err), CLFCN_OK);
    assert_int_equal(clfcn_trace_write(&file, &err), CLFCN_OK);
    assert_int_equal(clfcn_atomic_commit(&file, &err), CLFCN_OK);
    assert_int_equal(clfcn_file_read(path, 0, &text, &size, &err), CLFCN_OK);
    unlink(path);
    return text;
}

static int occurrences(const char *text, const char *word)
{
    int n = 0;
    for (const char *s = text; (s = strstr(s, word)) != NULL; ++s) {
        ++n;
    }
    return n;
}

static void test_off(void **state)
{
    assert_true(clfcn_trace_begin() == 0);
    clfcn_trace_end("nothing", 0);
    clfcn_trace_start(4);
    clfcn_trace_end("began before", 0);
    clfcn_trace_stop();
    clfcn_trace_end("ended after", 1);
    char *text = written();
    assert_int_equal(occurrences(text, "\"ph\":\"X\""), 0);
    assert_non_null(strstr(text, "\"traceEvents\":["));
    free(text);
    clfcn_trace_clear();
}

static void test_span_and_event(void **state)
{
    clfcn_trace_start(10);
    const double begin = clfcn_trace_begin();
    assert_true(begin > 0);
    clfcn_trace_end("decode", begin);
    const struct clfcn_trace_event event = {
        .name = "gemm",
        .category = "kernel",
        .layer = "conv1_1",
        .pass = "forward",
        .begin = begin + 0.5,
        .end = begin + 0.25, /* clocks may disagree: never a negative duration */
        .row = CLFCN_ROW_COMPUTE,
    };
    clfcn_trace_add(&event);
    char *text = written();
    assert_non_null(
        strstr(text, "\"name\":\"decode\",\"cat\":\"host\",\"pid\":1,\"tid\":0"));
    assert_non_null(strstr(text, "\"name\":\"gemm, conv1_1, forward\",\"cat\":\"kernel\","
                                 "\"pid\":2,\"tid\":1"));
    assert_non_null(strstr(text, "\"dur\":0.000,\"args\":{\"what\":\"gemm\","
                                 "\"layer\":\"conv1_1\",\"pass\":\"forward\"}"));
    assert_non_null(strstr(text, "{\"name\":\"compute queue\"}"));
    assert_null(strstr(text, "transfer queue")); /* rows without events are not shown */
    free(text);
    clfcn_trace_clear();
}

static void record(void *arg, int i)
{
    clfcn_trace_end("work", clfcn_trace_begin());
}

/* More events than room, from several threads: as many as fit, the others counted. */
static void test_limit(void **state)
{
    enum { LIMIT = 1500, EVENTS = 4000 };
    clfcn_trace_start(LIMIT);
    clfcn_parallel_for(EVENTS, 4, record, NULL);
    assert_int_equal(clfcn_trace_left_out(), EVENTS - LIMIT);
    char *text = written();
    assert_int_equal(occurrences(text, "\"ph\":\"X\""), LIMIT);
    assert_non_null(strstr(text, "\"event_limit\":1500,\"events_left_out\":2500"));
    free(text);
    clfcn_trace_start(LIMIT); /* anew */
    assert_int_equal(clfcn_trace_left_out(), 0);
    clfcn_trace_clear();
}

static void be_loader(void *arg)
{
    clfcn_trace_set_loader_row();
    clfcn_trace_end("load", clfcn_trace_begin());
}

/* Each loader's thread has a row of its own. */
static void test_rows(void **state)
{
    struct clfcn_thread threads[2];
    struct clfcn_err err;
    clfcn_trace_start(10);
    for (int i = 0; i < 2; ++i) {
        assert_int_equal(clfcn_thread_start(&threads[i], be_loader, NULL, &err),
                         CLFCN_OK);
    }
    for (int i = 0; i < 2; ++i) {
        clfcn_thread_join(&threads[i]);
    }
    char *text = written();
    assert_non_null(strstr(text, "{\"name\":\"loader 1\"}"));
    assert_non_null(strstr(text, "{\"name\":\"loader 2\"}"));
    free(text);
    clfcn_trace_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_span_and_event),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
