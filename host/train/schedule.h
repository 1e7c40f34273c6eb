/* schedule.h - the learning rate of a step. */
#ifndef CLFCN_TRAIN_SCHEDULE_H
#define CLFCN_TRAIN_SCHEDULE_H

#include <clfcn/train.h>

/* step counts from 0 over the whole run, of total_steps = epochs * steps_per_epoch (at
 * least 1;
 * --max-steps only cuts a run short, so that it goes on as planned when it is resumed):
 * constant lr; step lr*gamma^(epoch/lr_step); poly lr*(1-step/total)^power;
 * cosine lr*(1+cos(pi*step/total))/2. During the first warmup steps all of that is
 * multiplied by (step+1)/warmup. */
double clfcn_schedule_lr(const struct clfcn_train_config *config, int64_t step,
                         int64_t steps_per_epoch, int64_t total_steps);

int clfcn_lr_policy_parse(const char *s, enum clfcn_lr_policy *out,
                          struct clfcn_err *err);

#endif
