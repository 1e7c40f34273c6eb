/* log.jsonl: whole lines, cut where a resumed run goes on. */
#include "../../host/train/runlog.h"
#include "../../host/util/file.h"
#include "../skip.h"
#include "scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct seen {
    int events;
    char last[256];
};

static void note_event(void *user, const char *event, const char *json)
{
    struct seen *seen = user;
    seen->events++;
    snprintf(seen->last, sizeof(seen->last), "%s %s", event, json);
}

static struct clfcn_runlog *open_log(uint64_t keep, struct seen *seen)
{
    const struct clfcn_train_callbacks callbacks = { .event = note_event, .user = seen };
    struct clfcn_runlog *log;
    struct clfcn_err err;
    char dir[SCRATCH_PATH];
    if (clfcn_runlog_open(scratch_path(dir, ""), keep, seen != NULL ? &callbacks : NULL,
                          &log, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    return log;
}

static void assert_file(const char *want)
{
    size_t size;
    char *got = scratch_read("log.jsonl", &size);
    assert_string_equal(got, want);
    free(got);
}

static void test_lines(void **state)
{
    struct seen seen = { 0 };
    struct clfcn_runlog *log = open_log(0, &seen);
    assert_int_equal(clfcn_runlog_event(log, "step",
                                        json_pack("{s:i, s:o, s:o}", "step", 1, "lr",
                                                  clfcn_json_number(0.1), "loss",
                                                  clfcn_json_number(NAN)),
                                        NULL),
                     0);
    const char *line = "{\"event\":\"step\",\"step\":1,\"lr\":0.1,\"loss\":null}";
    char want[300];
    snprintf(want, sizeof(want), "step %s", line);
    assert_int_equal(seen.events, 1);
    assert_string_equal(seen.last, want);
    snprintf(want, sizeof(want), "%s\n", line);
    assert_file(want); /* before it is closed: a killed process leaves whole lines */
    assert_int_equal(clfcn_runlog_sync(log, NULL), 0);
    assert_int_equal(clfcn_runlog_bytes(log), strlen(want));
    assert_int_equal(clfcn_runlog_event(log, "x", NULL, NULL), CLFCN_ENOMEM);
    assert_int_equal(clfcn_runlog_event(log, "end", json_object(), NULL), 0);
    clfcn_runlog_close(&log);
    clfcn_runlog_close(&log);
    strcat(want, "{\"event\":\"end\"}\n");
    assert_file(want);
}

static void test_cut(void **state)
{
    struct clfcn_runlog *log = open_log(0, NULL);
    clfcn_runlog_event(log, "a", json_object(), NULL);
    const uint64_t bytes = clfcn_runlog_bytes(log);
    clfcn_runlog_event(log, "b", json_object(), NULL);
    clfcn_runlog_close(&log);
    log = open_log(bytes, NULL);
    clfcn_runlog_event(log, "c", json_object(), NULL);
    clfcn_runlog_close(&log);
    assert_file("{\"event\":\"a\"}\n{\"event\":\"c\"}\n");
    log = open_log(1000, NULL); /* longer than the file: nothing to cut */
    clfcn_runlog_event(log, "d", json_object(), NULL);
    clfcn_runlog_close(&log);
    assert_file("{\"event\":\"a\"}\n{\"event\":\"c\"}\n{\"event\":\"d\"}\n");
    log = open_log(0, NULL);
    clfcn_runlog_close(&log);
    assert_file("");
}

static void write_log(const char *text)
{
    char path[SCRATCH_PATH];
    assert_int_equal(
        clfcn_file_write(scratch_path(path, "log.jsonl"), text, strlen(text), NULL), 0);
}

/* What a loss of power leaves: a last line that is not whole, a file shorter than it was.
 */
static void test_torn(void **state)
{
    char dir[SCRATCH_PATH];
    scratch_path(dir, "");
    write_log("{\"event\":\"a\"}\n{\"even");
    assert_int_equal(clfcn_runlog_mend(dir, NULL), 0);
    assert_file("{\"event\":\"a\"}\n");
    assert_int_equal(clfcn_runlog_mend(dir, NULL), 0);
    assert_file("{\"event\":\"a\"}\n");

    write_log("{\"event\":\"a\"}\n{\"even");
    struct clfcn_runlog *log = open_log(1000, NULL);
    clfcn_runlog_event(log, "b", json_object(), NULL);
    clfcn_runlog_close(&log);
    assert_file("{\"event\":\"a\"}\n{\"event\":\"b\"}\n");

    /* Longer than the block that is searched at a time. */
    char zeros[10001];
    memset(zeros, '0', sizeof(zeros) - 1);
    zeros[sizeof(zeros) - 1] = '\0';
    write_log(zeros);
    assert_int_equal(clfcn_runlog_mend(dir, NULL), 0);
    assert_file("");
    zeros[1234] = '\n';
    write_log(zeros);
    assert_int_equal(clfcn_runlog_mend(dir, NULL), 0);
    zeros[1235] = '\0';
    assert_file(zeros);

    char path[SCRATCH_PATH];
    remove(scratch_path(path, "log.jsonl"));
    assert_int_equal(clfcn_runlog_mend(dir, NULL), 0);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void test_no_folder(void **state)
{
    struct clfcn_runlog *log;
    struct clfcn_err err;
    char dir[SCRATCH_PATH];
    assert_int_equal(clfcn_runlog_open(scratch_path(dir, "none"), 0, NULL, &log, &err),
                     CLFCN_EIO);
    assert_null(log);
    assert_non_null(strstr(err.msg, "none/log.jsonl"));
}

static void test_full_disk(void **state)
{
    char path[SCRATCH_PATH];
    remove(scratch_path(path, "log.jsonl"));
    if (access("/dev/full", W_OK) != 0 || symlink("/dev/full", path) != 0) {
        SKIP_TEST("no /dev/full here");
    }
    struct clfcn_runlog *log;
    struct clfcn_err err = { 0 };
    char dir[SCRATCH_PATH];
    /* A device cannot be cut, so either the opening or the writing must say that it
     * failed. */
    int rc = clfcn_runlog_open(scratch_path(dir, ""), 0, NULL, &log, &err);
    if (rc == CLFCN_OK) {
        rc = clfcn_runlog_event(log, "a", json_object(), &err);
    }
    clfcn_runlog_close(&log);
    remove(path);
    assert_int_equal(rc, CLFCN_EIO);
    assert_non_null(strstr(err.msg, "log.jsonl"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),     cmocka_unit_test(test_cut),
        cmocka_unit_test(test_torn),      cmocka_unit_test(test_no_folder),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
