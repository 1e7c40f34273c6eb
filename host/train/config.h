/* config.h - a run's configuration as JSON: config.json and the checkpoints' metadata. */
#ifndef CLFCN_TRAIN_CONFIG_H
#define CLFCN_TRAIN_CONFIG_H

#include "../data/dataset.h"
#include <clfcn/train.h>
#include <jansson.h>

/* A new reference, or NULL if memory is exhausted. Keys are the option names of the
 * command line without dashes ("lr", "max-steps"). */
json_t *clfcn_config_to_json(const struct clfcn_train_config *config);

/* Fill config from JSON over the defaults, which stand for the options that came later
 * than its file. String fields point into json, which must
 * outlive them. CLFCN_EDATA names the key that is missing or wrong. */
int clfcn_config_from_json(const json_t *json, struct clfcn_train_config *config,
                           struct clfcn_err *err);

/* Check ranges and combinations; CLFCN_EINVAL names the option ("--lr must be positive").
 */
int clfcn_config_check(const struct clfcn_train_config *config, struct clfcn_err *err);

/* The fraction that clfcn_dataset_split() is to split set by: CLFCN_OWN_SPLIT where the
 * run takes the set's own. */
double clfcn_config_split(const struct clfcn_train_config *config,
                          const struct clfcn_dataset *set);

#endif
