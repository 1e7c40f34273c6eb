/* dataset.h - what a data set can do for the loader and the evaluator. */
#ifndef CLFCN_DATA_DATASET_H
#define CLFCN_DATA_DATASET_H

#include "classes.h"
#include <clfcn/data.h>

/* A labelled picture at its own size. */
struct clfcn_pair {
    struct clfcn_image image; /* RGB */
    uint8_t *labels;          /* [height][width], class or CLFCN_IGNORE */
};
void clfcn_pair_free(struct clfcn_pair *pair);

/* Decode item i. Thread-safe. Checks that image and mask have the same size. */
int clfcn_dataset_read(const struct clfcn_dataset *set, int i, struct clfcn_pair *out,
                       struct clfcn_err *err);
/* The labels alone (evaluation at the mask's own resolution needs no image again). */
int clfcn_dataset_read_labels(const struct clfcn_dataset *set, int i, uint8_t **labels,
                              int *width, int *height, struct clfcn_err *err);
/* File stem of item i ("cat-17"), or "demo-0017"; borrowed. */
const char *clfcn_dataset_item_name(const struct clfcn_dataset *set, int i);
const struct clfcn_classes *clfcn_dataset_get_classes(const struct clfcn_dataset *set);

/* Paths of item i's files, borrowed; its name where it lies in no file. */
const char *clfcn_dataset_item_image(const struct clfcn_dataset *set, int i);
const char *clfcn_dataset_item_mask(const struct clfcn_dataset *set, int i);

/* As clfcn_dataset_read(), for finding out what a set holds: values that no class covers
 * are labelled CLFCN_IGNORE and added to *unknown, unless that is NULL. */
int clfcn_dataset_survey(const struct clfcn_dataset *set, int i, struct clfcn_pair *out,
                         struct clfcn_unknown *unknown, struct clfcn_err *err);
/* Hash of the bytes of item i's picture file. */
int clfcn_dataset_hash(const struct clfcn_dataset *set, int i, uint64_t *hash,
                       struct clfcn_err *err);

/* What its format says an item is for. */
enum clfcn_part { CLFCN_PART_ANY, CLFCN_PART_TRAIN, CLFCN_PART_VAL };
enum clfcn_part clfcn_dataset_part(const struct clfcn_dataset *set, int i);
/* Whether it has items of both parts. */
bool clfcn_dataset_has_split(const struct clfcn_dataset *set);

/* Which items train and which validate: by clfcn_split(), or, where fraction is
 * CLFCN_OWN_SPLIT, as the set's format says (items of no part train). Free both lists
 * with free(). */
#define CLFCN_OWN_SPLIT (-1.0)
int clfcn_dataset_split(const struct clfcn_dataset *set, double fraction, uint64_t seed,
                        int **train, int *train_count, int **val, int *val_count,
                        struct clfcn_err *err);

/* Seeded split: shuffles 0..n-1 by (seed, "split") and takes round(fraction*n) of them,
 * at least one if fraction > 0, as validation; both lists come back in ascending order.
 * Free both with free(). CLFCN_EDATA if training would be left empty. */
int clfcn_split(int n, double fraction, uint64_t seed, int **train, int *train_count,
                int **val, int *val_count, struct clfcn_err *err);

/* The built-in synthetic set. Pure functions of the item's number. (demo.c) */
enum { CLFCN_DEMO_COUNT = 320 };
int clfcn_demo_classes(struct clfcn_classes *out, struct clfcn_err *err);
int clfcn_demo_draw(int i, struct clfcn_pair *out, struct clfcn_err *err);
/* Write the first count items under dir: images/, masks/ (indexed PNG), classes.txt. */
int clfcn_demo_write(const char *dir, int count, struct clfcn_err *err);

#endif
