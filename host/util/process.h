/* process.h - other processes of this machine: whether one still runs. */
#ifndef CLFCN_UTIL_PROCESS_H
#define CLFCN_UTIL_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* Numbers are given again to new processes; number and start together are not. */
struct clfcn_process {
    int64_t pid;
    uint64_t start; /* in the system's ticks since it booted, 0 where it does not tell */
};

/* The process that calls. */
void clfcn_process_self(struct clfcn_process *out);

/* Whether it runs on this machine: not so once it has ended, even if its parent has not
 * looked yet. Processes that this one cannot see, in another container, do not run. */
bool clfcn_process_runs(const struct clfcn_process *process);

#endif
