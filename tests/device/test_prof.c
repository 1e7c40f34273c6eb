/* test_prof.c - commands timed by the device, on the host's clock. */
#include "../../host/device/buffer.h"
#include "../../host/device/prof.h"
#include "../../host/util/sys.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { BYTES = 1 << 20, MAX_RECORDS = 2000 };

struct rig {
    struct clfcn_dev *dev;
    cl_mem mem;
    char *host;
    struct clfcn_prof_record records[MAX_RECORDS];
    int count;
};

static void take(void *user, const struct clfcn_prof_record *record)
{
    struct rig *rig = user;
    assert_true(rig->count < MAX_RECORDS);
    rig->records[rig->count++] = *record;
}

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct clfcn_err err;
    if (!rig || clfcn_dev_open(NULL, &rig->dev, &err) != CLFCN_OK) {
        return -1;
    }
    rig->host = calloc(1, BYTES);
    *state = rig;
    return clfcn_buffer_create(rig->dev, BYTES, "test", &rig->mem, &err);
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    clfcn_buffer_release(rig->dev, &rig->mem);
    const int live = atomic_load(&rig->dev->live_objects);
    clfcn_dev_close(&rig->dev);
    free(rig->host);
    free(rig);
    return live;
}

static void test_off(void **state)
{
    struct rig *rig = *state;
    struct clfcn_err err;
    assert_false(clfcn_prof_is_on(rig->dev));
    assert_null(clfcn_prof_event(rig->dev, "nothing"));
    assert_null(clfcn_prof_call(rig->dev, "nothing"));
    clfcn_prof_label(rig->dev, "conv1", "forward");
    clfcn_prof_listen(rig->dev, take, rig);
    clfcn_prof_collect(rig->dev);
    assert_int_equal(clfcn_prof_stop(rig->dev, &err), CLFCN_OK);
}

static void test_records(void **state)
{
    struct rig *rig = *state;
    struct clfcn_err err;
    assert_int_equal(clfcn_prof_start(rig->dev, &err), CLFCN_OK);
    assert_int_equal(clfcn_prof_start(rig->dev, &err), CLFCN_OK); /* is on already */
    assert_true(clfcn_prof_is_on(rig->dev));
    clfcn_prof_listen(rig->dev, take, rig);
    const double begin = clfcn_clock();
    clfcn_prof_label(rig->dev, "conv1", "forward");
    assert_int_equal(clfcn_buffer_write(rig->dev, rig->mem, 0, BYTES, rig->host, &err),
                     CLFCN_OK);
    clfcn_prof_set_pass(rig->dev, "backward");
    assert_int_equal(clfcn_buffer_zero(rig->dev, rig->mem, 0, BYTES, &err), CLFCN_OK);
    clfcn_prof_label(rig->dev, "", NULL);
    assert_int_equal(clfcn_buffer_read(rig->dev, rig->mem, 0, BYTES, rig->host, &err),
                     CLFCN_OK);
    const double end = clfcn_clock();
    assert_int_equal(clfcn_prof_stop(rig->dev, &err), CLFCN_OK);
    assert_false(clfcn_prof_is_on(rig->dev));

    static const char *const want[][3] = { { "write", "conv1", "forward" },
                                           { "zero", "conv1", "backward" },
                                           { "read", "", NULL } };
    assert_int_equal(rig->count, 3);
    for (int i = 0; i < 3; ++i) {
        const struct clfcn_prof_record *r = &rig->records[i];
        assert_string_equal(r->what, want[i][0]);
        assert_string_equal(r->layer, want[i][1]);
        assert_true(want[i][2] ? strcmp(r->pass, want[i][2]) == 0 : !r->pass);
        assert_true(r->compute);
        assert_false(r->kernel);
        assert_true(r->end >= r->begin);
        assert_true(r->begin > begin - 1e-3 && r->end < end + 1e-3);
        assert_true(i == 0 || r->begin >= r[-1].end - 1e-6);
    }
}

/* A call that failed leaves its place empty; the same event may be the caller's too. */
static void test_events_of_others(void **state)
{
    struct rig *rig = *state;
    struct clfcn_err err;
    cl_event own = NULL;
    assert_int_equal(clfcn_prof_start(rig->dev, &err), CLFCN_OK);
    clfcn_prof_listen(rig->dev, take, rig);
    assert_non_null(clfcn_prof_event(rig->dev, "failed"));
    assert_int_equal(clEnqueueReadBuffer(rig->dev->transfer, rig->mem, CL_FALSE, 0, BYTES,
                                         rig->host, 0, NULL, &own),
                     CL_SUCCESS);
    clfcn_prof_keep(rig->dev, own, "kept");
    assert_int_equal(clWaitForEvents(1, &own), CL_SUCCESS);
    clReleaseEvent(own);
    assert_int_equal(clfcn_prof_stop(rig->dev, &err), CLFCN_OK);
    assert_int_equal(rig->count, 1);
    assert_string_equal(rig->records[0].what, "kept");
    assert_false(rig->records[0].compute);
}

/* Several commands under one record, which begins where what came before ends. */
static void test_call(void **state)
{
    struct rig *rig = *state;
    struct clfcn_err err;
    const cl_uint zero = 0;
    assert_int_equal(clfcn_prof_start(rig->dev, &err), CLFCN_OK);
    clfcn_prof_listen(rig->dev, take, rig);
    cl_event *event = clfcn_prof_call(rig->dev, "call");
    cl_event first = NULL;
    assert_non_null(event);
    assert_int_equal(clEnqueueFillBuffer(rig->dev->compute, rig->mem, &zero, sizeof(zero),
                                         0, BYTES, 0, NULL, &first),
                     CL_SUCCESS);
    assert_int_equal(clEnqueueFillBuffer(rig->dev->compute, rig->mem, &zero, sizeof(zero),
                                         0, BYTES, 0, NULL, event),
                     CL_SUCCESS);
    clFinish(rig->dev->compute);
    cl_ulong begin = 0, end = 0, last_begin = 0;
    clGetEventProfilingInfo(first, CL_PROFILING_COMMAND_START, sizeof(begin), &begin,
                            NULL);
    clGetEventProfilingInfo(*event, CL_PROFILING_COMMAND_START, sizeof(last_begin),
                            &last_begin, NULL);
    clGetEventProfilingInfo(*event, CL_PROFILING_COMMAND_END, sizeof(end), &end, NULL);
    clReleaseEvent(first);
    assert_int_equal(clfcn_prof_stop(rig->dev, &err), CLFCN_OK);
    assert_int_equal(rig->count, 1);
    const double seconds = rig->records[0].end - rig->records[0].begin;
    assert_true(seconds >= 1e-9 * (double)(end - begin) - 1e-6); /* both of them */
    assert_true(last_begin >= begin);
}

/* Enough commands to fill the list several times over: they come out in order, and none
 * is lost. */
static void test_many(void **state)
{
    struct rig *rig = *state;
    struct clfcn_err err;
    assert_int_equal(clfcn_prof_start(rig->dev, &err), CLFCN_OK);
    clfcn_prof_listen(rig->dev, take, rig);
    for (int i = 0; i < MAX_RECORDS; ++i) {
        assert_int_equal(clfcn_buffer_zero(rig->dev, rig->mem, 0, 4, &err), CLFCN_OK);
    }
    assert_int_equal(clfcn_prof_stop(rig->dev, &err), CLFCN_OK);
    assert_int_equal(rig->count, MAX_RECORDS);
    for (int i = 1; i < MAX_RECORDS; ++i) {
        assert_true(rig->records[i].begin >= rig->records[i - 1].end - 1e-6);
    }
}

/* Closing the device ends profiling too; AddressSanitizer sees whether all is freed. */
static void test_left_on(void **state)
{
    struct rig *rig = *state;
    struct clfcn_err err;
    assert_int_equal(clfcn_prof_start(rig->dev, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_zero(rig->dev, rig->mem, 0, BYTES, &err), CLFCN_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_records, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_events_of_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_call, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_left_on, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
