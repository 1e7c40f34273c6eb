/* checkpoint.h - safetensors files that hold a network and everything needed to go on. */
#ifndef CLFCN_TRAIN_CHECKPOINT_H
#define CLFCN_TRAIN_CHECKPOINT_H

#include "../data/classes.h"
#include "../net/net.h"
#include "../ops/loss.h"
#include <clfcn/train.h>
#include <jansson.h>

/* Where a run stands. */
struct clfcn_train_state {
    int epoch;             /* epochs completed */
    int epoch_step;        /* steps done in the epoch under way */
    int64_t step;          /* steps done in all */
    double epoch_loss_sum; /* of the steps of the epoch under way */
    double epoch_seconds;  /* spent on those steps, and of these waiting for data */
    double epoch_wait;
    double best_mean_iou;   /* NaN: none yet */
    double best_train_loss; /* what counts where there is no validation; NaN: none yet */
    int best_epoch;         /* epochs completed when the best was saved */
    uint64_t data_hash;     /* of the names of the training images, in their order */
    uint64_t log_bytes; /* length of log.jsonl at this point: resuming cuts it there */
    float class_weights[CLFCN_MAX_CLASSES]; /* what --class-weights came to */
    int class_weight_count;                 /* of the classes; 0: all weights are 1 */
};

/* What a checkpoint says of itself, read without touching a device. */
struct clfcn_checkpoint_info {
    bool has_metadata;         /* false: a bare weights file */
    struct clfcn_net_desc net; /* batch as trained */
    struct clfcn_classes classes;
    struct clfcn_train_state state;
    struct clfcn_train_config config; /* out is NULL; strings point into json */
    json_t *json;
};

/* Write weights, optimiser state and metadata, to be committed as
 * clfcn_net_write_file() says. ranks: what its members "shares" and so on say of several
 * ranks; stolen, NULL: one process alone. */
int clfcn_checkpoint_write(struct clfcn_net *net, const char *path,
                           const struct clfcn_train_config *config,
                           const struct clfcn_classes *classes,
                           const struct clfcn_train_state *state, json_t *ranks,
                           struct clfcn_st_writer **out, struct clfcn_err *err);

/* The loss of a run; borrows state's weights. */
struct clfcn_loss_how clfcn_checkpoint_loss(const struct clfcn_train_config *config,
                                            const struct clfcn_train_state *state);

/* Its class weights: a new array, or NULL if memory is exhausted. */
json_t *clfcn_class_weights_to_json(const struct clfcn_train_state *s);

/* Read the metadata of an open file; name stands for it in messages. A file without clfcn
 * metadata gives has_metadata false. Free with clfcn_checkpoint_info_free(). */
int clfcn_checkpoint_read_info(const struct clfcn_weights_file *f, const char *name,
                               struct clfcn_checkpoint_info *out, struct clfcn_err *err);
void clfcn_checkpoint_info_free(struct clfcn_checkpoint_info *info);

#endif
