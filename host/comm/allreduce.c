/* allreduce.c - sums of long vectors over all ranks.
 *
 * A vector is cut into parts, as many for each rank: part i is summed by rank i mod K,
 * its owner. The others send it what they have of the part, and then receive the sum in
 * the same place. Nothing of the caller's is shown to MPI, which may go on using what it
 * was given after a failure. */
#include "../util/err.h"
#include "job.h"
#include "wire.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Parts have at most so many elements: small enough that sums begin to travel while
 * others are still being made, large enough that messages cost little. */
enum { PART_LONGEST = 256 << 10 };
/* Doubles that are summed at a time. */
enum { BLOCK = 512 };

/* One message's way there and back: of part i between this rank and a peer. What the
 * owner receives first others send first. */
struct leg {
    int part, peer;
    bool back; /* the sum is under way */
};

struct clfcn_allreduce {
    struct clfcn_comm *comm;
    struct clfcn_allreduce *next; /* in one of comm's lists */
    size_t count;
    enum clfcn_wire wire;
    int parts, first_tag;
    size_t slot_bytes; /* of a part's message, as slots are laid out */
    /* [parts] slots: what this rank sends of a part, then its sum. */
    unsigned char *own;
    /* [parts / size][size] slots: what comes of the parts that this rank owns. */
    unsigned char *others;
    int *missing; /* [parts]: contributions that have not come, for own parts */
    struct leg *legs;
    MPI_Request *requests; /* [leg_count] */
    int *completed;        /* [leg_count], for MPI_Testsome() */
    int leg_count, open;   /* open: legs that are under way */
    float *values;
    bool is_listed; /* in comm->sums: started, and not finished */
};

static size_t part_first(const struct clfcn_allreduce *sum, int part)
{
    return (size_t)((uint64_t)sum->count * (uint64_t)part / (uint64_t)sum->parts);
}

static size_t part_count(const struct clfcn_allreduce *sum, int part)
{
    return part_first(sum, part + 1) - part_first(sum, part);
}

static bool is_owner(const struct clfcn_allreduce *sum, int part)
{
    return part % sum->comm->size == sum->comm->rank;
}

static void *own_slot(const struct clfcn_allreduce *sum, int part)
{
    return sum->own + (size_t)part * sum->slot_bytes;
}

static void *others_slot(const struct clfcn_allreduce *sum, int part, int peer)
{
    const size_t size = (size_t)sum->comm->size;
    return sum->others + ((size_t)part / size * size + (size_t)peer) * sum->slot_bytes;
}

/* The legs of all parts that have elements; legs == NULL: their number only. */
static int lay_legs(const struct clfcn_allreduce *sum, struct leg *legs)
{
    const struct clfcn_comm *comm = sum->comm;
    int n = 0;
    for (int part = 0; part < sum->parts; ++part) {
        for (int r = 0; part_count(sum, part) > 0 && r < comm->size; ++r) {
            /* This rank's own parts go to all others, the rest to their owners. */
            if (is_owner(sum, part) ? r != comm->rank : r == part % comm->size) {
                if (legs) {
                    legs[n] = (struct leg){ .part = part, .peer = r };
                }
                ++n;
            }
        }
    }
    return n;
}

static void free_sum(struct clfcn_allreduce *sum)
{
    if (sum) {
        free(sum->own);
        free(sum->others);
        free(sum->missing);
        free(sum->legs);
        free(sum->requests);
        free(sum->completed);
        free(sum);
    }
}

static bool allocate(struct clfcn_allreduce *sum)
{
    const size_t slots = sum->slot_bytes * (size_t)sum->parts;
    sum->leg_count = lay_legs(sum, NULL);
    const size_t legs = (size_t)sum->leg_count;
    sum->own = malloc(slots);
    sum->others = malloc(slots);
    sum->missing = calloc((size_t)sum->parts, sizeof(*sum->missing));
    sum->legs = calloc(legs + 1, sizeof(*sum->legs));
    sum->requests = calloc(legs + 1, sizeof(MPI_Request));
    sum->completed = calloc(legs + 1, sizeof(*sum->completed));
    if (!sum->own || !sum->others || !sum->missing || !sum->legs || !sum->requests ||
        !sum->completed) {
        return false;
    }
    lay_legs(sum, sum->legs);
    for (size_t i = 0; i < legs; ++i) {
        sum->requests[i] = MPI_REQUEST_NULL;
    }
    return true;
}

int clfcn_allreduce_create(struct clfcn_comm *comm, size_t count, enum clfcn_wire wire,
                           struct clfcn_allreduce **out, struct clfcn_err *err)
{
    *out = NULL;
    const size_t size = (size_t)comm->size;
    const size_t rounds = count / (size * PART_LONGEST) + 1;
    if (rounds > (size_t)(comm->last_tag - comm->next_tag) / size) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "more sums of vectors than MPI has tags for");
    }
    struct clfcn_allreduce *sum = calloc(1, sizeof(*sum));
    if (!sum) {
        return clfcn_err_nomem(err);
    }
    sum->comm = comm;
    sum->count = count;
    sum->wire = wire;
    sum->parts = (int)(rounds * size);
    sum->first_tag = comm->next_tag;
    comm->next_tag += sum->parts; /* also on failure: all ranks count alike */
    const size_t longest = count / (size_t)sum->parts + 1;
    sum->slot_bytes = (clfcn_wire_bytes(wire, longest) + 63) / 64 * 64;
    if (!allocate(sum)) {
        free_sum(sum);
        return clfcn_err_nomem(err);
    }
    *out = sum;
    return CLFCN_OK;
}

static void unlist(struct clfcn_allreduce *sum)
{
    struct clfcn_allreduce **at = &sum->comm->sums;
    while (*at != sum) {
        at = &(*at)->next;
    }
    *at = sum->next;
    sum->next = NULL;
    sum->is_listed = false;
}

void clfcn_allreduce_destroy(struct clfcn_allreduce **handle)
{
    struct clfcn_allreduce *sum = *handle;
    *handle = NULL;
    if (!sum || !sum->is_listed) {
        free_sum(sum);
        return;
    }
    unlist(sum);
    for (int i = 0; i < sum->leg_count; ++i) {
        if (sum->requests[i] != MPI_REQUEST_NULL) {
            if (is_owner(sum, sum->legs[i].part) != sum->legs[i].back) { /* it receives */
                MPI_Cancel(&sum->requests[i]);
            }
            MPI_Request_free(&sum->requests[i]);
        }
    }
    sum->next = sum->comm->abandoned;
    sum->comm->abandoned = sum;
}

void clfcn_job_free_abandoned(struct clfcn_comm *comm)
{
    while (comm->abandoned) {
        struct clfcn_allreduce *sum = comm->abandoned;
        comm->abandoned = sum->next;
        free_sum(sum);
    }
}

/* Begin what is next on a leg. The owner of a part receives first, and sends back the
 * sum; the others send first. */
static int post(struct clfcn_allreduce *sum, int i, struct clfcn_err *err)
{
    struct clfcn_comm *comm = sum->comm;
    const struct leg *leg = &sum->legs[i];
    const bool owner = is_owner(sum, leg->part), receives = owner != leg->back;
    void *message = owner && receives ? others_slot(sum, leg->part, leg->peer)
                                      : own_slot(sum, leg->part);
    const int bytes = (int)clfcn_wire_bytes(sum->wire, part_count(sum, leg->part));
    const int tag = sum->first_tag + leg->part;
    const int mpi_rc = receives ? MPI_Irecv(message, bytes, MPI_BYTE, leg->peer, tag,
                                            comm->mpi, &sum->requests[i])
                                : MPI_Isend(message, bytes, MPI_BYTE, leg->peer, tag,
                                            comm->mpi, &sum->requests[i]);
    comm->bytes_moved += bytes;
    return mpi_rc == MPI_SUCCESS
               ? CLFCN_OK
               : clfcn_job_refused(comm, mpi_rc, receives ? "MPI_Irecv" : "MPI_Isend",
                                   err);
}

int clfcn_allreduce_start(struct clfcn_allreduce *sum, float *values,
                          struct clfcn_err *err)
{
    struct clfcn_comm *comm = sum->comm;
    int rc = clfcn_job_look(comm, err);
    if (rc < 0 || sum->leg_count == 0) {
        return rc;
    }
    sum->values = values;
    sum->open = sum->leg_count;
    sum->next = comm->sums;
    comm->sums = sum;
    sum->is_listed = true;
    memset(sum->missing, 0, (size_t)sum->parts * sizeof(*sum->missing));
    for (int part = 0; part < sum->parts; ++part) {
        clfcn_wire_encode(sum->wire, values + part_first(sum, part),
                          part_count(sum, part), own_slot(sum, part));
    }
    for (int i = 0; i < sum->leg_count && rc == CLFCN_OK; ++i) {
        struct leg *leg = &sum->legs[i];
        leg->back = false;
        sum->missing[leg->part] += is_owner(sum, leg->part) ? 1 : 0;
        ++comm->peers[leg->peer].awaited;
        rc = post(sum, i, err);
    }
    return rc;
}

/* Replace the values of a part by what its message says. */
static void decode_part(struct clfcn_allreduce *sum, int part)
{
    clfcn_wire_decode(sum->wire, own_slot(sum, part), part_count(sum, part),
                      sum->values + part_first(sum, part));
}

/* All contributions to a part of this rank's are there: sum them in the order of the
 * ranks, and end with what the others will read. */
static void sum_part(struct clfcn_allreduce *sum, int part)
{
    const struct clfcn_comm *comm = sum->comm;
    const size_t count = part_count(sum, part);
    float *values = sum->values + part_first(sum, part);
    for (size_t at = 0; at < count; at += BLOCK) {
        const size_t n = count - at < BLOCK ? count - at : BLOCK;
        double sums[BLOCK];
        for (size_t i = 0; i < n; ++i) {
            sums[i] = -0.0; /* plus x is x, whatever x's sign */
        }
        for (int r = 0; r < comm->size; ++r) {
            clfcn_wire_add(sum->wire,
                           r == comm->rank ? own_slot(sum, part)
                                           : others_slot(sum, part, r),
                           at, n, sums);
        }
        for (size_t i = 0; i < n; ++i) {
            values[at + i] = (float)sums[i];
        }
    }
    clfcn_wire_encode(sum->wire, values, count, own_slot(sum, part));
    decode_part(sum, part);
}

/* A contribution to one of this rank's parts has come: with the last one, send the sum to
 * all. */
static int contribute(struct clfcn_allreduce *sum, int part, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    if (--sum->missing[part] > 0) {
        return CLFCN_OK;
    }
    sum_part(sum, part);
    for (int i = 0; i < sum->leg_count && rc == CLFCN_OK; ++i) {
        if (sum->legs[i].part == part) {
            sum->legs[i].back = true;
            rc = post(sum, i, err);
        }
    }
    return rc;
}

/* The message of leg i has come or gone. */
static int complete(struct clfcn_allreduce *sum, int i, struct clfcn_err *err)
{
    struct leg *leg = &sum->legs[i];
    const bool owner = is_owner(sum, leg->part), received = owner != leg->back;
    if (received) {
        --sum->comm->peers[leg->peer].awaited;
        clfcn_job_heard(sum->comm, leg->peer);
    }
    if (!leg->back) {
        if (owner) {
            return contribute(sum, leg->part, err);
        }
        leg->back = true;
        return post(sum, i, err);
    }
    if (!owner) {
        decode_part(sum, leg->part);
    }
    --sum->open;
    return CLFCN_OK;
}

int clfcn_job_advance(struct clfcn_comm *comm, bool *moved, struct clfcn_err *err)
{
    struct clfcn_allreduce *next;
    for (struct clfcn_allreduce *sum = comm->sums; sum; sum = next) {
        int n = 0, rc = CLFCN_OK;
        next = sum->next;
        const int mpi_rc = MPI_Testsome(sum->leg_count, sum->requests, &n, sum->completed,
                                        MPI_STATUSES_IGNORE);
        if (mpi_rc != MPI_SUCCESS) {
            return clfcn_job_refused(comm, mpi_rc, "MPI_Testsome", err);
        }
        *moved = *moved || (n != MPI_UNDEFINED && n > 0);
        for (int i = 0; n != MPI_UNDEFINED && i < n && rc == CLFCN_OK; ++i) {
            rc = complete(sum, sum->completed[i], err);
        }
        if (rc < 0) {
            return rc;
        }
        if (sum->open == 0) {
            unlist(sum);
        }
    }
    return CLFCN_OK;
}

int clfcn_allreduce_test(struct clfcn_allreduce *sum, bool *done, struct clfcn_err *err)
{
    struct clfcn_comm *comm = sum->comm;
    bool moved = false;
    *done = !sum->is_listed;
    int rc = clfcn_job_look(comm, err);
    if (rc < 0 || *done) {
        return rc;
    }
    /* Of all sums: another rank may wait for another one, and this rank has a part in
     * it. */
    rc = clfcn_job_advance(comm, &moved, err);
    *done = !sum->is_listed;
    return rc;
}
