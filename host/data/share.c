/* share.c - items divided among ranks. */
#include "share.h"
#include "../util/err.h"
#include <stdint.h>

/* Where the range after shares that add up to before begins: rounded up, so that a single
 * item is rank 0's, who shows what it saw. */
static int boundary(int n, int64_t before, int64_t all)
{
    return (int)(((int64_t)n * before + all - 1) / all);
}

void clfcn_share_range(int n, const int *shares, int ranks, int rank, int *first,
                       int *count)
{
    int64_t before = 0, all = 0;
    for (int r = 0; r < ranks; ++r) {
        before += r < rank ? shares[r] : 0;
        all += shares[r];
    }
    *first = boundary(n, before, all);
    *count = boundary(n, before + shares[rank], all) - *first;
}

int clfcn_share_check(const struct clfcn_loader_desc *desc, struct clfcn_err *err)
{
    const int of_batch = desc->of_batch ? desc->of_batch : desc->batch;
    if (desc->first < 0 || of_batch < desc->batch ||
        desc->first > of_batch - desc->batch) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "loader: %d images from %d on are no part of a batch of %d",
                             desc->batch, desc->first, of_batch);
    }
    return of_batch == desc->batch || desc->drop_last
               ? CLFCN_OK
               : clfcn_err_set(err, CLFCN_EINVAL, 0,
                               "loader: parts are of whole batches only: set drop_last");
}
