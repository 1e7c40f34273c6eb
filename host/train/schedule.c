/* schedule.c - learning-rate policies, and the names of the training enumerators. */
#include "schedule.h"
#include "../util/err.h"

#include <math.h>
#include <string.h>

static const char *const policy_names[] = {
    [CLFCN_LR_CONSTANT] = "constant",
    [CLFCN_LR_STEP] = "step",
    [CLFCN_LR_POLY] = "poly",
    [CLFCN_LR_COSINE] = "cosine",
};
enum {
    POLICY_COUNT = sizeof(policy_names) / sizeof(policy_names[0]),
};

const char *clfcn_lr_policy_name(enum clfcn_lr_policy policy)
{
    return (unsigned)policy < POLICY_COUNT ? policy_names[policy] : NULL;
}

/* Position of s in names, or -1. */
static int find_name(const char *const *names, int count, const char *s)
{
    for (int i = 0; i < count; ++i) {
        if (strcmp(s, names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

int clfcn_lr_policy_parse(const char *s, enum clfcn_lr_policy *out, struct clfcn_err *err)
{
    const int i = find_name(policy_names, POLICY_COUNT, s);
    if (i < 0) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "no learning-rate policy '%s': constant, step, poly or cosine", s);
    }
    *out = (enum clfcn_lr_policy)i;
    return CLFCN_OK;
}

double clfcn_schedule_lr(const struct clfcn_train_config *config, int64_t step,
                         int64_t steps_per_epoch, int64_t total_steps)
{
    static const double pi = 3.14159265358979323846;
    const double done = (double)step / (double)total_steps;
    const double full = step < config->warmup
                            ? config->lr * (double)(step + 1) / config->warmup
                            : config->lr;
    switch (config->lr_policy) {
    case CLFCN_LR_STEP: {
        const int64_t drops = step / steps_per_epoch / config->lr_step;
        return full * pow(config->lr_gamma, (double)drops);
    }
    case CLFCN_LR_POLY:
        return full * pow(done < 1 ? 1 - done : 0, config->lr_power);
    case CLFCN_LR_COSINE:
        return full * (1 + cos(pi * (done < 1 ? done : 1))) / 2;
    default:
        return full;
    }
}
