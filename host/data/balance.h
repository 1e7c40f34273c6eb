/* balance.h - weights that make rare classes count as much as common ones. */
#ifndef CLFCN_DATA_BALANCE_H
#define CLFCN_DATA_BALANCE_H

#include "dataset.h"
#include <clfcn/comm.h>

/* Median frequency balancing (Eigen and Fergus, 2015) over count of the set's items, of
 * which each of comm's ranks looks at a part (collective; NULL: at all of them): a
 * class's frequency is its share of the labelled pixels of those masks in which it is at
 * all, its weight the median of all frequencies over its own. weights [classes]; a class
 * that is nowhere has no frequency, and the weight 1. Decodes the masks, on all
 * processors. CLFCN_EDATA if one is bad, or if no pixel is labelled. */
int clfcn_balance(struct clfcn_comm *comm, const struct clfcn_dataset *set,
                  const int *items, int count, float *weights, struct clfcn_err *err);

#endif
