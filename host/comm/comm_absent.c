/* comm_absent.c - a build without MPI: there is only one process. */
#include "../util/err.h"
#include "allreduce.h"
#include "launch.h"
#include <string.h>

int clfcn_comm_open(struct clfcn_comm **out, struct clfcn_err *err)
{
    const int size = clfcn_launch_size();
    *out = NULL;
    return size <= 1
               ? CLFCN_OK
               : clfcn_err_set(err, CLFCN_EINVAL, 0,
                               "started as one of %d ranks, but this clfcn was built "
                               "without MPI: install an MPI (Debian: libopenmpi-dev) and "
                               "build it with meson's -Dmpi=enabled, or start it alone",
                               size);
}

void clfcn_comm_close(struct clfcn_comm **comm, int status)
{
    *comm = NULL;
}

int clfcn_comm_rank(const struct clfcn_comm *comm)
{
    return 0;
}

int clfcn_comm_size(const struct clfcn_comm *comm)
{
    return 1;
}

int clfcn_comm_local_rank(const struct clfcn_comm *comm)
{
    return 0;
}

int clfcn_comm_local_size(const struct clfcn_comm *comm)
{
    return 1;
}

const char *clfcn_comm_host(const struct clfcn_comm *comm, int rank)
{
    return "";
}

const char *clfcn_comm_device(const struct clfcn_comm *comm, int rank)
{
    return "";
}

int clfcn_comm_introduce(struct clfcn_comm *comm, const char *device,
                         struct clfcn_err *err)
{
    return CLFCN_OK;
}

int clfcn_comm_gather(struct clfcn_comm *comm, const void *mine, size_t bytes, void *all,
                      struct clfcn_err *err)
{
    memcpy(all, mine, bytes);
    return CLFCN_OK;
}

int clfcn_comm_sum(struct clfcn_comm *comm, double *values, size_t count,
                   struct clfcn_err *err)
{
    return CLFCN_OK;
}

int clfcn_comm_broadcast(struct clfcn_comm *comm, void *data, size_t bytes,
                         struct clfcn_err *err)
{
    return CLFCN_OK;
}

int clfcn_comm_agree(struct clfcn_comm *comm, int rc, struct clfcn_err *err)
{
    return rc;
}

bool clfcn_comm_is_common(const struct clfcn_comm *comm)
{
    return false;
}

int clfcn_comm_cause(const struct clfcn_comm *comm, int rc)
{
    return rc;
}

bool clfcn_comm_speaks(struct clfcn_comm *comm)
{
    return true;
}

void clfcn_comm_fail(struct clfcn_comm *comm, const struct clfcn_err *why)
{
}

void clfcn_comm_be_patient(struct clfcn_comm *comm)
{
}

double clfcn_comm_take_wait(struct clfcn_comm *comm)
{
    return 0.0;
}

int clfcn_allreduce_create(struct clfcn_comm *comm, size_t count, enum clfcn_wire wire,
                           struct clfcn_allreduce **out, struct clfcn_err *err)
{
    *out = NULL;
    return clfcn_err_set(err, CLFCN_EINVAL, 0, "built without MPI");
}

void clfcn_allreduce_destroy(struct clfcn_allreduce **handle)
{
    *handle = NULL;
}

int clfcn_allreduce_start(struct clfcn_allreduce *sum, float *values,
                          struct clfcn_err *err)
{
    return CLFCN_OK;
}

int clfcn_allreduce_test(struct clfcn_allreduce *sum, bool *done, struct clfcn_err *err)
{
    *done = true;
    return CLFCN_OK;
}

int clfcn_comm_rest(struct clfcn_comm *comm, bool waits, struct clfcn_err *err)
{
    return CLFCN_OK;
}

double clfcn_comm_take_traffic(struct clfcn_comm *comm)
{
    return 0.0;
}
