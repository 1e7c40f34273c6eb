/* test_output.c - bytes on their way into a file, with signals in between and errors. */
#include "../../host/util/output.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/clfcn-test-XXXXXX", path[sizeof(folder) + 8];

static int enter(void **state)
{
    memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s/f", folder);
    return 0;
}

static int leave(void **state)
{
    unlink(path);
    return rmdir(folder);
}

static void assert_content(const char *want)
{
    char got[64] = "";
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(got, 1, sizeof(got) - 1, f), strlen(want));
    fclose(f);
    assert_string_equal(got, want);
}

static void test_new_and_append(void **state)
{
    struct clfcn_output o;
    assert_int_equal(clfcn_output_open(&o, path, CLFCN_OUTPUT_NEW), 0);
    assert_int_equal(clfcn_output_put(&o, "abcd", 4), 0);
    assert_content(""); /* it is gathered */
    assert_int_equal(clfcn_output_flush(&o), 0);
    assert_content("abcd");
    assert_int_equal(clfcn_output_seek(&o, 1), 0);
    assert_int_equal(clfcn_output_put(&o, "B", 1), 0);
    assert_int_equal(clfcn_output_close(&o), 0);
    assert_content("aBcd");
    assert_int_equal(clfcn_output_open(&o, path, CLFCN_OUTPUT_NEW), EEXIST);
    assert_int_equal(clfcn_output_close(&o), 0); /* harmless */
    assert_int_equal(clfcn_output_open(&o, path, CLFCN_OUTPUT_APPEND), 0);
    assert_int_equal(clfcn_output_put(&o, "e", 1), 0);
    assert_int_equal(clfcn_output_sync(&o), 0);
    assert_content("aBcde");
    assert_int_equal(clfcn_output_put(&o, "f", 1), 0);
    clfcn_output_drop(&o);
    assert_content("aBcde");
}

static void test_a_first_error_stays(void **state)
{
    struct clfcn_output o;
    if (access("/dev/full", W_OK) != 0) {
        skip();
    }
    assert_int_equal(clfcn_output_open(&o, "/dev/full", CLFCN_OUTPUT_APPEND), 0);
    assert_int_equal(clfcn_output_put(&o, "a", 1), 0);
    assert_int_equal(clfcn_output_flush(&o), ENOSPC);
    assert_int_equal(clfcn_output_put(&o, "b", 1), ENOSPC);
    assert_int_equal(clfcn_output_flush(&o), ENOSPC);
    assert_int_equal(clfcn_output_sync(&o), ENOSPC);
    assert_int_equal(clfcn_output_close(&o), ENOSPC);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
    (void)sig;
    ++alarms;
}

/* Read a pipe slowly; the exit status tells whether each byte was what it should be. */
static void read_slowly(size_t n)
{
    unsigned char bytes[4096];
    const int fd = open(path, O_RDONLY);
    size_t at = 0;
    ssize_t got;
    while ((got = read(fd, bytes, sizeof(bytes))) > 0) {
        for (ssize_t i = 0; i < got; ++i, ++at) {
            if (bytes[i] != (unsigned char)(at * 7 >> 8)) {
                _exit(1);
            }
        }
        usleep(200);
    }
    _exit(at == n ? 0 : 2);
}

/* A pipe is slow enough for signals that interrupt, before a write begins and within one,
 * which then writes a part. */
static void test_signals_between(void **state)
{
    enum { N = 1 << 20, PIECE = 5000 };
    struct clfcn_output o;
    assert_int_equal(mkfifo(path, 0600), 0);
    const pid_t reader = fork();
    if (reader == 0) {
        read_slowly(N);
    }
    assert_int_equal(clfcn_output_open(&o, path, CLFCN_OUTPUT_APPEND), 0);
    struct sigaction action = { .sa_handler = on_alarm }, before; /* no SA_RESTART */
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    const struct itimerval often = { { 0, 500 }, { 0, 500 } },
                           never = { { 0, 0 }, { 0, 0 } };
    setitimer(ITIMER_REAL, &often, NULL);
    int rc = 0;
    for (size_t at = 0; at < N;) {
        unsigned char bytes[PIECE];
        size_t n = 0;
        for (; n < PIECE && at < N; ++n, ++at) {
            bytes[n] = (unsigned char)(at * 7 >> 8);
        }
        rc |= clfcn_output_put(&o, bytes, n);
    }
    rc |= clfcn_output_close(&o);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    int status = -1;
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_int_equal(rc, 0);
    assert_int_equal(status, 0);
    assert_true(alarms > 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_new_and_append),
        TEST(test_a_first_error_stays),
        TEST(test_signals_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
