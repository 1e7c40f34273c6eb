/* parcels.c - one message at most from each rank to each other, slept for. */
#include "../util/err.h"
#include "job.h"
#include <limits.h>
#include <stdlib.h>

int clfcn_job_stage(struct clfcn_comm *comm, size_t bytes, struct clfcn_err *err)
{
    if (comm->failure.code != CLFCN_OK) {
        return clfcn_job_look(comm, err); /* an earlier exchange may still use it */
    }
    if (bytes > comm->stage_bytes) {
        free(comm->stage);
        comm->stage = malloc(bytes);
        comm->stage_bytes = comm->stage ? bytes : 0;
    }
    return comm->stage || bytes == 0 ? CLFCN_OK : clfcn_err_nomem(err);
}

/* Requests 0 .. size-1 are what comes, the others what goes. */
static int begin(struct clfcn_comm *comm, struct clfcn_err *err)
{
    const int size = comm->size;
    int mpi_rc = MPI_SUCCESS;
    for (int r = 0; r < size && mpi_rc == MPI_SUCCESS; ++r) {
        if (r != comm->rank && comm->in[r].bytes > 0) {
            mpi_rc = MPI_Irecv(comm->in[r].data, (int)comm->in[r].bytes, MPI_BYTE, r,
                               CLFCN_TAG_EXCHANGE, comm->mpi, &comm->requests[r]);
            ++comm->peers[r].awaited;
        }
    }
    for (int i = 1; i < size && mpi_rc == MPI_SUCCESS; ++i) {
        const int r = (comm->rank + i) % size; /* not all to the same one first */
        if (comm->out[r].bytes > 0) {
            mpi_rc = MPI_Isend(comm->out[r].data, (int)comm->out[r].bytes, MPI_BYTE, r,
                               CLFCN_TAG_EXCHANGE, comm->mpi, &comm->requests[size + r]);
            comm->bytes_moved += (double)comm->out[r].bytes;
        }
    }
    return mpi_rc == MPI_SUCCESS ? CLFCN_OK
                                 : clfcn_job_refused(comm, mpi_rc, "MPI_Isend", err);
}

/* *open: messages that are under way. */
static int test(struct clfcn_comm *comm, int *open, bool *moved, struct clfcn_err *err)
{
    const int size = comm->size;
    *open = 0;
    for (int i = 0; i < 2 * size; ++i) {
        MPI_Status status;
        int done = 0, bytes = 0;
        if (comm->requests[i] == MPI_REQUEST_NULL) {
            continue;
        }
        const int mpi_rc = MPI_Test(&comm->requests[i], &done, &status);
        if (mpi_rc != MPI_SUCCESS) {
            return clfcn_job_refused(comm, mpi_rc, "MPI_Test", err);
        }
        if (!done) {
            ++*open;
            continue;
        }
        *moved = true;
        if (i < size) {
            MPI_Get_count(&status, MPI_BYTE, &bytes);
            comm->bytes_moved += bytes;
            --comm->peers[i].awaited;
            clfcn_job_heard(comm, i);
        }
    }
    return CLFCN_OK;
}

/* Those that others have not sent yet are cancelled; the rest is left to MPI, with the
 * stage. */
static void give_up(struct clfcn_comm *comm)
{
    for (int i = 0; i < 2 * comm->size; ++i) {
        if (comm->requests[i] != MPI_REQUEST_NULL) {
            if (i < comm->size) {
                MPI_Cancel(&comm->requests[i]);
            }
            MPI_Request_free(&comm->requests[i]);
        }
    }
}

int clfcn_job_exchange(struct clfcn_comm *comm, struct clfcn_err *err)
{
    int open = 1, rc = clfcn_job_look(comm, err);
    for (int r = 0; rc == CLFCN_OK && r < comm->size; ++r) {
        if (comm->in[r].bytes > INT_MAX || comm->out[r].bytes > INT_MAX) {
            rc = clfcn_err_set(err, CLFCN_EINVAL, 0,
                               "too many bytes for one message to a rank");
        }
    }
    rc = rc == CLFCN_OK ? begin(comm, err) : rc;
    clfcn_job_heard(comm, -1);
    while (rc == CLFCN_OK && open > 0) {
        bool moved = false;
        rc = test(comm, &open, &moved, err);
        if (rc == CLFCN_OK && open > 0) {
            /* Others may need what this rank has to do for sums under way. */
            rc = clfcn_job_advance(comm, &moved, err);
        }
        if (rc == CLFCN_OK && open > 0) {
            rc = moved ? clfcn_job_look(comm, err) : clfcn_comm_rest(comm, true, err);
        }
    }
    if (rc < 0) {
        give_up(comm);
    }
    for (int r = 0; r < comm->size; ++r) {
        comm->in[r] = comm->out[r] = (struct clfcn_parcel){ 0 };
    }
    return rc;
}
