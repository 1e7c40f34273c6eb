/* collective.c - what ranks tell each other, in exchanges. */
#include "../util/err.h"
#include "job.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sums of so few numbers are made by every rank from all numbers; of more, each rank sums
 * a part and sends it to the others. */
enum { SHORT_SUM = 1024 };
/* Broadcasts are cut into pieces of so many bytes. */
enum { BROADCAST_PIECE = 1 << 20 };

int clfcn_comm_gather(struct clfcn_comm *comm, const void *mine, size_t bytes, void *all,
                      struct clfcn_err *err)
{
    if (!comm) {
        memcpy(all, mine, bytes);
        return CLFCN_OK;
    }
    int rc = clfcn_job_stage(comm, bytes * (size_t)comm->size, err);
    if (rc < 0) {
        return rc;
    }
    unsigned char *own = comm->stage + bytes * (size_t)comm->rank;
    memcpy(own, mine, bytes);
    for (int r = 0; r < comm->size; ++r) {
        comm->in[r] = (struct clfcn_parcel){ comm->stage + bytes * (size_t)r, bytes };
        comm->out[r] = (struct clfcn_parcel){ own, bytes };
    }
    rc = clfcn_job_exchange(comm, err);
    if (rc == CLFCN_OK) {
        memcpy(all, comm->stage, bytes * (size_t)comm->size);
    }
    return rc;
}

/* sums [count] becomes the sum of rows [size], each stride further on, in their order. */
static void add_rows(double *sums, const double *rows, size_t stride, int size,
                     size_t count)
{
    memcpy(sums, rows, count * sizeof(double));
    for (int r = 1; r < size; ++r) {
        const double *row = rows + (size_t)r * stride;
        for (size_t i = 0; i < count; ++i) {
            sums[i] += row[i];
        }
    }
}

static int sum_short(struct clfcn_comm *comm, double *values, size_t count,
                     struct clfcn_err *err)
{
    const size_t bytes = count * sizeof(double);
    double *all = malloc(bytes * (size_t)comm->size);
    if (!all) {
        return clfcn_err_nomem(err);
    }
    const int rc = clfcn_comm_gather(comm, values, bytes, all, err);
    if (rc == CLFCN_OK) {
        add_rows(values, all, count, comm->size, count);
    }
    free(all);
    return rc;
}

/* The stage holds the values, then what comes of this rank's part, a row from each. */
static int sum_long(struct clfcn_comm *comm, double *values, size_t count,
                    struct clfcn_err *err)
{
    const size_t size = (size_t)comm->size, row = count / size + 1;
    int rc = clfcn_job_stage(comm, (count + size * row) * sizeof(double), err);
    if (rc < 0) {
        return rc;
    }
    double *staged = (double *)comm->stage, *rows = staged + count;
    const size_t first = count * (size_t)comm->rank / size;
    const size_t own = count * ((size_t)comm->rank + 1) / size - first;
    memcpy(staged, values, count * sizeof(double));
    memcpy(rows + (size_t)comm->rank * row, values + first, own * sizeof(double));
    for (size_t r = 0; r < size; ++r) {
        const size_t start = count * r / size, part = count * (r + 1) / size - start;
        comm->out[r] = (struct clfcn_parcel){ staged + start, part * sizeof(double) };
        comm->in[r] = (struct clfcn_parcel){ rows + r * row, own * sizeof(double) };
    }
    rc = clfcn_job_exchange(comm, err);
    if (rc < 0) {
        return rc;
    }
    add_rows(staged + first, rows, row, comm->size, own);
    for (size_t r = 0; r < size; ++r) {
        const size_t start = count * r / size, part = count * (r + 1) / size - start;
        comm->out[r] = (struct clfcn_parcel){ staged + first, own * sizeof(double) };
        comm->in[r] = (struct clfcn_parcel){ staged + start, part * sizeof(double) };
    }
    rc = clfcn_job_exchange(comm, err);
    if (rc == CLFCN_OK) {
        memcpy(values, staged, count * sizeof(double));
    }
    return rc;
}

int clfcn_comm_sum(struct clfcn_comm *comm, double *values, size_t count,
                   struct clfcn_err *err)
{
    if (!comm || count == 0) {
        return CLFCN_OK;
    }
    return count <= SHORT_SUM || comm->size == 2 ? sum_short(comm, values, count, err)
                                                 : sum_long(comm, values, count, err);
}

static int broadcast_piece(struct clfcn_comm *comm, void *data, size_t bytes,
                           struct clfcn_err *err)
{
    int rc = clfcn_job_stage(comm, bytes, err);
    if (rc < 0) {
        return rc;
    }
    const struct clfcn_parcel parcel = { comm->stage, bytes };
    if (comm->rank == 0) {
        memcpy(comm->stage, data, bytes);
        for (int r = 1; r < comm->size; ++r) {
            comm->out[r] = parcel;
        }
    } else {
        comm->in[0] = parcel;
    }
    rc = clfcn_job_exchange(comm, err);
    if (rc == CLFCN_OK && comm->rank != 0) {
        memcpy(data, comm->stage, bytes);
    }
    return rc;
}

int clfcn_comm_broadcast(struct clfcn_comm *comm, void *data, size_t bytes,
                         struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (size_t at = 0; comm && rc == CLFCN_OK && at < bytes; at += BROADCAST_PIECE) {
        const size_t left = bytes - at;
        rc = broadcast_piece(comm, (unsigned char *)data + at,
                             left < BROADCAST_PIECE ? left : BROADCAST_PIECE, err);
    }
    return rc;
}

/* What a rank says of a step. Only the status travels if that is CLFCN_OK. */
struct verdict {
    int32_t status, native;
    char text[1024];
};

int clfcn_comm_agree(struct clfcn_comm *comm, int rc, struct clfcn_err *err)
{
    if (!comm || comm->failure.code != CLFCN_OK) {
        return comm && rc == CLFCN_OK ? clfcn_job_look(comm, err) : rc;
    }
    const size_t size = (size_t)comm->size;
    struct clfcn_err unused;
    const int staged = clfcn_job_stage(comm, size * sizeof(struct verdict), &unused);
    if (staged < 0) {
        /* The others cannot know. */
        clfcn_comm_fail(comm, rc < 0 && err ? err : &unused);
        return rc < 0 ? rc : clfcn_err_set(err, unused.code, 0, "%s", unused.msg);
    }
    struct verdict *all = (struct verdict *)comm->stage, *mine = &all[comm->rank];
    mine->status = rc;
    if (rc < 0) {
        mine->native = err ? err->native : 0;
        snprintf(mine->text, sizeof(mine->text), "%s",
                 err ? err->msg : clfcn_status_name(rc));
    }
    for (size_t r = 0; r < size; ++r) {
        comm->in[r] = (struct clfcn_parcel){ &all[r], sizeof(all[r]) };
        comm->out[r] =
            (struct clfcn_parcel){ mine, rc < 0 ? sizeof(*mine) : sizeof(mine->status) };
    }
    const int exchanged = clfcn_job_exchange(comm, &unused);
    if (exchanged < 0) {
        return rc < 0 ? rc : clfcn_err_set(err, exchanged, 0, "%s", unused.msg);
    }
    int first = 0;
    while (first < comm->size && all[first].status == CLFCN_OK) {
        ++first;
    }
    if (first == comm->size) {
        return CLFCN_OK;
    }
    comm->agreed = true;
    if (first != comm->rank) {
        char name[CLFCN_RANK_LEN];
        clfcn_err_set(err, all[first].status, all[first].native, "%s: %s",
                      clfcn_job_name(comm, first, name), all[first].text);
    }
    return all[first].status;
}

int clfcn_comm_introduce(struct clfcn_comm *comm, const char *device,
                         struct clfcn_err *err)
{
    struct clfcn_peer *peers = comm ? comm->peers : NULL;
    char mine[sizeof(peers->device)] = "";
    if (!comm) {
        return CLFCN_OK;
    }
    snprintf(mine, sizeof(mine), "%s", device);
    char *all = malloc(sizeof(mine) * (size_t)comm->size);
    if (!all) {
        return clfcn_err_nomem(err);
    }
    const int rc = clfcn_comm_gather(comm, mine, sizeof(mine), all, err);
    for (int r = 0; rc == CLFCN_OK && r < comm->size; ++r) {
        memcpy(peers[r].device, all + sizeof(mine) * (size_t)r, sizeof(mine));
    }
    free(all);
    return rc;
}
