/* watch.c - whether the other ranks are still there, and telling them that this one is
 * not.
 *
 * mpirun ends a job in which a process has died: about a second later it sends SIGTERM to
 * all others, and SIGKILL a second after that (Open MPI 4.1). Ranks on the same host see
 * the death before; those on other hosts have that second to say what they know. */
#include "../util/err.h"
#include "../util/sys.h"
#include "job.h"
#include <stdio.h>
#include <string.h>

/* Seconds. */
#define NAP_SHORTEST 20e-6
#define NAP_LONGEST 1e-3
#define LOOK_EVERY 2e-3
#define COUNT_EVERY 50e-3
/* How long a rank that has left may be waited for: until what it sent before is here. */
#define LEFT_GRACE 1.0
/* Silence of other hosts that is too long after SIGTERM. */
#define TERMINATED_LIMIT 0.5
/* For others to notice that this rank has failed, before the job is ended by force. */
#define FAILED_GRACE 1.0
/* For what a process said before it ended to arrive. */
#define LAST_WORDS 20e-3
/* For those that listen to say that they know of a failure; the latter after SIGTERM. */
#define ANSWER_GRACE 0.5
#define TERMINATED_ANSWER_GRACE 0.2

const char *clfcn_job_name(const struct clfcn_comm *comm, int rank,
                           char buf[CLFCN_RANK_LEN])
{
    const struct clfcn_peer *peer = &comm->peers[rank];
    snprintf(buf, CLFCN_RANK_LEN, "rank %d (host %s%s%s)", rank, peer->host,
             peer->device[0] ? ", " : "", peer->device);
    return buf;
}

/* What has been recorded once is the answer to everything from then on. */
static int say_failure(const struct clfcn_comm *comm, struct clfcn_err *err)
{
    if (err && comm->failure.code != CLFCN_OK) {
        *err = comm->failure;
    }
    return comm->failure.code;
}

/* A rank whose process has ended without a word; -1: none. */
static int find_dead(const struct clfcn_comm *comm)
{
    for (int r = 0; r < comm->size; ++r) {
        const struct clfcn_peer *peer = &comm->peers[r];
        if (peer->visible && !peer->leaves && !clfcn_process_runs(&peer->process)) {
            return r;
        }
    }
    return -1;
}

static void blame_the_dead(struct clfcn_comm *comm)
{
    const int dead = find_dead(comm);
    char name[CLFCN_RANK_LEN];
    if (dead >= 0 && comm->failure.code == CLFCN_OK) {
        comm->peers[dead].lost = true;
        clfcn_err_set(&comm->failure, CLFCN_ECOMM, 0, "%s died",
                      clfcn_job_name(comm, dead, name));
    }
}

static void take_notice(struct clfcn_comm *comm, int rank,
                        const struct clfcn_notice *notice)
{
    struct clfcn_peer *peer = &comm->peers[rank];
    char name[CLFCN_RANK_LEN];
    peer->spoke = peer->spoke || notice->spoke;
    if (notice->kind == CLFCN_NOTICE_LEAVES) {
        peer->leaves = true;
        peer->left_at = clfcn_clock();
        return;
    }
    peer->failed = true;
    comm->cause = comm->cause ? comm->cause : notice->cause;
    if (comm->failure.code != CLFCN_OK) {
        return;
    }
    if (notice->status == CLFCN_ECOMM) { /* it has heard of another's failure */
        clfcn_err_set(&comm->failure, CLFCN_ECOMM, 0, "%s", notice->text);
    } else {
        clfcn_err_set(&comm->failure, CLFCN_ECOMM, 0, "%s failed: %s",
                      clfcn_job_name(comm, rank, name), notice->text);
    }
}

static int receive_notices(struct clfcn_comm *comm, struct clfcn_err *err)
{
    for (;;) {
        struct clfcn_notice notice;
        MPI_Status status;
        int there = 0;
        int mpi_rc =
            MPI_Iprobe(MPI_ANY_SOURCE, CLFCN_TAG_NOTICE, comm->mpi, &there, &status);
        if (mpi_rc == MPI_SUCCESS && !there) {
            return CLFCN_OK;
        }
        if (mpi_rc == MPI_SUCCESS) {
            /* All of it is there: it is too short to be sent in two steps. */
            mpi_rc = MPI_Recv(&notice, sizeof(notice), MPI_BYTE, status.MPI_SOURCE,
                              CLFCN_TAG_NOTICE, comm->mpi, MPI_STATUS_IGNORE);
        }
        if (mpi_rc != MPI_SUCCESS) {
            return clfcn_job_refused(comm, mpi_rc, "MPI_Iprobe", err);
        }
        notice.text[sizeof(notice.text) - 1] = '\0';
        take_notice(comm, status.MPI_SOURCE, &notice);
    }
}

/* Whether a process has ended. If it has said why, that may still be under way. */
static void count_processes(struct clfcn_comm *comm)
{
    const double begin = clfcn_clock();
    while (find_dead(comm) >= 0 && comm->failure.code == CLFCN_OK &&
           clfcn_clock() - begin < LAST_WORDS &&
           receive_notices(comm, NULL) == CLFCN_OK) {
        clfcn_sleep(NAP_LONGEST);
    }
    blame_the_dead(comm);
}

int clfcn_job_refused(struct clfcn_comm *comm, int mpi_rc, const char *call,
                      struct clfcn_err *err)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int len = 0;
    if (comm->failure.code == CLFCN_OK && comm->peers) {
        blame_the_dead(comm); /* a better reason */
    }
    if (comm->failure.code == CLFCN_OK) {
        MPI_Error_string(mpi_rc, text, &len);
        clfcn_err_set(&comm->failure, CLFCN_ECOMM, mpi_rc, "%s: %.400s", call, text);
    }
    return say_failure(comm, err);
}

void clfcn_job_heard(struct clfcn_comm *comm, int rank)
{
    comm->silence = 0.0;
    comm->nap = NAP_SHORTEST;
    if (rank >= 0) {
        comm->peers[rank].heard_at = clfcn_clock();
    }
    comm->patient = comm->patient && rank != 0;
}

int clfcn_job_look(struct clfcn_comm *comm, struct clfcn_err *err)
{
    if (comm->failure.code != CLFCN_OK) {
        return say_failure(comm, err);
    }
    const double now = clfcn_clock();
    const bool terminated = clfcn_interrupt_terminated();
    const bool first = terminated && !comm->terminated;
    if (first) {
        comm->terminated = true;
        comm->silence = 0.0; /* from now on less of it is too long */
    }
    if (!first && now - comm->looked_at < LOOK_EVERY) {
        return CLFCN_OK;
    }
    comm->looked_at = now;
    if (receive_notices(comm, err) < 0) {
        return comm->failure.code;
    }
    if (first || now - comm->counted_at >= COUNT_EVERY) {
        comm->counted_at = now;
        count_processes(comm);
    }
    for (int r = 0; r < comm->size && comm->failure.code == CLFCN_OK; ++r) {
        const struct clfcn_peer *peer = &comm->peers[r];
        char name[CLFCN_RANK_LEN];
        if (peer->awaited > 0 && peer->leaves && now - peer->left_at > LEFT_GRACE) {
            clfcn_err_set(&comm->failure, CLFCN_ECOMM, 0,
                          "%s has ended and left the others behind",
                          clfcn_job_name(comm, r, name));
        }
    }
    return say_failure(comm, err);
}

/* Nothing has come for too long: name the rank that was heard of longest ago, as others
 * may be waiting for it too, and number those. */
static int give_up(struct clfcn_comm *comm, struct clfcn_err *err)
{
    char name[CLFCN_RANK_LEN] = "the other ranks", also[128] = "";
    int late = -1;
    for (int r = 0; r < comm->size; ++r) {
        if (comm->peers[r].awaited > 0 &&
            (late < 0 || comm->peers[r].heard_at < comm->peers[late].heard_at)) {
            late = r;
        }
    }
    for (int r = 0; r < comm->size; ++r) {
        const size_t len = strlen(also);
        if (comm->peers[r].awaited > 0 && r != late && len < sizeof(also) - 16) {
            snprintf(also + len, sizeof(also) - len, len > 0 ? ", %d" : "; nor rank %d",
                     r);
        }
    }
    if (late >= 0) {
        comm->peers[late].lost = true;
        clfcn_job_name(comm, late, name);
    }
    if (comm->silence <= comm->limit) {
        clfcn_err_set(&comm->failure, CLFCN_ECOMM, 0, "stopped while waiting for %s",
                      name);
    } else {
        clfcn_err_set(&comm->failure, CLFCN_ECOMM, 0, "%s has not answered for %g s%s",
                      name, comm->limit, also);
    }
    return say_failure(comm, err);
}

/* After SIGTERM the end may be near, and another host's rank be dead; but a user may have
 * sent it, and others have a step to end or a checkpoint to write. */
static double silence_limit(const struct clfcn_comm *comm)
{
    bool remote = false;
    for (int r = 0; r < comm->size; ++r) {
        remote = remote || (comm->peers[r].awaited > 0 && !comm->peers[r].visible);
    }
    return comm->terminated && remote && !comm->patient ? TERMINATED_LIMIT : comm->limit;
}

void clfcn_comm_be_patient(struct clfcn_comm *comm)
{
    if (comm) {
        comm->patient = comm->rank != 0;
    }
}

int clfcn_comm_rest(struct clfcn_comm *comm, bool waits, struct clfcn_err *err)
{
    if (!comm) {
        return CLFCN_OK;
    }
    const int rc = clfcn_job_look(comm, err);
    if (rc < 0) {
        return rc;
    }
    const double begin = clfcn_clock();
    clfcn_sleep(comm->nap);
    const double slept = clfcn_clock() - begin;
    comm->waited += waits ? slept : 0.0;
    /* A process that was stopped for a while has not listened for so long. */
    comm->silence += slept < 1.0 ? slept : 1.0;
    comm->nap = 1.5 * comm->nap < NAP_LONGEST ? 1.5 * comm->nap : NAP_LONGEST;
    return comm->silence > silence_limit(comm) ? give_up(comm, err) : CLFCN_OK;
}

void clfcn_job_notify(struct clfcn_comm *comm, enum clfcn_notice_kind kind, int status,
                      const char *text)
{
    struct clfcn_notice *notice = &comm->notices[kind];
    *notice = (struct clfcn_notice){
        .kind = kind, .status = status, .cause = comm->cause, .spoke = comm->spoke
    };
    snprintf(notice->text, sizeof(notice->text), "%s", text ? text : "");
    for (int r = 0; r < comm->size; ++r) {
        MPI_Request *request = &comm->notice_requests[(int)kind * comm->size + r];
        if (r != comm->rank && *request == MPI_REQUEST_NULL) {
            MPI_Isend(notice, sizeof(*notice), MPI_BYTE, r, CLFCN_TAG_NOTICE, comm->mpi,
                      request);
        }
    }
}

void clfcn_comm_fail(struct clfcn_comm *comm, const struct clfcn_err *why)
{
    if (!comm || comm->told) {
        return;
    }
    comm->told = true;
    comm->cause = comm->cause ? comm->cause : why->code;
    clfcn_job_notify(comm, CLFCN_NOTICE_FAILED, why->code, why->msg);
    if (comm->failure.code == CLFCN_OK) {
        clfcn_err_set(&comm->failure, CLFCN_ECOMM, 0, "this rank has failed: %s",
                      why->msg);
    }
}

int clfcn_comm_cause(const struct clfcn_comm *comm, int rc)
{
    return rc == CLFCN_ECOMM && comm && comm->cause ? comm->cause : rc;
}

/* Whether another rank speaks or has spoken: one before this that knows of the failure,
 * or one behind that was quicker. */
static bool is_led(const struct clfcn_comm *comm)
{
    bool led = false;
    for (int r = 0; r < comm->size; ++r) {
        const struct clfcn_peer *peer = &comm->peers[r];
        const bool before = r < comm->rank && !peer->lost;
        led = led || peer->spoke || (before && (peer->failed || peer->leaves));
    }
    return led;
}

/* Whether one before this one may still be heard of. */
static bool may_be_led(const struct clfcn_comm *comm)
{
    bool may_be = false;
    for (int r = 0; r < comm->rank; ++r) {
        may_be = may_be || !comm->peers[r].lost;
    }
    return may_be;
}

bool clfcn_comm_speaks(struct clfcn_comm *comm)
{
    if (!comm) {
        return true;
    }
    const double begin = clfcn_clock();
    const double grace = comm->terminated ? TERMINATED_ANSWER_GRACE : ANSWER_GRACE;
    while (may_be_led(comm) && !is_led(comm) && clfcn_clock() - begin < grace &&
           receive_notices(comm, NULL) == CLFCN_OK) {
        clfcn_sleep(NAP_LONGEST);
    }
    comm->spoke = !is_led(comm);
    return comm->spoke;
}

/* Whether all other ranks leave and what was sent to them is out. */
static bool all_left(struct clfcn_comm *comm)
{
    int sent = 0;
    MPI_Testall(2 * comm->size, comm->notice_requests, &sent, MPI_STATUSES_IGNORE);
    for (int r = 0; r < comm->size; ++r) {
        if (r != comm->rank && !comm->peers[r].leaves) {
            return false;
        }
    }
    return sent != 0;
}

bool clfcn_job_all_leave(struct clfcn_comm *comm, bool expected)
{
    double since = clfcn_clock();
    comm->nap = NAP_SHORTEST;
    for (;;) {
        if (receive_notices(comm, NULL) < 0) {
            return false;
        }
        if (all_left(comm)) {
            return true;
        }
        if (expected) {
            clfcn_job_look(comm, NULL);
            if (comm->failure.code != CLFCN_OK) {
                expected = false;
                since = clfcn_clock();
            }
        }
        const double limit = expected ? comm->limit : FAILED_GRACE;
        if (clfcn_clock() - since > limit) {
            if (comm->failure.code == CLFCN_OK) {
                clfcn_err_set(&comm->failure, CLFCN_ECOMM, 0,
                              "not all came to their end within %g s", limit);
            }
            return false;
        }
        clfcn_sleep(comm->nap);
        comm->nap = 1.5 * comm->nap < NAP_LONGEST ? 1.5 * comm->nap : NAP_LONGEST;
    }
}
