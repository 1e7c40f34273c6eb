/* A checkpoint's metadata, and what resuming makes of it: what is accepted must be within
 * the bounds that the trainer relies on. */
#include "../../host/train/checkpoint.h"
#include "../../host/train/config.h"
#include "fuzz.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void check_accepted(const struct clfcn_checkpoint_info *info)
{
    const struct clfcn_train_state *s = &info->state;
    FUZZ_ASSERT(info->has_metadata && clfcn_net_check_desc(&info->net, NULL) == CLFCN_OK);
    FUZZ_ASSERT(info->net.classes == info->classes.count);
    FUZZ_ASSERT(s->epoch >= 0 && s->epoch_step >= 0 && s->step >= 0);
    FUZZ_ASSERT(s->class_weight_count == 0 ||
                s->class_weight_count == info->classes.count);
    const struct clfcn_loss_how how = clfcn_checkpoint_loss(&info->config, s);
    for (int c = 0; how.weights && c < info->classes.count; ++c) {
        FUZZ_ASSERT(isfinite(how.weights[c]) && how.weights[c] >= 0);
    }
}

/* It is what the next checkpoint and config.json hold. */
static void check_same(const struct clfcn_train_config *config)
{
    struct clfcn_train_config again = { 0 };
    json_t *json = clfcn_config_to_json(config);
    json_t *json_again = NULL;
    if (json && clfcn_config_from_json(json, &again, NULL) == CLFCN_OK) {
        json_again = clfcn_config_to_json(&again);
    }
    FUZZ_ASSERT(fuzz_memory_refused() || (json_again && json_equal(json, json_again)));
    json_decref(json_again);
    json_decref(json);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    struct clfcn_checkpoint_info info;
    struct clfcn_err err;
    struct clfcn_weights_file f = { .metadata = fuzz_text(data, size) };
    const int rc = clfcn_checkpoint_read_info(&f, "input", &info, &err);
    fuzz_check_message(rc, &err);
    if (rc == CLFCN_OK) {
        check_accepted(&info);
        check_same(&info.config);
        const int fits = clfcn_config_check(&info.config, &err);
        FUZZ_ASSERT(fits == CLFCN_OK || err.msg[0]);
    }
    clfcn_checkpoint_info_free(&info);
    free(f.metadata);
}
