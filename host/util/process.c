/* process.c - other processes of this machine: whether one still runs. */
#include "process.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What Linux's /proc/PID/stat says: the state and when it started. */
static bool read_stat(int64_t pid, char *state, uint64_t *start)
{
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%" PRId64 "/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f) {
        return false;
    }
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    /* "7 (name) S 1 ...": names may hold brackets and blanks. The start is field 22. */
    const char *end = strrchr(text, ')');
    return end &&
           sscanf(end + 1,
                  " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                  "%*s %*s %" SCNu64,
                  state, start) == 2;
}

void clfcn_process_self(struct clfcn_process *out)
{
    char state;
    *out = (struct clfcn_process){ .pid = getpid() };
    if (!read_stat(out->pid, &state, &out->start)) {
        out->start = 0;
    }
}

bool clfcn_process_runs(const struct clfcn_process *process)
{
    char state;
    uint64_t start;
    if (kill((pid_t)process->pid, 0) != 0 && errno == ESRCH) {
        return false;
    }
    if (process->start == 0 || !read_stat(process->pid, &state, &start)) {
        /* Where /proc has told of it before and is silent now, it has just gone. */
        return process->start == 0;
    }
    return start == process->start && state != 'Z' && state != 'X';
}
