#include "job.h"
#include "../comm/comm.h"
#include "../device/driver.h"
#include "../device/share.h"
#include "../util/cpus.h"
#include <stdlib.h>
#include <string.h>

int cli_job_open(struct cli_env *env, struct clfcn_err *err)
{
    const int rc = clfcn_comm_open(&env->comm, err);
    if (rc == CLFCN_OK && !cli_job_leads(env) && !freopen("/dev/null", "w", stdout)) {
        return clfcn_err_set(err, CLFCN_EIO, 0, "cannot write to /dev/null");
    }
    return rc;
}

bool cli_job_leads(const struct cli_env *env)
{
    return clfcn_comm_rank(env->comm) == 0;
}

int cli_job_same(const struct cli_env *env, const char *option, const char *value,
                 struct clfcn_err *err)
{
    char **all = NULL;
    int rc = env->comm ? clfcn_comm_gather_text(env->comm, value, &all, err) : CLFCN_OK;
    for (int r = 1; rc == CLFCN_OK && r < clfcn_comm_size(env->comm); ++r) {
        const char *theirs = all[r] ? all[r] : "nothing";
        const char *first = all[0] ? all[0] : "nothing";
        if (strcmp(theirs, first) != 0) {
            rc = clfcn_err_set(err, CLFCN_EINVAL, 0,
                               "--%s: rank %d (%s) was given %s, rank 0 %s: start all "
                               "ranks with the same options",
                               option, r, clfcn_comm_host(env->comm, r), theirs, first);
        }
    }
    free(all);
    return clfcn_comm_agree(env->comm, rc, err);
}

/* What each rank on this host, by its number there, says of its processors: an array to
 * be freed. Collective. */
static int gather_cpus(struct clfcn_comm *comm, uint64_t **out, struct clfcn_err *err)
{
    struct seat {
        uint64_t cpus;
        int64_t local_rank;
    };
    const int size = clfcn_comm_size(comm), rank = clfcn_comm_rank(comm);
    const int local_size = clfcn_comm_local_size(comm);
    const struct seat own = { clfcn_cpus_hash(), clfcn_comm_local_rank(comm) };
    struct seat *all = calloc((size_t)size, sizeof(*all));
    uint64_t *cpus = calloc((size_t)local_size, sizeof(*cpus));
    *out = NULL;
    int rc = clfcn_comm_agree(comm, all && cpus ? CLFCN_OK : clfcn_err_nomem(err), err);
    if (rc == CLFCN_OK) {
        rc = clfcn_comm_gather(comm, &own, sizeof(own), all, err);
    }
    for (int r = 0; r < size && rc == CLFCN_OK; ++r) {
        const bool here =
            strcmp(clfcn_comm_host(comm, r), clfcn_comm_host(comm, rank)) == 0;
        if (here && all[r].local_rank < local_size) {
            cpus[all[r].local_rank] = all[r].cpus;
        }
    }
    free(all);
    if (rc < 0) {
        free(cpus);
    } else {
        *out = cpus;
    }
    return rc;
}

int cli_job_device_open(struct cli_env *env, int rc, struct clfcn_dev **dev,
                        struct clfcn_err *err)
{
    struct clfcn_comm *comm = env->comm;
    struct clfcn_seats seats = { .rank = clfcn_comm_local_rank(comm),
                                 .ranks = clfcn_comm_local_size(comm) };
    uint64_t *cpus = NULL;
    /* One rank on each host tries its drivers; the others find what it remembers. */
    if (rc == CLFCN_OK && seats.rank == 0) {
        rc = clfcn_drivers_vet(false, NULL, NULL, err);
    }
    rc = clfcn_comm_agree(comm, rc, err);
    if (rc == CLFCN_OK) {
        rc = gather_cpus(comm, &cpus, err);
    }
    if (rc == CLFCN_OK) {
        seats.cpus = cpus;
        rc = clfcn_comm_agree(comm, clfcn_dev_open_seat(env->device, &seats, dev, err),
                              err);
    }
    if (rc < 0) {
        clfcn_dev_close(dev);
    }
    free(cpus);
    return rc;
}

int cli_job_close(struct cli_env *env, int rc, const struct clfcn_err *err)
{
    const bool common = rc < 0 && clfcn_comm_is_common(env->comm);
    const bool leads = cli_job_leads(env);
    if (rc < 0 && !common && env->comm) {
        clfcn_comm_fail(env->comm, err);
        env->told = true;
        if (clfcn_comm_speaks(env->comm)) {
            cli_print_error(env, err);
        }
        rc = clfcn_comm_cause(env->comm, rc);
    }
    clfcn_comm_close(&env->comm, rc);
    return common && !leads ? CLFCN_OK : rc;
}
