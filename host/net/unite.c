#include "unite.h"

#include "../comm/comm.h"
#include "../util/hash.h"
#include "net_impl.h"
#include <stdlib.h>
#include <string.h>

static bool is_statistic(const struct clfcn_net_tensor *t)
{
    return t->dtype == CLFCN_F32 && strstr(t->name, ".running_") != NULL &&
           strncmp(t->name, "optim.", 6) != 0;
}

static size_t largest_tensor(const struct clfcn_net *net)
{
    size_t largest = 0;
    for (int i = 0; i < net->tensor_count; ++i) {
        struct clfcn_net_tensor t;
        clfcn_net_tensor_info(net, i, &t);
        largest = t.bytes > largest ? t.bytes : largest;
    }
    return largest;
}

/* The means of one tensor. */
static int average(struct clfcn_net *net, int i, size_t count, double weight,
                   double *sums, float *values, struct clfcn_err *err)
{
    int rc = clfcn_net_tensor_read(net, i, values, err);
    for (size_t k = 0; k < count; ++k) {
        sums[k] = weight * values[k];
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_comm_sum(net->options.comm, sums, count, err);
    }
    for (size_t k = 0; k < count; ++k) {
        values[k] = (float)sums[k];
    }
    return rc < 0 ? rc : clfcn_net_tensor_write(net, i, values, err);
}

int clfcn_net_unite_statistics(struct clfcn_net *net, double weight,
                               struct clfcn_err *err)
{
    if (net->options.comm == NULL) {
        return CLFCN_OK;
    }
    const size_t most = largest_tensor(net) / sizeof(float);
    double *sums = malloc(most * sizeof(*sums));
    float *values = malloc(most * sizeof(*values));
    int rc = sums != NULL && values != NULL ? CLFCN_OK : clfcn_err_nomem(err);
    for (int i = 0; rc == CLFCN_OK && i < net->tensor_count; ++i) {
        struct clfcn_net_tensor t;
        clfcn_net_tensor_info(net, i, &t);
        rc = is_statistic(&t)
                 ? average(net, i, t.bytes / sizeof(float), weight, sums, values, err)
                 : CLFCN_OK;
    }
    free(sums);
    free(values);
    return rc;
}

/* A hash of each tensor. buf holds the largest. */
static int hash_tensors(struct clfcn_net *net, uint64_t *hashes, void *buf,
                        struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < net->tensor_count; ++i) {
        struct clfcn_net_tensor t;
        clfcn_net_tensor_info(net, i, &t);
        rc = clfcn_net_tensor_read(net, i, buf, err);
        hashes[i] = clfcn_hash_words(CLFCN_HASH_INIT, buf, t.bytes);
    }
    return rc;
}

/* Whether tensor i has the same hash in all ranks. */
static bool is_same(const uint64_t *all, int ranks, int tensors, int i)
{
    bool same = true;
    for (int r = 1; r < ranks; ++r) {
        same = same && all[(size_t)r * (size_t)tensors + (size_t)i] == all[i];
    }
    return same;
}

static int share_tensor(struct clfcn_net *net, int i, void *buf, struct clfcn_err *err)
{
    struct clfcn_net_tensor t;
    clfcn_net_tensor_info(net, i, &t);
    int rc = clfcn_net_tensor_read(net, i, buf, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_comm_broadcast(net->options.comm, buf, t.bytes, err);
    }
    if (rc == CLFCN_OK && clfcn_comm_rank(net->options.comm) != 0) {
        rc = clfcn_net_tensor_write(net, i, buf, err);
    }
    return rc;
}

int clfcn_net_unite(struct clfcn_net *net, int *changed, struct clfcn_err *err)
{
    struct clfcn_comm *comm = net->options.comm;
    const int ranks = clfcn_comm_size(comm), tensors = net->tensor_count;
    int different = 0;
    if (comm == NULL) {
        return CLFCN_OK;
    }
    uint64_t *mine = calloc((size_t)tensors, sizeof(*mine));
    uint64_t *all = calloc((size_t)tensors * (size_t)ranks, sizeof(*all));
    void *buf = malloc(largest_tensor(net));
    int rc = mine != NULL && all != NULL && buf != NULL
                 ? hash_tensors(net, mine, buf, err)
                 : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = clfcn_comm_gather(comm, mine, (size_t)tensors * sizeof(*mine), all, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < tensors; ++i) {
        if (!is_same(all, ranks, tensors, i)) {
            ++different;
            rc = share_tensor(net, i, buf, err);
        }
    }
    if (changed != NULL) {
        *changed = different;
    }
    free(mine);
    free(all);
    free(buf);
    return rc;
}
