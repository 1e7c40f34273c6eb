/* comm_mpi.c - joining and leaving an MPI job. */
#include "../util/err.h"
#include "../util/log.h"
#include "../util/machine.h"
#include "../util/sys.h"
#include "job.h"
#include "launch.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What ranks know of each other from the beginning. */
struct card {
    char host[81];
    struct clfcn_process process;
};

/* $CLFCN_COMM_TIMEOUT, the seconds of silence that are too long. */
static int read_limit(double *limit, struct clfcn_err *err)
{
    const char *text = getenv("CLFCN_COMM_TIMEOUT");
    char *end;
    *limit = 300.0;
    if (!text || !*text) {
        return CLFCN_OK;
    }
    *limit = strtod(text, &end);
    return *end == '\0' && isfinite(*limit) && *limit > 0.0
               ? CLFCN_OK
               : clfcn_err_set(err, CLFCN_EINVAL, 0,
                               "CLFCN_COMM_TIMEOUT is '%s': a number of seconds above 0 "
                               "is expected",
                               text);
}

/* The program that uses the library may have initialised MPI already. */
static int init_mpi(struct clfcn_comm *comm, struct clfcn_err *err)
{
    int is_initialized = 0, is_finalized = 0, level = MPI_THREAD_SINGLE, size = 1;
    MPI_Finalized(&is_finalized);
    MPI_Initialized(&is_initialized);
    if (is_finalized) {
        return clfcn_err_set(err, CLFCN_ECOMM, 0,
                             "MPI has been finalized: a process can "
                             "join one job only");
    }
    if (is_initialized) {
        MPI_Query_thread(&level);
    } else {
        const int mpi_rc = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
        if (mpi_rc != MPI_SUCCESS) {
            return clfcn_job_refused(comm, mpi_rc, "MPI_Init_thread", err);
        }
        comm->owns_mpi = true;
        MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
        MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    }
    if (level < MPI_THREAD_FUNNELED) {
        return clfcn_err_set(err, CLFCN_ECOMM, 0,
                             "MPI has been initialised without MPI_THREAD_FUNNELED");
    }
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    return size > 1 ? CLFCN_OK
                    : clfcn_err_set(err, CLFCN_EINVAL, 0,
                                    "started as one of %d ranks, but MPI knows of one "
                                    "only: start it with the mpirun of the MPI that "
                                    "clfcn was built with",
                                    clfcn_launch_size());
}

/* A communicator of our own, and the ranks of this host. The waits in here are MPI's, and
 * short: all ranks have just left its initialisation. */
static int join(struct clfcn_comm *comm, struct clfcn_err *err)
{
    MPI_Comm local = MPI_COMM_NULL;
    int *largest_tag = NULL, has_largest_tag = 0;
    int mpi_rc = MPI_Comm_dup(MPI_COMM_WORLD, &comm->mpi);
    if (mpi_rc != MPI_SUCCESS) {
        return clfcn_job_refused(comm, mpi_rc, "MPI_Comm_dup", err);
    }
    MPI_Comm_set_errhandler(comm->mpi, MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm->mpi, &comm->rank);
    MPI_Comm_size(comm->mpi, &comm->size);
    mpi_rc = MPI_Comm_split_type(comm->mpi, MPI_COMM_TYPE_SHARED, comm->rank,
                                 MPI_INFO_NULL, &local);
    if (mpi_rc != MPI_SUCCESS) {
        return clfcn_job_refused(comm, mpi_rc, "MPI_Comm_split_type", err);
    }
    MPI_Comm_rank(local, &comm->local_rank);
    MPI_Comm_size(local, &comm->local_size);
    MPI_Comm_free(&local);
    MPI_Comm_get_attr(comm->mpi, MPI_TAG_UB, &largest_tag, &has_largest_tag);
    comm->next_tag = CLFCN_TAG_ALLREDUCE;
    comm->last_tag =
        has_largest_tag ? *largest_tag : 32767; /* what the standard grants */
    return CLFCN_OK;
}

static int allocate(struct clfcn_comm *comm, struct clfcn_err *err)
{
    const size_t size = (size_t)comm->size;
    comm->peers = calloc(size, sizeof(*comm->peers));
    comm->in = calloc(size, sizeof(*comm->in));
    comm->out = calloc(size, sizeof(*comm->out));
    comm->requests = calloc(2 * size, sizeof(MPI_Request));
    comm->notice_requests = calloc(2 * size, sizeof(MPI_Request));
    if (!comm->peers || !comm->in || !comm->out || !comm->requests ||
        !comm->notice_requests) {
        return clfcn_err_nomem(err);
    }
    for (size_t i = 0; i < 2 * size; ++i) {
        comm->requests[i] = comm->notice_requests[i] = MPI_REQUEST_NULL;
    }
    return CLFCN_OK;
}

/* Exchange hosts and processes. */
static int meet(struct clfcn_comm *comm, struct clfcn_err *err)
{
    struct clfcn_machine machine;
    struct card mine, *all = calloc((size_t)comm->size, sizeof(*all));
    if (!all) {
        return clfcn_err_nomem(err);
    }
    memset(&mine, 0, sizeof(mine)); /* with what lies between the members */
    clfcn_machine_get(&machine);
    snprintf(mine.host, sizeof(mine.host), "%s", machine.host);
    clfcn_process_self(&mine.process);
    const int rc = clfcn_comm_gather(comm, &mine, sizeof(mine), all, err);
    for (int r = 0; rc == CLFCN_OK && r < comm->size; ++r) {
        struct clfcn_peer *peer = &comm->peers[r];
        memcpy(peer->host, all[r].host, sizeof(peer->host));
        peer->process = all[r].process;
        peer->visible = r != comm->rank && strcmp(peer->host, mine.host) == 0 &&
                        clfcn_process_runs(&peer->process);
    }
    free(all);
    return rc;
}

static void destroy(struct clfcn_comm *comm)
{
    free(comm->peers);
    free(comm->in);
    free(comm->out);
    free(comm->stage);
    free(comm->requests);
    free(comm->notice_requests);
    free(comm);
}

int clfcn_comm_open(struct clfcn_comm **out, struct clfcn_err *err)
{
    double limit;
    *out = NULL;
    if (clfcn_launch_size() <= 1) {
        return CLFCN_OK;
    }
    int rc = read_limit(&limit, err);
    struct clfcn_comm *comm = rc == CLFCN_OK ? calloc(1, sizeof(*comm)) : NULL;
    if (!comm) {
        return rc < 0 ? rc : clfcn_err_nomem(err);
    }
    comm->limit = limit;
    comm->mpi = MPI_COMM_NULL;
    rc = init_mpi(comm, err);
    rc = rc == CLFCN_OK ? join(comm, err) : rc;
    rc = rc == CLFCN_OK ? allocate(comm, err) : rc;
    if (rc < 0) {
        /* Without a word to the others: the launcher ends them when this process has
         * ended without having finalized MPI. */
        destroy(comm);
        return rc;
    }
    rc = meet(comm, err);
    if (rc < 0) {
        clfcn_comm_close(&comm, rc);
        return rc;
    }
    *out = comm;
    return CLFCN_OK;
}

void clfcn_comm_close(struct clfcn_comm **job, int status)
{
    struct clfcn_comm *comm = *job;
    *job = NULL;
    if (!comm) {
        return;
    }
    const bool orderly = comm->failure.code == CLFCN_OK &&
                         (status == CLFCN_OK || status == CLFCN_EINTR || comm->agreed);
    if (!orderly) {
        struct clfcn_err why = comm->failure;
        if (why.code == CLFCN_OK) {
            clfcn_err_set(&why, status, 0, "it ended with %s", clfcn_status_name(status));
        }
        clfcn_comm_fail(comm, &why);
    }
    clfcn_job_notify(comm, CLFCN_NOTICE_LEAVES, status, NULL);
    const bool together = clfcn_job_all_leave(comm, orderly);
    if (orderly && !together) {
        clfcn_warn("the ranks did not end together: %s", comm->failure.msg);
    }
    if (!orderly || !together) {
        /* MPI_Finalize() would wait for messages that nobody receives any more, and may
         * still use what they lie in. The launcher ends the job when this process ends.
         * MPI_Abort() would end it at once, but Open MPI's mpirun (4.1.4) crashes now and
         * then when several ranks call that. */
        return;
    }
    MPI_Comm_free(&comm->mpi);
    if (comm->owns_mpi) {
        MPI_Finalize();
    }
    clfcn_job_free_abandoned(comm);
    destroy(comm);
}

int clfcn_comm_rank(const struct clfcn_comm *comm)
{
    return comm ? comm->rank : 0;
}

int clfcn_comm_size(const struct clfcn_comm *comm)
{
    return comm ? comm->size : 1;
}

int clfcn_comm_local_rank(const struct clfcn_comm *comm)
{
    return comm ? comm->local_rank : 0;
}

int clfcn_comm_local_size(const struct clfcn_comm *comm)
{
    return comm ? comm->local_size : 1;
}

const char *clfcn_comm_host(const struct clfcn_comm *comm, int rank)
{
    return comm ? comm->peers[rank].host : "";
}

const char *clfcn_comm_device(const struct clfcn_comm *comm, int rank)
{
    return comm ? comm->peers[rank].device : "";
}

bool clfcn_comm_is_common(const struct clfcn_comm *comm)
{
    return comm && comm->agreed && comm->failure.code == CLFCN_OK;
}

double clfcn_comm_take_wait(struct clfcn_comm *comm)
{
    if (!comm) {
        return 0.0;
    }
    const double waited = comm->waited;
    comm->waited = 0.0;
    return waited;
}

double clfcn_comm_take_traffic(struct clfcn_comm *comm)
{
    if (!comm) {
        return 0.0;
    }
    const double moved = comm->bytes_moved;
    comm->bytes_moved = 0.0;
    return moved;
}
