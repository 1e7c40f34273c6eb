/* run.h - a training run under way: its folder, data, network and position. */
#ifndef CLFCN_TRAIN_RUN_H
#define CLFCN_TRAIN_RUN_H

#include "../data/loader.h"
#include "../ops/choice.h"
#include "../util/file.h"
#include "../util/thread.h"
#include "checkpoint.h"
#include "pause.h"
#include "watch.h"
#include "runlog.h"

/* A checkpoint on its way to the disk. Only log, writer, rc and err are the thread's. */
struct clfcn_save {
    struct clfcn_thread thread;
    struct clfcn_runlog *log;       /* borrowed */
    struct clfcn_st_writer *writer; /* NULL: none is under way */
    char *path;
    int epoch; /* of its state */
    int64_t step;
    int rc; /* the thread's result */
    struct clfcn_err err;
};

/* What one rank did in an epoch. */
struct clfcn_rank_epoch {
    double images, seconds;      /* of its share, and since when */
    double wait_s;               /* of these, waiting for other ranks */
    double exchange_s, exposed_s; /* struct clfcn_exchange_time */
    double bytes;                 /* sent and received */
};

/* The ranks of config.comm, or this process alone as one rank. (run_ranks.c) */
struct clfcn_run_ranks {
    int *shares; /* [ranks] images of a batch that each takes */
    int first;   /* of the batch: this rank's first image */
    bool sync_batchnorm;
    json_t *tunings; /* [ranks] what each net's algorithms were chosen by */
    struct clfcn_rank_progress mine, *progress; /* [ranks], as each said last */
    struct clfcn_rank_epoch epoch;              /* of this rank, so far */
    double step_s, wait_s; /* running means of a step's seconds, and of those it waits */
};

/* Lives in clfcn_train() alone. Zero-initialised but for lock.fd = -1. */
struct clfcn_run {
    struct clfcn_dev *dev; /* borrowed */
    struct clfcn_train_config config;
    struct clfcn_train_callbacks callbacks;
    struct clfcn_train_state state; /* after the last step that was waited for */
    bool resumed;
    bool unsaved; /* whether state has moved on since last.safetensors was written */

    /* The folder (run_folder.c). */
    struct clfcn_lock lock;
    struct clfcn_runlog *log;
    struct clfcn_checkpoint_info
        info;                  /* of the checkpoint resumed from; config points into it */
    json_t *config_json;       /* or into this, a config.json */
    struct clfcn_weights_file last; /* that checkpoint, until its weights are loaded */
    struct clfcn_save save;

    struct clfcn_run_ranks ranks;

    /* The data (run_data.c). */
    struct clfcn_dataset *opened, *opened_val; /* those that are the run's own, or NULL */
    const struct clfcn_dataset *set, *val_set; /* val_set NULL: both come from set */
    const struct clfcn_dataset *eval_set; /* the one of the two that eval_loader reads */
    const char *split;                    /* by what: "own", "fraction" or "set" */
    int train_count, val_count;           /* images; val_count 0: no validation */
    struct clfcn_loader *train_loader;
    struct clfcn_loader
        *eval_loader; /* validation, or a few training images for samples */
    int only_shown;   /* its last images, which are judged by other ranks */
    int steps;        /* an epoch */

    struct clfcn_choices choices; /* the algorithms of net, the same in every session */
    struct clfcn_net *net;

    /* Steps under way (trainer.c). */
    int64_t queued;                                   /* steps enqueued in all */
    int64_t spoiled; /* the last step in which an audit read what is no number */
    const struct clfcn_batch *batch[CLFCN_NET_SLOTS]; /* NULL: the slot is idle */
    struct clfcn_watch *watch;
    struct clfcn_pause pause; /* of this rank */
    /* As of the last clfcn_run_look(), the same in all ranks. */
    bool stopped;
    enum clfcn_pause_reason rest;
    double rest_celsius; /* that it is too hot with */
    double exchanged[CLFCN_NET_SLOTS]; /* clock when each slot's step was enqueued */
    double last_done; /* clock when the last step was done */
    double step_s;    /* running mean of a step's seconds; 0: not known yet */
    double eval_s;    /* the last evaluation's seconds; 0: not known yet */
};

/* Pictures after each epoch, and the images that they show where there is no validation.
 */
enum { CLFCN_RUN_SAMPLES = 4 };

/* Take config->out into use: create and lock it, and refuse one that holds a run already;
 * or, with resume, read config and state from the run it holds. run->config is complete
 * and checked then. (run_folder.c) */
int clfcn_run_open_folder(struct clfcn_run *run, const struct clfcn_train_config *config,
                          bool resume, struct clfcn_err *err);
/* Write config.json: the options, and the classes as text. */
int clfcn_run_write_config(const struct clfcn_run *run, struct clfcn_err *err);
/* A path in the folder, or CLFCN_ENOMEM. Free with free(). */
int clfcn_run_path(const struct clfcn_run *run, const char *name, char **out,
                   struct clfcn_err *err);

/* Write checkpoints/NAME.safetensors, after the one under way. The run may go on while a
 * thread syncs it; no step may be under way when this is called. (run_save.c) */
int clfcn_run_save(struct clfcn_run *run, const char *name, struct clfcn_err *err);
/* Wait until the checkpoint under way, if there is one, lies on the disk, and log it. */
int clfcn_run_save_end(struct clfcn_run *run, struct clfcn_err *err);

/* What follows is collective in a run of several ranks, but for what says "by itself".
 *
 * Divide the batch among the ranks. The data sets must be open. (run_ranks.c) */
int clfcn_run_share_out(struct clfcn_run *run, struct clfcn_err *err);
/* By itself: the images of a batch that this rank takes. */
int clfcn_run_share(const struct clfcn_run *run);
void clfcn_run_ranks_free(struct clfcn_run_ranks *r);
/* CLFCN_EINVAL unless all have the same run->config, but for what concerns a rank's own
 * machine, and the same resume. (run_alike.c) */
int clfcn_run_same_config(const struct clfcn_run *run, bool resume,
                          struct clfcn_err *err);
/* CLFCN_EDATA unless all have the same training images. */
int clfcn_run_same_data(struct clfcn_run *run, struct clfcn_err *err);
/* By itself: what a rank is called in messages; buf, of n bytes, is returned. */
const char *clfcn_run_rank_name(const struct clfcn_run *run, int rank, char *buf,
                                size_t n);
/* Whether to go on: sets run->stopped and run->rest. */
int clfcn_run_look(struct clfcn_run *run, struct clfcn_err *err);
/* By itself: a step took so long. */
void clfcn_run_note_step(struct clfcn_run *run, double seconds);
/* Add to an epoch's event, NULL if memory is exhausted, what each rank did. */
int clfcn_run_ranks_event(struct clfcn_run *run, json_t *event, struct clfcn_err *err);
/* By itself: who they are and what they take; a new reference, or NULL. */
json_t *clfcn_run_ranks_to_json(const struct clfcn_run *run);
/* By itself: shares and tunings for a checkpoint, NULL in a run of one process. */
json_t *clfcn_run_ranks_to_checkpoint(const struct clfcn_run *run);
/* By itself: what the algorithms of this rank were chosen by when the run was begun, NULL
 * if the checkpoint does not say, or if the rank had another share; borrowed. */
const json_t *clfcn_run_begun_tuning(const struct clfcn_run *run);
/* Collect the tunings of the ranks' networks. */
int clfcn_run_gather_tunings(struct clfcn_run *run, struct clfcn_err *err);

/* Open the data sets, split them and start the loaders; check that they are those of the
 * checkpoint. (run_data.c) */
int clfcn_run_open_data(struct clfcn_run *run, struct clfcn_err *err);

/* Build the network, with the checkpoint's weights or initial ones. (run_net.c) */
int clfcn_run_open_net(struct clfcn_run *run, struct clfcn_err *err);
/* By itself: images a second that the device trains with so many at a time. */
int clfcn_run_measure(struct clfcn_run *run, int batch, double *images_per_s,
                      struct clfcn_err *err);

/* What follows an epoch's last step: validation, samples, the epoch's event, checkpoints.
 * A function of the state with epoch_step == steps, so that a run stopped within it does
 * it anew when resumed. CLFCN_EINTR if stopped: the state is as before. (run_epoch.c) */
int clfcn_run_end_epoch(struct clfcn_run *run, struct clfcn_err *err);

/* Wait while run->pause says so, or until stopped; no step may be under way. Says and
 * logs that it does, and saves the state before: batteries run empty. (run_pause.c) */
int clfcn_run_pause(struct clfcn_run *run, struct clfcn_err *err);

/* Let the running statistics be those of all ranks' shares, if batch norm is not
 * synchronised anyway. Collective. (run_epoch.c) */
int clfcn_run_unite_statistics(struct clfcn_run *run, struct clfcn_err *err);

/* Enqueue a step on slot's batch, whose number hyper->update is; every
 * config.verify_every-th with a part of it verified, and logged. CLFCN_ENUMERIC or
 * CLFCN_EWRONG as for clfcn_net_step_audited(). (run_verify.c) */
int clfcn_run_step(struct clfcn_run *run, int slot, const struct clfcn_net_hyper *hyper,
                   struct clfcn_err *err);

/* Tell the progress callback where the run stands: step, steps, loss and validating are
 * the caller's, the rest is filled in. (trainer.c) */
void clfcn_run_progress(const struct clfcn_run *run, struct clfcn_progress progress);
/* The numbers of a step's update, counted from 1. (trainer.c) */
struct clfcn_net_hyper clfcn_run_hyper(const struct clfcn_run *run, int64_t step);
/* What is no number after the last step that was waited for: go back to the last
 * checkpoint, repeat the steps since, if that takes no more than some minutes, and say in
 * which tensor it begins, in which rank, and log that. The network is of no use
 * afterwards. Collective. CLFCN_ENUMERIC; CLFCN_EWRONG if it does not happen again; the
 * error that kept it from being found out. (run_trace.c) */
int clfcn_run_trace(struct clfcn_run *run, const char *what, struct clfcn_err *err);
/* CLFCN_ENUMERIC: what, its step, and the way out. (run_trace.c) */
int clfcn_run_not_finite(const struct clfcn_run *run, const char *what,
                         struct clfcn_err *err);

#endif
