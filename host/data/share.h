/* share.h - items divided among ranks. */
#ifndef CLFCN_DATA_SHARE_H
#define CLFCN_DATA_SHARE_H

#include <clfcn/loader.h>

/* Divide items 0 .. n-1 into one contiguous range a rank, in their order, as long as
 * shares [ranks] (at least 0, not all 0) are large: each range is less than one item
 * longer or shorter than its part of n, and all of them cover every item once. Where
 * shares are equal the earlier ranks take what is left over. */
void clfcn_share_range(int n, const int *shares, int ranks, int rank, int *first,
                       int *count);

/* CLFCN_EINVAL unless a loader's images of a batch are a part of the whole one. */
int clfcn_share_check(const struct clfcn_loader_desc *desc, struct clfcn_err *err);

#endif
