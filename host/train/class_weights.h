/* class_weights.h - how much each class counts in the loss. */
#ifndef CLFCN_TRAIN_CLASS_WEIGHTS_H
#define CLFCN_TRAIN_CLASS_WEIGHTS_H

#include "../data/dataset.h"

/* Whether text is a value of --class-weights: NULL, "none", "auto", or numbers from 0 on
 * with commas between them, one of them above 0. CLFCN_EINVAL. */
int clfcn_class_weights_check(const char *text, struct clfcn_err *err);

/* The weights that text stands for, weights [classes of the set], *count those; *count is
 * 0 where all are 1. "auto" looks at the masks of the items, which comm's ranks share out
 * (clfcn_balance()): collective then.
 * CLFCN_EINVAL if there are not as many numbers as classes. */
int clfcn_class_weights_find(struct clfcn_comm *comm, const char *text,
                             const struct clfcn_dataset *set, const int *items,
                             int item_count, float *weights, int *count,
                             struct clfcn_err *err);

#endif
