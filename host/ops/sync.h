/* sync.h - sums and moments over the images of all ranks, for what at one pixel depends
 * on the whole batch.
 *
 * Each call is a round trip, and collective: the host waits for what was enqueued, reads
 * what the chunks of this rank's rows came to, and exchanges it. Chunks, then ranks are
 * added up in their order and in double precision: all ranks get the same bits. Errors
 * are those of the transfer (CLFCN_ECL, CLFCN_EDEVMEM), CLFCN_ECOMM and CLFCN_ENOMEM. */
#ifndef CLFCN_OPS_SYNC_H
#define CLFCN_OPS_SYNC_H

#include "../comm/comm.h"
#include "op.h"

/* Of one channel: the mean, the sum of squared deviations from it, and of how many values
 * they are. */
struct clfcn_moments {
    double mean, m2, count;
};

/* run->scratch holds, from float first on, pairs of sums [channels][chunks][2] of this
 * rank; sums receives them over chunks and ranks, [channels][2]. Ranks may have different
 * numbers of chunks. */
int clfcn_sync_sums(const struct clfcn_op_run *run, size_t first, int channels,
                    int chunks, float *sums, struct clfcn_err *err);

/* run->scratch holds mean and m2 of the chunks (CLFCN_CHUNK values, the last fewer) of
 * this rank's rows, [channels][clfcn_op_chunks(row)][2]; moments [channels] receives
 * those of all ranks' rows, whose lengths may differ. */
int clfcn_sync_moments(const struct clfcn_op_run *run, int channels, size_t row,
                       struct clfcn_moments *moments, struct clfcn_err *err);

#endif
