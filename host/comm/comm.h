/* comm.h - what ranks tell each other, besides gradients (allreduce.h).
 *
 * All functions take NULL for one process alone, and then cost nothing. Those that say
 * "collective" are called by every rank in the same order, by the thread that opened the
 * job. They return CLFCN_ECOMM when another rank has died, cannot be reached or has
 * failed, saying which, on which host and device; CLFCN_EINTR never. What they compute
 * has the same bits in every rank, and in every job of as many ranks. */
#ifndef CLFCN_COMM_COMM_H
#define CLFCN_COMM_COMM_H

#include <clfcn/comm.h>

/* This rank's number among those on its host, and how many these are; 0 and 1 for
 * NULL. */
int clfcn_comm_local_rank(const struct clfcn_comm *comm);
int clfcn_comm_local_size(const struct clfcn_comm *comm);

/* The name of a rank's host, and of its device, "" before clfcn_comm_introduce(). Both
 * are the comm's. */
const char *clfcn_comm_host(const struct clfcn_comm *comm, int rank);
const char *clfcn_comm_device(const struct clfcn_comm *comm, int rank);
/* Tell the others which device this rank drives. Collective. */
int clfcn_comm_introduce(struct clfcn_comm *comm, const char *device,
                         struct clfcn_err *err);

/* all receives [size][bytes], mine of every rank in their order. Collective. */
int clfcn_comm_gather(struct clfcn_comm *comm, const void *mine, size_t bytes, void *all,
                      struct clfcn_err *err);
/* Replace values by their sums over the ranks, in the order of the ranks. Collective. */
int clfcn_comm_sum(struct clfcn_comm *comm, double *values, size_t count,
                   struct clfcn_err *err);
/* Replace data by rank 0's. Collective. */
int clfcn_comm_broadcast(struct clfcn_comm *comm, void *data, size_t bytes,
                         struct clfcn_err *err);
/* all receives every rank's text, NULL for NULL, in their order: an array of size, to be
 * freed with free() as one. Collective. */
int clfcn_comm_gather_text(struct clfcn_comm *comm, const char *mine, char ***all,
                           struct clfcn_err *err);

/* Whether a step that each rank did by itself went well everywhere. Collective. Returns
 * rc if it is CLFCN_OK in all, else the status of the lowest rank that failed, whose
 * message, with rank, host and device in front where it is another's, err receives. */
int clfcn_comm_agree(struct clfcn_comm *comm, int rc, struct clfcn_err *err);

/* Whether clfcn_comm_agree() found an error last: all ranks know of it, and end alike. */
bool clfcn_comm_is_common(const struct clfcn_comm *comm);

/* After clfcn_comm_fail(): whether this rank is to tell the user. That is the first of
 * those that know of the failure, for which ranks before this one are waited for a moment:
 * one that computes does not hear of it before the job is ended. */
bool clfcn_comm_speaks(struct clfcn_comm *comm);

/* Tell the others that this rank cannot go on, for the reason in why: whatever they wait
 * for then ends with CLFCN_ECOMM and that reason, and so does what this rank waits for
 * from then on. Not collective, does not wait. */
void clfcn_comm_fail(struct clfcn_comm *comm, const struct clfcn_err *why);

/* rc, or where that is CLFCN_ECOMM what the rank failed with that was the first to, if that
 * is known: so that the job has one exit status, whichever rank ends first. */
int clfcn_comm_cause(const struct clfcn_comm *comm, int rc);

/* Rank 0 now writes what may take long. Those that wait for it are not to take its
 * silence for the death of its host, even when SIGTERM has come: to let it save is what
 * they wait for. Not collective, does not wait. */
void clfcn_comm_be_patient(struct clfcn_comm *comm);

/* Seconds spent waiting for other ranks since the last call of this. */
double clfcn_comm_take_wait(struct clfcn_comm *comm);
/* Bytes sent to others and received from them since the last call of this, notices of
 * failures apart. */
double clfcn_comm_take_traffic(struct clfcn_comm *comm);

#endif
