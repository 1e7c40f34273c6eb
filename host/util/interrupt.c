/* interrupt.c - SIGINT and SIGTERM as a flag that the work looks at between steps. */
#include "sys.h"
#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile bool requested;
static volatile sig_atomic_t interrupted;
static volatile sig_atomic_t terminated;
static volatile double interrupted_at; /* read and written in the handler only */

static void on_signal(int sig)
{
    if (sig == SIGINT) {
        /* timeout(1) and some shells deliver one interrupt twice, to the process and
         * to its group: only a later one is a second wish. clock_gettime() is safe in
         * a handler. */
        if (interrupted && clfcn_clock() - interrupted_at > 0.1) {
            _exit(130);
        }
        if (!interrupted) {
            interrupted_at = clfcn_clock();
            interrupted = 1;
        }
    } else {
        terminated = 1;
    }
    clfcn_flag_set(&requested, true);
}

void clfcn_interrupt_install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART; /* the step in progress is to finish, not to fail */
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGINT);
    sigaddset(&action.sa_mask, SIGTERM);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

const volatile bool *clfcn_interrupt_flag(void)
{
    return &requested;
}

bool clfcn_interrupt_terminated(void)
{
    return terminated != 0;
}

void clfcn_interrupt_request(void)
{
    clfcn_flag_set(&requested, true);
}
