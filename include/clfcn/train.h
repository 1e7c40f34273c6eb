/* train.h - a whole training run, as `clfcn train` does it. */
#ifndef CLFCN_TRAIN_H
#define CLFCN_TRAIN_H

#include "data.h"
#include "net.h"

CLFCN_BEGIN_DECLS

enum clfcn_lr_policy { CLFCN_LR_CONSTANT, CLFCN_LR_STEP, CLFCN_LR_POLY, CLFCN_LR_COSINE };

CLFCN_API const char *clfcn_lr_policy_name(enum clfcn_lr_policy policy);

/**
 * All options of a run. Fill with clfcn_train_defaults() first. The strings are borrowed
 * and must live as long as the call that takes the configuration.
 */
struct clfcn_train_config {
    const char *data;   /**< see clfcn_dataset_open(); or NULL and the next three */
    const char *format; /**< of data, see clfcn_dataset_open_as(); NULL: recognised */
    const char *images, *masks, *classes;
    const char *ignore; /**< mask values that count nowhere, too (clfcn_dataset_ignore()),
                           in data given by name; NULL: none */
    const char *val; /**< folder of a validation set, NULL: val_fraction of the data */
    /** Borrowed, for the call: an open set in place of data, and one in place of val; may
     * be NULL. Not kept with the run, so to be given again when resuming. */
    const struct clfcn_dataset *set, *val_set;
    double val_fraction; /**< 0 .. <1 */
    bool own_split; /**< where the data have a split of their own, take that instead */
    enum clfcn_arch arch;
    enum clfcn_backbone backbone;
    int width, height, batch;
    int epochs;
    int64_t max_steps; /**< stop after so many steps in all; < 0: no limit. Does not
                          change the learning-rate schedule, which spans all epochs. */
    enum clfcn_loss loss;
    double focal_gamma; /**< exponent of loss focal */
    /** "auto": by median frequency balancing of the training masks, or numbers with
     * commas between them, one a class; NULL or "none": all are 1. */
    const char *class_weights;
    enum clfcn_optimizer optimizer;
    double clip_grad; /**< limit of the norm of all gradients together; 0: none */
    double lr, momentum, weight_decay;
    double beta1, beta2, eps; /**< of Adam and AdamW */
    int warmup; /**< steps over which the learning rate rises to what the policy says */
    enum clfcn_lr_policy lr_policy;
    int lr_step;     /**< epochs between drops of policy step */
    double lr_gamma; /**< factor of a drop of policy step */
    double lr_power; /**< exponent of policy poly */
    uint64_t seed;
    const char *init; /**< weights to start from (clfcn_net_load()), or NULL */
    bool partial;     /**< take what matches of them */
    bool freeze_backbone;
    enum clfcn_resize resize;
    struct clfcn_augment augment;
    bool shuffle;
    int early_stop; /**< end after so many epochs without a better mean IoU in validation,
                       0: never */
    int save_every;  /**< epochs between numbered checkpoints, 0: none */
    int save_steps;  /**< steps between writes of last.safetensors, 0: each epoch's end
                        only */
    /** Steps between those in which one pass of one layer, drawn from seed and step, is
     * recomputed in float64 on the host and compared, which ends the run if the device was
     * wrong; 0: never. Changes no bit of the result. */
    int verify_every;
    const char *out; /**< run folder, created; must not hold a run unless resuming */
    enum clfcn_gemm_kind gemm;
    int workers;            /**< loader threads, 0: a default */
    size_t cache_bytes;     /**< host memory for decoded images */
    size_t workspace_bytes; /**< see struct clfcn_net_options */
    size_t mem_bytes;       /**< likewise */
    /** How ranks share out a batch, `batch` being that of all together: "auto", by
     * measured speed, "equal", or in a proportion such as "2:1:1"; NULL: auto. */
    const char *balance;
    enum clfcn_sync_bn sync_bn; /**< auto: where the smallest share has less than 8 images */
    enum clfcn_wire exchange;   /**< how gradients travel */
    /* What follows is about this machine at this time, and not kept with the run. */
    /** Ranks that train together: all call clfcn_train() with the same configuration, but
     * for what concerns their own device and machine, which is checked, and rank 0 alone
     * writes. Borrowed, for the call; NULL: this process alone. */
    struct clfcn_comm *comm;
    bool pause_on_battery;  /**< wait while the machine runs on battery */
    double max_celsius;     /**< wait while its hottest sensor is above, until it is 5
                               degrees below; 0: no limit */
};

CLFCN_API void clfcn_train_defaults(struct clfcn_train_config *config);

/** One line of the run's log as JSON text, without newline. Borrowed for the call. */
typedef void (*clfcn_event_fn)(void *user, const char *event, const char *json);

/** What one of several ranks does, lately. */
struct clfcn_rank_progress {
    double images_per_s; /**< of its share, while it does not wait; 0: not known yet */
    double wait;         /**< 0 .. 1: the part of its time that it waits for others */
};

/** Progress of the current epoch, called after every step. */
struct clfcn_progress {
    int epoch, epochs; /**< epoch counts from 0 */
    int step, steps;   /**< within the epoch; step counts from 1 */
    int64_t total_step;
    double loss, lr;
    double images_per_s;
    double remaining_s; /**< of the whole run, validation included; < 0: not known yet */
    bool validating;
    int ranks; /**< 1: this process alone */
    const struct clfcn_rank_progress *rank; /**< [ranks]; NULL for one. For the call. */
};
typedef void (*clfcn_progress_fn)(void *user, const struct clfcn_progress *progress);

/** The device hangs: a step or a part of the validation has taken many times as long as
 * any before. message says so. Called once, from another thread, while clfcn_train() waits
 * in the driver, from which it may never return: all that is left is to end the process. */
typedef void (*clfcn_hung_fn)(void *user, const char *message);

struct clfcn_train_callbacks {
    clfcn_event_fn event;       /**< may be NULL */
    clfcn_progress_fn progress; /**< may be NULL */
    const volatile bool *
        stop; /**< training ends after the step in which this becomes true; may be NULL */
    const volatile bool *
        pause; /**< no step begins while this is true, the state being saved; may be NULL */
    clfcn_hung_fn hung;    /**< NULL: nobody looks whether the device hangs */
    const char *restarted; /**< why the process before this one ended, for the log; NULL:
                              there was none */
    void *user;
};

/**
 * Train, from the start or, with resume, on from
 * `config->out`/checkpoints/last.safetensors.
 *
 * @param dev     Borrowed.
 * @param config  Copied. With resume, only out, set, val_set, epochs, max_steps,
 * save_every, save_steps, verify_every, early_stop, gemm, workers, cache_bytes, workspace_bytes,
 * mem_bytes, balance, exchange, comm, pause_on_battery and max_celsius are taken from it.
 * A run that was killed before its first checkpoint starts anew with its config.json.
 * @return CLFCN_OK; CLFCN_EINTR if stopped, the state being saved; CLFCN_EINVAL also if
 *         the machine shows no sensor that an option needs; CLFCN_EWRONG if the device
 *         was found to compute wrongly, but not again, CLFCN_ENUMERIC if it does so
 *         always, or if the loss is not finite, the message says where; CLFCN_ECOMM if another rank
 *         is gone or failed; else the first error.
 */
CLFCN_API int clfcn_train(struct clfcn_dev *dev, const struct clfcn_train_config *config,
                          bool resume, const struct clfcn_train_callbacks *callbacks,
                          struct clfcn_err *err);

/** How well a network segments pictures: the metrics of the FCN paper (Long, Shelhamer,
 * Darrell, 2015, section 5) from one confusion matrix over all pixels. */
struct clfcn_metrics {
    double pixel_acc, mean_acc, mean_iou, fw_iou; /**< 0 .. 1; NaN: nothing was counted */
    /** Per class; NaN where the class occurs neither in truth nor in prediction (IoU) or
     * not in truth (accuracy); means are over the classes that are not NaN. */
    double iou[CLFCN_MAX_CLASSES], acc[CLFCN_MAX_CLASSES];
};

/**
 * Infer pictures of a set and judge the result, at each mask's own size. Weights and
 * running statistics stay as they are, and what the network had uploaded is dropped.
 *
 * @param items  [count] numbers of pictures in the set; NULL: all of them.
 * @return CLFCN_OK; CLFCN_EINVAL if the set has other classes than the network in number;
 *         CLFCN_EDATA names a file that cannot be read; CLFCN_ENOMEM; CLFCN_ECL.
 */
CLFCN_API int clfcn_measure(struct clfcn_net *net, const struct clfcn_dataset *set,
                            const int *items, int count, struct clfcn_metrics *out,
                            struct clfcn_err *err);

CLFCN_END_DECLS

#endif
