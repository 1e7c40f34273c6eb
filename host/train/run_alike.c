/* run_alike.c - what all ranks of a run must have alike: configuration and data. */
#include "../comm/comm.h"
#include "config.h"
#include "run.h"

#include <stdlib.h>
#include <string.h>

const char *clfcn_run_rank_name(const struct clfcn_run *run, int rank, char *buf,
                                size_t n)
{
    const struct clfcn_comm *comm = run->config.comm;
    snprintf(buf, n, "rank %d (%s, %s)", rank, clfcn_comm_host(comm, rank),
             clfcn_comm_device(comm, rank));
    return buf;
}

/* --- configuration --- */

/* What concerns each rank's device or machine alone. */
static const char *const own[] = { "gemm", "workers", "cache-mem", "workspace", "mem" };

/* Say which option differs; value is rank's, first the first rank's, both borrowed. */
static int differs(const struct clfcn_run *run, int rank, const char *key,
                   const json_t *value, const json_t *first, struct clfcn_err *err)
{
    const size_t how = JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6);
    char *a = json_dumps(value, how), *b = json_dumps(first, how);
    char name[512];
    const int rc =
        a == NULL || b == NULL
            ? clfcn_err_nomem(err)
            : clfcn_err_set(err, CLFCN_EINVAL, 0,
                            "%s was given --%s %s, rank 0 %s: start all ranks with the "
                            "same options",
                            clfcn_run_rank_name(run, rank, name, sizeof(name)), key, a,
                            b);
    free(a);
    free(b);
    return rc;
}

static int compare(const struct clfcn_run *run, int rank, const char *text,
                   const json_t *first, struct clfcn_err *err)
{
    json_t *config = json_loads(text != NULL ? text : "", 0, NULL);
    const char *key;
    json_t *value;
    int rc = config != NULL ? CLFCN_OK : clfcn_err_nomem(err);
    json_object_foreach(config, key, value)
    {
        const json_t *theirs = json_object_get(first, key);
        if (rc == CLFCN_OK && !json_equal(value, theirs)) {
            rc = differs(run, rank, key, value, theirs, err);
        }
    }
    json_decref(config);
    return rc;
}

/* What all are to have alike, NULL if memory is exhausted. Free with free(). */
static char *write_common(const struct clfcn_train_config *config, bool resume)
{
    json_t *json = clfcn_config_to_json(config);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); ++i) {
        json_object_del(json, own[i]);
    }
    const bool complete =
        json != NULL && json_object_set_new(json, "out", json_string(config->out)) == 0 &&
        json_object_set_new(json, "resume", json_boolean(resume)) == 0;
    char *text = complete ? json_dumps(json, JSON_REAL_PRECISION(17)) : NULL;
    json_decref(json);
    return text;
}

int clfcn_run_same_config(const struct clfcn_run *run, bool resume, struct clfcn_err *err)
{
    struct clfcn_comm *comm = run->config.comm;
    char **all = NULL;
    if (comm == NULL) {
        return CLFCN_OK;
    }
    char *text = write_common(&run->config, resume);
    int rc = clfcn_comm_gather_text(comm, text, &all, err);
    free(text);
    json_t *first = rc == CLFCN_OK && all[0] != NULL ? json_loads(all[0], 0, NULL) : NULL;
    if (rc == CLFCN_OK && first == NULL) {
        rc = clfcn_err_nomem(err);
    }
    for (int i = 1; rc == CLFCN_OK && i < clfcn_comm_size(comm); ++i) {
        rc = compare(run, i, all[i], first, err);
    }
    json_decref(first);
    free(all);
    return clfcn_comm_agree(comm, rc, err);
}

/* --- data --- */

int clfcn_run_same_data(struct clfcn_run *run, struct clfcn_err *err)
{
    struct clfcn_comm *comm = run->config.comm;
    const int ranks = clfcn_comm_size(comm);
    uint64_t *hashes = calloc((size_t)ranks, sizeof(*hashes));
    int rc = hashes != NULL ? CLFCN_OK : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = clfcn_comm_gather(comm, &run->state.data_hash, sizeof(*hashes), hashes, err);
    }
    for (int i = 1; rc == CLFCN_OK && i < ranks; ++i) {
        if (hashes[i] != hashes[0]) {
            char name[512];
            rc =
                clfcn_err_set(err, CLFCN_EDATA, 0,
                              "%s finds other training images than rank 0: let all ranks "
                              "see the same data, as on a shared file system",
                              clfcn_run_rank_name(run, i, name, sizeof(name)));
        }
    }
    free(hashes);
    return rc;
}
