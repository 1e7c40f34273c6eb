/* test_child.c - programs beside this one: how they end, what they say, what they get. */
#include "../../host/util/child.h"
#include "../../host/util/env.h"
#include "../../host/util/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static const char *const no_changes[] = { NULL };
static const char *self; /* this program */

/* Shell commands side by side. */
static void run(const char *const *commands, struct clfcn_child *children, int count,
                double seconds)
{
    const char *argv[8][4];
    assert_true(count <= 8);
    for (int i = 0; i < count; ++i) {
        argv[i][0] = "/bin/sh";
        argv[i][1] = "-c";
        argv[i][2] = commands[i];
        argv[i][3] = NULL;
        children[i] = (struct clfcn_child){ .argv = argv[i], .env = no_changes };
    }
    clfcn_children_run(children, count, seconds);
}

static const char *text_of(const struct clfcn_child *child)
{
    return child->out.str ? child->out.str : "";
}

static void test_ends(void **state)
{
    static const struct {
        const char *command;
        enum clfcn_child_end end;
        int code;
        const char *out;
    } cases[] = {
        { "echo hello; echo unseen >&2", CLFCN_CHILD_EXITED, 0, "hello\n" },
        { "echo half; exit 3", CLFCN_CHILD_EXITED, 3, "half\n" },
        { "echo last words; kill -SEGV $$", CLFCN_CHILD_KILLED, SIGSEGV, "last words\n" },
        { "kill -KILL $$", CLFCN_CHILD_KILLED, SIGKILL, "" },
        { "exec >&-; sleep 0.2; exit 4", CLFCN_CHILD_EXITED, 4, "" },
        { "read line || echo nothing to read", CLFCN_CHILD_EXITED, 0,
          "nothing to read\n" },
    };
    enum { COUNT = sizeof(cases) / sizeof(cases[0]) };
    const char *commands[COUNT];
    struct clfcn_child children[COUNT];
    for (int i = 0; i < COUNT; ++i) {
        commands[i] = cases[i].command;
    }
    run(commands, children, COUNT, 60);
    for (int i = 0; i < COUNT; ++i) {
        assert_int_equal(children[i].end, cases[i].end);
        assert_int_equal(children[i].code, cases[i].code);
        assert_string_equal(text_of(&children[i]), cases[i].out);
        clfcn_strbuf_free(&children[i].out);
    }
}

/* They run at the same time, so that together they take the limit once: each waits for
 * the others before it says that it is here. */
static void test_time_limit(void **state)
{
    static const char *const after[] = {
        "sleep 100", "trap '' TERM INT; while :; do sleep 100; done",
        "exec >&-; sleep 100",
        "sleep 100 & exit 5", /* leaves its output to somebody else */
    };
    char dir[] = "/tmp/clfcn-child-XXXXXX", text[4][512];
    const char *commands[4];
    struct clfcn_child children[4];
    assert_non_null(mkdtemp(dir));
    for (int i = 0; i < 4; ++i) {
        snprintf(text[i], sizeof(text[i]),
                 "cd %s; : >%d; until [ -e 0 -a -e 1 -a -e 2 -a -e 3 ]; do sleep 0.05; "
                 "done; echo here; %s",
                 dir, i, after[i]);
        commands[i] = text[i];
    }
    const double begin = clfcn_clock();
    run(commands, children, 4, 3);
    assert_true(clfcn_clock() - begin > 2.9);
    for (int i = 0; i < 4; ++i) {
        assert_string_equal(text_of(&children[i]), "here\n");
        assert_int_equal(children[i].end, i < 3 ? CLFCN_CHILD_LATE : CLFCN_CHILD_EXITED);
        clfcn_strbuf_free(&children[i].out);
    }
    assert_int_equal(children[3].code, 5);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left to collect */
    for (int i = 0; i < 4; ++i) {
        snprintf(text[0], sizeof(text[0]), "%s/%d", dir, i);
        assert_int_equal(remove(text[0]), 0);
    }
    assert_int_equal(remove(dir), 0);
}

/* What a late program has started ends with it: a pipe whose other end all of them hold
 * is hung up. */
static void test_whole_group_is_killed(void **state)
{
    char dir[] = "/tmp/clfcn-child-XXXXXX", path[64], command[128];
    const char *commands[] = { command };
    struct clfcn_child child;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/pipe", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    struct pollfd pipe = { .fd = open(path, O_RDONLY | O_NONBLOCK), .events = POLLIN };
    assert_true(pipe.fd >= 0);
    snprintf(command, sizeof(command), "exec 9>%s; echo here; sleep 100 & sleep 100",
             path);
    run(commands, &child, 1, 2);
    assert_int_equal(child.end, CLFCN_CHILD_LATE);
    assert_string_equal(text_of(&child), "here\n");
    assert_int_equal(poll(&pipe, 1, 50 * 1000), 1);
    assert_true(pipe.revents & POLLHUP);
    close(pipe.fd);
    clfcn_strbuf_free(&child.out);
    assert_int_equal(remove(path), 0);
    assert_int_equal(remove(dir), 0);
}

static void test_much_output_is_cut(void **state)
{
    static const char *const commands[] = { "yes | head -c 1000000" };
    struct clfcn_child child;
    run(commands, &child, 1, 60);
    assert_int_equal(child.end, CLFCN_CHILD_EXITED);
    assert_int_equal(child.out.len, 64 << 10);
    clfcn_strbuf_free(&child.out);
}

static void test_program_that_is_not_there(void **state)
{
    static const char *const argv[] = { "/no/such/program", NULL };
    struct clfcn_child child = { .argv = argv, .env = no_changes };
    clfcn_children_run(&child, 1, 60);
    assert_int_equal(child.end, CLFCN_CHILD_UNSTARTED);
    assert_int_equal(child.code, ENOENT);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_environment(void **state)
{
    static const char *const argv[] = {
        "/bin/sh", "-c", "echo $CLFCN_A-${CLFCN_B-unset}-$CLFCN_C-$CLFCN_AB", NULL
    };
    static const char *const changes[] = { "CLFCN_A=new", "CLFCN_B", "CLFCN_C=also",
                                           NULL };
    setenv("CLFCN_A", "old", 1);
    setenv("CLFCN_AB", "kept", 1);
    setenv("CLFCN_B", "old", 1);
    unsetenv("CLFCN_C");
    struct clfcn_child child = { .argv = argv, .env = changes };
    clfcn_children_run(&child, 1, 60);
    assert_string_equal(text_of(&child), "new-unset-also-kept\n");
    assert_string_equal(getenv("CLFCN_A"), "old");
    clfcn_strbuf_free(&child.out);
}

static void test_environment_hash(void **state)
{
    static const char *const prefixes[] = { "CLFCN_X", "CLFCN_Y", NULL };
    setenv("CLFCN_X1", "1", 1);
    setenv("CLFCN_Y1", "2", 1);
    const uint64_t before = clfcn_env_hash(prefixes);
    unsetenv("CLFCN_X1"); /* so that it comes back in another place */
    assert_int_not_equal(clfcn_env_hash(prefixes), before);
    setenv("CLFCN_Z", "3", 1);
    setenv("CLFCN_X1", "1", 1);
    assert_int_equal(clfcn_env_hash(prefixes), before);
    setenv("CLFCN_Y1", "3", 1);
    assert_int_not_equal(clfcn_env_hash(prefixes), before);
}

/* Whoever ignores SIGCHLD has no processes to collect. */
static void test_somebody_else_collects(void **state)
{
    static const char *const commands[] = { "echo done" };
    struct clfcn_child child;
    signal(SIGCHLD, SIG_IGN);
    run(commands, &child, 1, 60);
    signal(SIGCHLD, SIG_DFL);
    assert_int_equal(child.end, CLFCN_CHILD_EXITED);
    assert_int_equal(child.code, -1);
    assert_string_equal(text_of(&child), "done\n");
    clfcn_strbuf_free(&child.out);
}

/* What the program started by the next test does. */
static int report(const char *what)
{
    FILE *f = clfcn_child_report(1);
    if (!f) {
        return 1;
    }
    fprintf(f, "reported\n");
    printf("what a library prints\n");
    fflush(stdout);
    if (strcmp(what, "crash") == 0) {
        raise(SIGSEGV);
    } else if (strcmp(what, "hang") == 0) {
        sleep(100);
    }
    _Exit(0);
}

static void test_report(void **state)
{
    const char *crash[] = { self, "crash", NULL }, *hang[] = { self, "hang", NULL };
    const char *end[] = { self, "end", NULL };
    struct clfcn_child children[] = { { .argv = crash, .env = no_changes },
                                      { .argv = hang, .env = no_changes },
                                      { .argv = end, .env = no_changes } };
    clfcn_children_run(children, 3, 60);
    assert_int_equal(children[0].end, CLFCN_CHILD_KILLED);
    assert_int_equal(children[0].code, SIGSEGV);
    assert_int_equal(children[1].end, CLFCN_CHILD_KILLED);
    assert_int_equal(children[1].code, SIGALRM); /* its own limit, not the parent's */
    assert_int_equal(children[2].end, CLFCN_CHILD_EXITED);
    assert_int_equal(children[2].code, 0);
    for (int i = 0; i < 3; ++i) {
        assert_string_equal(text_of(&children[i]), "reported\n");
        clfcn_strbuf_free(&children[i].out);
    }
}

static void test_signal_name(void **state)
{
    char buf[64];
    assert_string_equal(clfcn_signal_name(SIGSEGV, buf, sizeof(buf)),
                        "signal 11 (Segmentation fault)");
}

int main(int argc, char **argv)
{
    if (argc == 2) {
        return report(argv[1]);
    }
    self = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_time_limit),
        cmocka_unit_test(test_whole_group_is_killed),
        cmocka_unit_test(test_much_output_is_cut),
        cmocka_unit_test(test_program_that_is_not_there),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_environment_hash),
        cmocka_unit_test(test_somebody_else_collects),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_signal_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
