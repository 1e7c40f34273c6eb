/* run_data.c - the data sets of a run, their split, and their loaders. */
#include "../comm/comm.h"
#include "../data/share.h"
#include "../util/hash.h"
#include "class_weights.h"
#include "config.h"
#include "run.h"

#include <stdlib.h>
#include <string.h>

static int open_sets(struct clfcn_run *run, struct clfcn_err *err)
{
    const struct clfcn_train_config *config = &run->config;
    int rc = CLFCN_OK;
    if (config->data != NULL) {
        rc = clfcn_dataset_open_as(config->data, config->format, &run->opened, err);
    } else if (config->set == NULL) {
        rc = clfcn_dataset_open_paths(config->images, config->masks, config->classes,
                                      &run->opened, err);
    }
    if (rc == CLFCN_OK && config->val != NULL) {
        rc = clfcn_dataset_open(config->val, &run->opened_val, err);
    }
    if (rc == CLFCN_OK && config->ignore != NULL) {
        rc = clfcn_dataset_ignore(run->opened, config->ignore, err);
    }
    if (rc == CLFCN_OK && config->ignore != NULL && run->opened_val != NULL) {
        rc = clfcn_dataset_ignore(run->opened_val, config->ignore, err);
    }
    run->set = run->opened != NULL ? run->opened : config->set;
    run->val_set = run->opened_val != NULL ? run->opened_val : config->val_set;
    run->eval_set = run->val_set != NULL ? run->val_set : run->set;
    return rc;
}

/* CLFCN_EDATA unless both name the same classes in the same order. whose says where
 * theirs is from. */
static int same_classes(const struct clfcn_classes *ours,
                        const struct clfcn_classes *theirs, const char *whose,
                        struct clfcn_err *err)
{
    if (ours->count != theirs->count) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "%s has %d classes, the training data %d", whose,
                             theirs->count, ours->count);
    }
    for (int c = 0; c < ours->count; ++c) {
        if (strcmp(ours->list[c].name, theirs->list[c].name) != 0) {
            return clfcn_err_set(
                err, CLFCN_EDATA, 0,
                "%s: its class %d is '%s', that of the training data is '%s'", whose, c,
                theirs->list[c].name, ours->list[c].name);
        }
    }
    return CLFCN_OK;
}

static int check_classes(const struct clfcn_run *run, struct clfcn_err *err)
{
    const struct clfcn_classes *ours = clfcn_dataset_get_classes(run->set);
    int rc = CLFCN_OK;
    if (run->val_set != NULL) {
        rc = same_classes(
            ours, clfcn_dataset_get_classes(run->val_set),
            run->config.val != NULL ? run->config.val : "the validation set", err);
    }
    if (rc == CLFCN_OK && run->resumed) {
        rc = same_classes(ours, &run->info.classes, "the checkpoint", err);
    }
    return rc;
}

/* The items of the validation set: those its format has for validation, or all. */
static int take_val_set(const struct clfcn_run *run, int **val, int *val_count,
                        struct clfcn_err *err)
{
    const bool own = clfcn_dataset_has_split(run->val_set);
    int *train = NULL, *rest = NULL, train_count, rest_count;
    const int rc = clfcn_dataset_split(run->val_set, own ? CLFCN_OWN_SPLIT : 0, 0, &train,
                                       &train_count, &rest, &rest_count, err);
    *val = own ? rest : train;
    *val_count = own ? rest_count : train_count;
    free(own ? train : rest);
    return rc;
}

/* Which images train and which validate. Both lists are to be freed. */
static int split(struct clfcn_run *run, int **train, int *train_count, int **val,
                 int *val_count, struct clfcn_err *err)
{
    double fraction = clfcn_config_split(&run->config, run->set);
    const bool own = fraction == CLFCN_OWN_SPLIT;
    run->split = run->val_set != NULL ? "set" : own ? "own" : "fraction";
    if (run->val_set != NULL && !own) {
        fraction = 0;
    }
    int rc = clfcn_dataset_split(run->set, fraction, run->config.seed, train, train_count,
                                 val, val_count, err);
    if (rc == CLFCN_OK && run->val_set != NULL) {
        free(*val);
        *val = NULL;
        rc = take_val_set(run, val, val_count, err);
    }
    return rc;
}

static int check_training_set(struct clfcn_run *run, const int *train,
                              struct clfcn_err *err)
{
    if (run->train_count < run->config.batch) {
        return clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "%d training images are fewer than one batch of %d (of %d images, "
            "%d are kept for validation): lower --batch or --val-fraction",
            run->train_count, run->config.batch, clfcn_dataset_size(run->set),
            run->val_set != NULL ? 0 : run->val_count);
    }
    uint64_t hash = CLFCN_HASH_INIT;
    for (int i = 0; i < run->train_count; ++i) {
        hash = clfcn_hash_str(hash, clfcn_dataset_item_name(run->set, train[i]));
    }
    if (run->resumed && hash != run->state.data_hash) {
        return clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "the training images are not those of the checkpoint: put them back, "
            "or start a new run from its weights with --init");
    }
    run->state.data_hash = hash;
    return CLFCN_OK;
}

/* What the options ask for that not every set allows. */
static int check_options(const struct clfcn_run *run, struct clfcn_err *err)
{
    return run->config.early_stop == 0 || run->val_count > 0
               ? CLFCN_OK
               : clfcn_err_set(
                     err, CLFCN_EINVAL, 0,
                     "--early-stop goes by the mean IoU in validation, and there is "
                     "none: give --val or --val-fraction");
}

/* What ranks have found each by itself is compared, class weights are found together, and
 * the batch is divided. rc: how it went so far. A run that is resumed has its weights. */
static int settle(struct clfcn_run *run, const int *train, int rc, struct clfcn_err *err)
{
    const struct clfcn_train_config *config = &run->config;
    struct clfcn_train_state *s = &run->state;
    rc = clfcn_comm_agree(config->comm, rc, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_run_same_data(run, err);
    }
    if (rc == CLFCN_OK && !run->resumed) {
        rc = clfcn_class_weights_find(config->comm, config->class_weights, run->set,
                                      train, run->train_count, s->class_weights,
                                      &s->class_weight_count, err);
        rc = clfcn_comm_agree(config->comm, rc, err);
    }
    return rc < 0 ? rc : clfcn_run_share_out(run, err);
}

/* Which of count images to evaluate are this rank's, where there is validation; the first
 * rank has those that are shown, too, though others may judge them. Without validation
 * nothing is judged. */
static void choose_part(struct clfcn_run *run, int count, int *first, int *part)
{
    const struct clfcn_comm *comm = run->config.comm;
    const bool writes = clfcn_comm_rank(comm) == 0;
    *first = 0;
    *part = run->val_count > 0 || writes ? count : 0;
    if (run->val_count > 0) {
        clfcn_share_range(count, run->ranks.shares, clfcn_comm_size(comm),
                          clfcn_comm_rank(comm), first, part);
    }
    const int shown = count < CLFCN_RUN_SAMPLES ? count : CLFCN_RUN_SAMPLES;
    run->only_shown = writes && *part < shown ? shown - *part : 0;
    *part += run->only_shown;
}

static int start_loaders(struct clfcn_run *run, const int *train, const int *eval,
                         int eval_count, struct clfcn_err *err)
{
    const struct clfcn_train_config *config = &run->config;
    int first, part;
    choose_part(run, eval_count, &first, &part);
    /* Of all ranks on this host: each sees other pictures in every epoch. */
    const size_t cache =
        config->cache_bytes / (size_t)clfcn_comm_local_size(config->comm);
    const size_t share = cache / (size_t)(run->train_count + eval_count);
    struct clfcn_loader_desc desc = {
        .set = run->set,
        .items = train,
        .item_count = run->train_count,
        .width = config->width,
        .height = config->height,
        .batch = clfcn_run_share(run),
        .of_batch = config->batch,
        .first = run->ranks.first,
        .resize = config->resize,
        .augment = config->augment,
        .shuffle = config->shuffle,
        .drop_last = true,
        .seed = config->seed,
        .workers = config->workers,
        .cache_bytes = share * (size_t)run->train_count,
    };
    int rc = clfcn_loader_create(&desc, &run->train_loader, err);
    if (rc < 0) {
        return rc;
    }
    run->steps = clfcn_loader_steps(run->train_loader);
    desc.set = run->eval_set;
    desc.items = eval + first;
    desc.item_count = part;
    desc.of_batch = desc.first = 0;
    desc.augment = (struct clfcn_augment){ 0 };
    desc.shuffle = false;
    desc.drop_last = false;
    desc.cache_bytes = share * (size_t)part;
    return clfcn_loader_create(&desc, &run->eval_loader, err);
}

int clfcn_run_open_data(struct clfcn_run *run, struct clfcn_err *err)
{
    int *train = NULL, *val = NULL;
    int rc = open_sets(run, err);
    if (rc == CLFCN_OK) {
        rc = check_classes(run, err);
    }
    if (rc == CLFCN_OK) {
        rc = split(run, &train, &run->train_count, &val, &run->val_count, err);
    }
    if (rc == CLFCN_OK) {
        rc = check_training_set(run, train, err);
    }
    if (rc == CLFCN_OK) {
        rc = check_options(run, err);
    }
    rc = settle(run, train, rc, err);
    if (rc == CLFCN_OK && run->val_count > 0) {
        rc = start_loaders(run, train, val, run->val_count, err);
    } else if (rc == CLFCN_OK) {
        const int some =
            run->train_count < CLFCN_RUN_SAMPLES ? run->train_count : CLFCN_RUN_SAMPLES;
        rc = start_loaders(run, train, train, some, err);
    }
    if (rc == CLFCN_OK && run->state.epoch_step > run->steps) {
        rc = clfcn_err_set(err, CLFCN_EDATA, 0,
                           "damaged training state: step %d of an epoch of %d",
                           run->state.epoch_step, run->steps);
    }
    if (rc == CLFCN_OK) {
        const bool epoch_done = run->state.epoch_step == run->steps;
        rc = clfcn_loader_seek(run->train_loader, run->state.epoch + epoch_done,
                               epoch_done ? 0 : run->state.epoch_step, err);
    }
    free(train);
    free(val);
    return rc;
}
