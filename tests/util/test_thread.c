/* test_thread.c - threads, loops over them, interrupts. */
#include "../../host/util/log.h"
#include "../../host/util/sys.h"
#include "../../host/util/thread.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { N = 1000 };

static void count_call(void *arg, int i)
{
    atomic_int *calls = arg;
    atomic_fetch_add(&calls[i], 1);
}

/* Every index exactly once, whatever the numbers of items and threads. */
static void test_parallel_for(void **state)
{
    static const int cases[][2] = { { N, 4 }, { N, 1 }, { 3, 64 }, { 1, 8 },
                                    { 0, 8 }, { N, 0 }, { N, -1 }, { N, 1000 } };
    for (int c = 0; c < 8; ++c) {
        atomic_int calls[N];
        for (int i = 0; i < N; ++i) {
            atomic_init(&calls[i], 0);
        }
        clfcn_parallel_for(cases[c][0], cases[c][1], count_call, calls);
        for (int i = 0; i < N; ++i) {
            assert_int_equal(atomic_load(&calls[i]), i < cases[c][0]);
        }
    }
}

struct meeting {
    struct clfcn_mutex mutex;
    struct clfcn_cond cond;
    int arrived;
};

/* Waits for the other: ends only if both run at the same time. */
static void meet(void *arg, int i)
{
    struct meeting *meeting = arg;
    clfcn_mutex_lock(&meeting->mutex);
    ++meeting->arrived;
    clfcn_cond_broadcast(&meeting->cond);
    while (meeting->arrived < 2) {
        clfcn_cond_wait(&meeting->cond, &meeting->mutex);
    }
    clfcn_mutex_unlock(&meeting->mutex);
}

static void test_runs_at_the_same_time(void **state)
{
    struct meeting meeting = { .arrived = 0 };
    clfcn_mutex_init(&meeting.mutex);
    clfcn_cond_init(&meeting.cond);
    clfcn_parallel_for(2, 2, meet, &meeting);
    assert_int_equal(meeting.arrived, 2);
    clfcn_cond_finish(&meeting.cond);
    clfcn_mutex_finish(&meeting.mutex);
}

static void read_mask(void *arg)
{
    pthread_sigmask(SIG_SETMASK, NULL, arg);
}

static void test_thread_blocks_signals(void **state)
{
    struct clfcn_thread t;
    struct clfcn_err err;
    sigset_t inside, outside;
    sigemptyset(&inside);
    assert_int_equal(clfcn_thread_start(&t, read_mask, &inside, &err), CLFCN_OK);
    clfcn_thread_join(&t);
    assert_true(sigismember(&inside, SIGINT));
    assert_true(sigismember(&inside, SIGTERM));
    assert_false(sigismember(&inside, SIGSEGV));
    read_mask(&outside);
    assert_false(sigismember(&outside, SIGINT));
    assert_true(clfcn_cpu_count() >= 1);
}

struct talk {
    atomic_int inside;
    int count; /* guarded by the log alone */
    bool overlapped;
};

static void listen(void *user, enum clfcn_log_level level, const char *msg)
{
    struct talk *talk = user;
    if (atomic_fetch_add(&talk->inside, 1) != 0) {
        talk->overlapped = true;
    }
    ++talk->count;
    atomic_fetch_sub(&talk->inside, 1);
}

static void say(void *arg, int i)
{
    clfcn_warn("message %d", i);
}

static void test_log_is_serialised(void **state)
{
    struct talk talk = { .count = 0 };
    clfcn_log_set(CLFCN_LOG_WARN, listen, &talk);
    clfcn_parallel_for(N, 8, say, NULL);
    clfcn_log_set(CLFCN_LOG_WARN, NULL, NULL);
    assert_int_equal(talk.count, N);
    assert_false(talk.overlapped);
}

static void pause_ms(int ms)
{
    const struct timespec t = { 0, ms * 1000000L };
    nanosleep(&t, NULL);
}

/* The exit status of a process that gets the signals, with a pause between them. */
static int status_after(const int *signals, int count, int ms)
{
    const pid_t child = fork();
    if (child == 0) {
        clfcn_interrupt_install();
        if (*clfcn_interrupt_flag()) {
            _exit(1);
        }
        for (int i = 0; i < count; ++i) {
            raise(signals[i]);
            if (!*clfcn_interrupt_flag()) {
                _exit(2);
            }
            pause_ms(i + 1 < count ? ms : 0);
        }
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_interrupt(void **state)
{
    static const int once[] = { SIGINT }, twice[] = { SIGINT, SIGINT };
    static const int terminated[] = { SIGTERM, SIGTERM, SIGINT };
    assert_int_equal(status_after(once, 1, 0), 0);
    assert_int_equal(status_after(twice, 2, 200), 130);
    assert_int_equal(status_after(twice, 2, 0), 0); /* one interrupt, delivered twice */
    assert_int_equal(status_after(terminated, 3, 200), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parallel_for),
        cmocka_unit_test(test_runs_at_the_same_time),
        cmocka_unit_test(test_thread_blocks_signals),
        cmocka_unit_test(test_log_is_serialised),
        cmocka_unit_test(test_interrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
