#include "fork.h"

#include "array.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

static const int signals[] = { SIGINT, SIGTERM, SIGHUP };

static int to_parent = -1; /* in a child: the pipe's end */
static volatile sig_atomic_t goes_to, asked;

/* --- signals --- */

/* One that was sent to this process alone goes on to the child; a terminal's has been
 * sent to both. */
static void pass_on(int sig, siginfo_t *info, void *context)
{
    (void)context;
    const int error = errno;
    asked = 1;
    if (goes_to > 0 && info->si_code <= 0) {
        kill((pid_t)goes_to, sig);
    }
    errno = error;
}

static void listen_for_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_sigaction = pass_on;
    action.sa_flags = SA_RESTART | SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < CLFCN_ARRAY_LEN(signals); ++i) {
        sigaction(signals[i], &action, NULL);
    }
}

static void forget_signals(void)
{
    for (int i = 0; i < CLFCN_ARRAY_LEN(signals); ++i) {
        signal(signals[i], SIG_DFL);
    }
}

/* SIG_BLOCK: those that come wait until SIG_UNBLOCK. */
static void hold_signals(int how)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < CLFCN_ARRAY_LEN(signals); ++i) {
        sigaddset(&set, signals[i]);
    }
    sigprocmask(how, &set, NULL);
}

bool clfcn_fork_is_asked(void)
{
    return asked != 0;
}

bool clfcn_signal_is_crash(int sig)
{
    return sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL ||
           sig == SIGABRT || sig == SIGKILL;
}

/* --- parent and child --- */

static int refuse(const char *what, struct clfcn_err *err)
{
    const int error = errno;
    return clfcn_err_set(err, CLFCN_EIO, error, "%s: %s", what, strerror(error));
}

int clfcn_fork_start(struct clfcn_fork *child, struct clfcn_err *err)
{
    int ends[2];
    fflush(NULL);
    if (pipe(ends) < 0) {
        return refuse("cannot make a pipe", err);
    }
    listen_for_signals();
    hold_signals(SIG_BLOCK); /* until it is known to whom they go */
#ifdef __linux__
    const pid_t parent = getpid();
#endif
    const pid_t pid = fork();
    if (pid < 0) {
        const int rc = refuse("cannot start a process", err);
        hold_signals(SIG_UNBLOCK);
        close(ends[0]);
        close(ends[1]);
        return rc;
    }
    if (pid == 0) {
#ifdef __linux__
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent) { /* it has died before this could be asked for */
            _exit(1);
        }
#endif
        forget_signals();
        hold_signals(SIG_UNBLOCK);
        close(ends[0]);
        to_parent = ends[1];
        return 0;
    }
    goes_to = (sig_atomic_t)pid;
    hold_signals(SIG_UNBLOCK);
    close(ends[1]);
    *child = (struct clfcn_fork){ .pid = pid, .from = ends[0] };
    return 1;
}

bool clfcn_fork_wait(struct clfcn_fork *child, void *said, size_t bytes,
                     struct clfcn_fork_end *end)
{
    int status = 0;
    while (waitpid((pid_t)child->pid, &status, 0) < 0 && errno == EINTR) {
    }
    goes_to = 0;
    *end = (struct clfcn_fork_end){
        .status = WIFEXITED(status) ? WEXITSTATUS(status) : 0,
        .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
    };
    const bool has_said = read(child->from, said, bytes) == (ssize_t)bytes;
    close(child->from);
    return has_said;
}

bool clfcn_fork_is_child(void)
{
    return to_parent >= 0;
}

void clfcn_fork_say(const void *what, size_t bytes)
{
    while (write(to_parent, what, bytes) < 0 && errno == EINTR) {
    }
}

void clfcn_exit_now(int status)
{
    _exit(status);
}
