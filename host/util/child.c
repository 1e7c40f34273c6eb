/* child.c - programs run beside this one, within a time limit. */
#define _GNU_SOURCE /* pipe2 */
#include "child.h"
#include "env.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_OUTPUT = 64 << 10 };

/* What is to be done between fork and exec; the writing end of the pipe becomes stdout.
 * It comes first: it may be one of the descriptors that are replaced after it. Returns
 * errno. */
static int set_files(posix_spawn_file_actions_t *actions, int pipe_end)
{
    int errnum = posix_spawn_file_actions_adddup2(actions, pipe_end, STDOUT_FILENO);
    if (errnum == 0) {
        errnum = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null",
                                                  O_RDONLY, 0);
    }
    if (errnum == 0) {
        errnum = posix_spawn_file_actions_addopen(actions, STDERR_FILENO, "/dev/null",
                                                  O_WRONLY, 0);
    }
    return errnum;
}

/* A process group of its own, and the signals as a shell would leave them, whatever the
 * parent blocks or ignores. */
static void set_attributes(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setpgroup(attr, 0);
    posix_spawnattr_setsigmask(attr, &none);
    posix_spawnattr_setsigdefault(attr, &all);
    posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                       POSIX_SPAWN_SETSIGDEF);
}

/* Returns errno. */
static int spawn(struct clfcn_child *child, int pipe_end)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    char **env = clfcn_env_changed(child->env);
    if (!env) {
        return ENOMEM;
    }
    int errnum = posix_spawn_file_actions_init(&actions);
    if (errnum != 0) {
        free(env);
        return errnum;
    }
    errnum = posix_spawnattr_init(&attr);
    if (errnum == 0) {
        pid_t pid = -1;
        set_attributes(&attr);
        errnum = set_files(&actions, pipe_end);
        if (errnum == 0) {
            errnum = posix_spawn(&pid, child->argv[0], &actions, &attr,
                                 (char *const *)child->argv, env);
        }
        child->pid = pid;
        posix_spawnattr_destroy(&attr);
    }
    posix_spawn_file_actions_destroy(&actions);
    free(env);
    return errnum;
}

static void start(struct clfcn_child *child)
{
    int ends[2] = { -1, -1 };
    child->fd = -1;
    int errnum = pipe2(ends, O_CLOEXEC) == 0 ? 0 : errno;
    if (errnum == 0) {
        errnum = spawn(child, ends[1]);
        close(ends[1]);
    }
    if (errnum != 0) {
        child->end = CLFCN_CHILD_UNSTARTED;
        child->code = errnum;
        if (ends[0] >= 0) {
            close(ends[0]);
        }
        return;
    }
    child->fd = ends[0];
}

/* Take what there is to read; the descriptor is closed at its end. */
static void receive(struct clfcn_child *child)
{
    char bytes[4096];
    const ssize_t got = read(child->fd, bytes, sizeof(bytes));
    if (got < 0 && errno == EINTR) {
        return;
    }
    if (got <= 0) {
        close(child->fd);
        child->fd = -1;
        return;
    }
    size_t kept = (size_t)got;
    if (kept > MAX_OUTPUT - child->out.len) {
        kept = MAX_OUTPUT - child->out.len;
    }
    clfcn_strbuf_add_bytes(&child->out, bytes, kept);
}

static int milliseconds_until(double deadline)
{
    const double left = deadline - clfcn_clock();
    return left <= 0 ? 0 : left > 1e6 ? 1000000000 : (int)(left * 1e3) + 1;
}

/* Read until every child has closed its output, or the deadline is over. */
static void receive_all(struct clfcn_child *children, struct pollfd *fds, int count,
                        double deadline)
{
    for (;;) {
        int open = 0;
        for (int i = 0; i < count; ++i) {
            fds[i] = (struct pollfd){ .fd = children[i].fd, .events = POLLIN };
            open += children[i].fd >= 0;
        }
        const int left = milliseconds_until(deadline);
        if (open == 0 || left == 0) {
            return;
        }
        if (poll(fds, (nfds_t)count, left) <= 0) {
            continue; /* interrupted, or the deadline is over */
        }
        for (int i = 0; i < count; ++i) {
            if (fds[i].fd >= 0 && fds[i].revents != 0) {
                receive(&children[i]);
            }
        }
    }
}

/* Collect an ended process: 1, or 0 if it has not ended; -1 if it cannot be collected. */
static int collect(pid_t pid, int *status, int flags)
{
    pid_t got;
    do {
        got = waitpid(pid, status, flags);
    } while (got < 0 && errno == EINTR);
    return got == pid ? 1 : got == 0 ? 0 : -1;
}

/* A process whose output is closed is about to end, as a rule. */
static void await_end(struct clfcn_child *child, double deadline)
{
    const struct timespec millisecond = { 0, 1000000 };
    const pid_t pid = (pid_t)child->pid;
    int status = 0, got = collect(pid, &status, WNOHANG);
    while (got == 0 && clfcn_clock() < deadline) {
        nanosleep(&millisecond, NULL);
        got = collect(pid, &status, WNOHANG);
    }
    /* Also when the process has ended, and only others that it started keep its output
     * open. */
    const bool late = got == 0 || child->fd >= 0;
    if (late) {
        kill(-pid, SIGKILL);
    }
    if (got == 0) {
        got = collect(pid, &status, 0);
    }
    if (child->fd >= 0) {
        close(child->fd);
        child->fd = -1;
    }
    child->end = CLFCN_CHILD_EXITED;
    child->code = got > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (got > 0 && WIFSIGNALED(status)) {
        child->code = WTERMSIG(status);
        child->end =
            late && child->code == SIGKILL ? CLFCN_CHILD_LATE : CLFCN_CHILD_KILLED;
    }
}

void clfcn_children_run(struct clfcn_child *children, int count, double seconds)
{
    const double deadline = clfcn_clock() + seconds;
    struct pollfd *fds = calloc((size_t)count, sizeof(*fds));
    for (int i = 0; i < count; ++i) {
        if (fds) {
            start(&children[i]);
        } else {
            children[i].end = CLFCN_CHILD_UNSTARTED;
            children[i].code = ENOMEM;
        }
    }
    if (fds) {
        receive_all(children, fds, count, deadline);
    }
    free(fds);
    for (int i = 0; i < count; ++i) {
        if (children[i].end != CLFCN_CHILD_UNSTARTED) {
            await_end(&children[i], deadline);
        }
    }
}

FILE *clfcn_child_report(double seconds)
{
    /* A sanitizer's handler would turn a fault into an exit status. */
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
    for (int i = 0; i < (int)(sizeof(faults) / sizeof(faults[0])); ++i) {
        signal(faults[i], SIG_DFL);
    }
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    alarm(seconds < 1e6 ? (unsigned)seconds + 1 : 0);

    const int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (fd < 0 || !freopen("/dev/null", "w", stdout)) {
        return NULL;
    }
    FILE *report = fdopen(fd, "w");
    if (report) {
        setvbuf(report, NULL, _IOLBF, BUFSIZ);
    }
    return report;
}

const char *clfcn_signal_name(int signal_number, char *buf, size_t n)
{
    snprintf(buf, n, "signal %d (%s)", signal_number, strsignal(signal_number));
    return buf;
}
