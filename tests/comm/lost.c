/* lost.c - a rank is lost while the others wait for it: what do they say? For
 * test_lost.py.
 *
 *   mpirun -n K lost WAIT HOW
 *
 * WAIT: what the others do: sum, gather, broadcast, agree, allreduce, or, for longer than
 * the job lasts, busy: they do not listen. HOW rank 1 is lost:
 * killed, failed (it says so and why), silent, stopped (the others receive SIGTERM, and
 * it comes late), left (it ends as if all were well), and agreed (all know, none is
 * lost). Each of the others says on stderr "rank R: STATUS MESSAGE after SECONDS s", and
 * the one that is to tell the user "rank R speaks". The exit status is 4 where
 * rank 1 failed by itself, else 1. */
#include "../../host/comm/allreduce.h"
#include "../../host/comm/comm.h"
#include "../../host/util/err.h"
#include "../../host/util/sys.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { COUNT = 400000 };
static float values[COUNT];

static int wait_in(struct clfcn_comm *comm, const char *where, struct clfcn_err *err)
{
    static double numbers[5000];
    double mine = 0.0, all[64];
    if (strcmp(where, "sum") == 0) {
        return clfcn_comm_sum(comm, numbers, 5000, err);
    }
    if (strcmp(where, "gather") == 0) {
        return clfcn_comm_gather(comm, &mine, sizeof(mine), all, err);
    }
    if (strcmp(where, "broadcast") == 0) { /* the first rank waits for the next step */
        const int rc = clfcn_comm_broadcast(comm, values, sizeof(values), err);
        return rc == CLFCN_OK ? clfcn_comm_agree(comm, rc, err) : rc;
    }
    if (strcmp(where, "agree") == 0) {
        return clfcn_comm_agree(comm, CLFCN_OK, err);
    }
    if (strcmp(where, "busy") == 0) {
        clfcn_sleep(6.0);
    }
    struct clfcn_allreduce *sum;
    bool done = false;
    int rc = clfcn_allreduce_create(comm, COUNT, CLFCN_WIRE_FP32, &sum, err);
    rc = rc == CLFCN_OK ? clfcn_allreduce_start(sum, values, err) : rc;
    while (rc == CLFCN_OK && !done) {
        rc = clfcn_allreduce_test(sum, &done, err);
        rc = rc == CLFCN_OK && !done ? clfcn_comm_rest(comm, true, err) : rc;
    }
    clfcn_allreduce_destroy(&sum);
    return rc;
}

/* Rank 1's way. */
static int get_lost(struct clfcn_comm *comm, const char *how, struct clfcn_err *err)
{
    clfcn_sleep(0.3);
    if (strcmp(how, "killed") == 0) {
        kill(getpid(), SIGKILL);
    } else if (strcmp(how, "failed") == 0) {
        clfcn_err_set(err, CLFCN_EDATA, 0, "image 'a.png': not a PNG");
        clfcn_comm_fail(comm, err);
        return CLFCN_EDATA;
    } else if (strcmp(how, "agreed") == 0) {
        clfcn_err_set(err, CLFCN_EDATA, 0, "image 'a.png': not a PNG");
        return clfcn_comm_agree(comm, CLFCN_EDATA, err);
    } else if (strcmp(how, "stopped") == 0) {
        clfcn_sleep(1.2);
        return wait_in(comm, "sum", err);
    } else if (strcmp(how, "left") != 0) {
        for (int i = 0; i < 100; ++i) {
            clfcn_sleep(0.1);
        }
    }
    return CLFCN_OK;
}

int main(int argc, char **argv)
{
    struct clfcn_comm *comm;
    struct clfcn_err err = { 0 };
    if (argc != 3 || clfcn_comm_open(&comm, &err) < 0) {
        fprintf(stderr, "lost: %s\n", err.msg);
        return 2;
    }
    const int rank = clfcn_comm_rank(comm);
    clfcn_interrupt_install();
    int rc = clfcn_comm_introduce(comm, rank == 1 ? "Card B" : "Card A", &err);
    const double begin = clfcn_clock();
    if (rank != 1 && strcmp(argv[2], "stopped") == 0) {
        raise(SIGTERM);
    }
    rc = rc < 0      ? rc
         : rank == 1 ? get_lost(comm, argv[2], &err)
                     : wait_in(comm, argv[1], &err);
    if (rc < 0 && !clfcn_comm_is_common(comm)) {
        clfcn_comm_fail(comm, &err);
        if (clfcn_comm_speaks(comm)) {
            fprintf(stderr, "rank %d speaks\n", rank);
        }
    }
    if (rank != 1) {
        char line[1200];
        snprintf(line, sizeof(line), "rank %d: %s %s after %.2f s\n", rank,
                 clfcn_status_name(rc), rc < 0 ? err.msg : "", clfcn_clock() - begin);
        fputs(line, stderr);
    }
    rc = clfcn_comm_cause(comm, rc);
    clfcn_comm_close(&comm, rc);
    return rc == CLFCN_OK ? 0 : rc == CLFCN_EDATA ? 4 : 1;
}
