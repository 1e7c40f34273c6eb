/* trainer.c - the steps of a run, two under way at a time, from start event to end event.
 */
#include "../comm/comm.h"
#include "../device/dev.h"
#include "../util/json.h"
#include "../util/log.h"
#include "../util/sys.h"
#include "../util/trace.h"
#include "run.h"
#include "schedule.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- progress --- */

/* Steps of the whole run; config.max_steps may end it earlier, but does not change the
 * schedule: a run that was cut short so goes on as if it had not been. */
static int64_t scheduled_steps(const struct clfcn_run *run)
{
    return (int64_t)run->config.epochs * run->steps;
}

static int64_t last_step(const struct clfcn_run *run)
{
    const int64_t all = scheduled_steps(run), limit = run->config.max_steps;
    return limit >= 0 && limit < all ? limit : all;
}

static double lr_of_step(const struct clfcn_run *run, int64_t step)
{
    return clfcn_schedule_lr(&run->config, step, run->steps, scheduled_steps(run));
}

/* Seconds to the end of the run, < 0 if not known. */
static double remaining_seconds(const struct clfcn_run *run)
{
    if (run->step_s <= 0) {
        return -1;
    }
    /* Before the first evaluation: a step's forward pass is about a third of it. */
    const double guess = run->step_s / 3 * clfcn_loader_steps(run->eval_loader);
    const double eval_s = run->eval_s > 0 ? run->eval_s : guess;
    const int64_t epoch_ends = last_step(run) / run->steps - run->state.epoch;
    return (double)(last_step(run) - run->state.step) * run->step_s +
           (double)epoch_ends * eval_s;
}

void clfcn_run_progress(const struct clfcn_run *run, struct clfcn_progress progress)
{
    if (run->callbacks.progress == NULL) {
        return;
    }
    progress.epoch = run->state.epoch;
    progress.epochs = run->config.epochs;
    progress.total_step = run->state.step;
    progress.lr = lr_of_step(run, run->state.step > 0 ? run->state.step - 1 : 0);
    progress.images_per_s = run->step_s > 0 ? run->config.batch / run->step_s : 0;
    progress.remaining_s = remaining_seconds(run);
    progress.ranks = clfcn_comm_size(run->config.comm);
    progress.rank = progress.ranks > 1 ? run->ranks.progress : NULL;
    run->callbacks.progress(run->callbacks.user, &progress);
}

struct clfcn_net_hyper clfcn_run_hyper(const struct clfcn_run *run, int64_t step)
{
    const struct clfcn_train_config *config = &run->config;
    return (struct clfcn_net_hyper){
        .lr = lr_of_step(run, step - 1),
        .momentum = config->momentum,
        .weight_decay = config->weight_decay,
        .beta1 = config->beta1,
        .beta2 = config->beta2,
        .eps = config->eps,
        .update = step,
    };
}

/* --- steps --- */

static void watch_step(struct clfcn_run *run, int64_t step)
{
    char what[32];
    snprintf(what, sizeof(what), "step %" PRId64, step);
    clfcn_watch_begin(run->watch, what);
}

/* Enqueue the next step. */
static int start_step(struct clfcn_run *run, struct clfcn_err *err)
{
    const int slot = (int)(run->queued % CLFCN_NET_SLOTS);
    const struct clfcn_train_config *config = &run->config;
    int rc = clfcn_loader_next(run->train_loader, &run->batch[slot], err);
    if (rc < 0) {
        run->batch[slot] = NULL;
        return rc;
    }
    const struct clfcn_batch *batch = run->batch[slot];
    const struct clfcn_net_input input = { batch->images, batch->labels,
                                           batch->labelled };
    const struct clfcn_net_hyper hyper = clfcn_run_hyper(run, run->queued + 1);
    if (config->comm == NULL) { /* else it waits for other ranks, too */
        watch_step(run, run->queued + 1);
    }
    rc = clfcn_net_upload(run->net, slot, &input, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_run_step(run, slot, &hyper, err);
    }
    if (config->comm == NULL) {
        clfcn_watch_end(run->watch);
    }
    if (rc == CLFCN_OK) {
        run->queued++;
        run->exchanged[slot] = clfcn_clock();
    }
    return rc;
}

/* The clock of the step just done; returns its seconds. Among several ranks a step is as
 * good as done when its gradients are exchanged, which enqueueing it has waited for. */
static double take_step_time(struct clfcn_run *run, int slot, bool first)
{
    clfcn_trace_end("step", run->last_done);
    const double now = run->config.comm != NULL ? run->exchanged[slot] : clfcn_clock();
    const double seconds = now - run->last_done;
    run->last_done = now;
    run->state.epoch_seconds += seconds;
    run->state.epoch_wait += clfcn_loader_take_wait(run->train_loader);
    if (run->step_s > 0) {
        run->step_s += (seconds - run->step_s) / 8;
    } else if (!first) { /* runtimes finish compiling during the first step */
        run->step_s = seconds;
    }
    return seconds;
}

static json_t *step_event(const struct clfcn_run *run, double loss, double norm,
                          double seconds)
{
    const struct clfcn_train_state *s = &run->state;
    json_t *event = json_pack("{s:i, s:I, s:f, s:f, s:f}", "epoch", s->epoch, "step",
                              (json_int_t)s->step, "loss", loss, "lr",
                              lr_of_step(run, s->step - 1), "ms", 1e3 * seconds);
    if (event != NULL && run->config.clip_grad > 0) {
        clfcn_json_set(&event, "grad_norm", json_real(norm));
    }
    return event;
}

/* Trace what is no number in the results of the step just done. The loss is the same in
 * all ranks; a norm is each device's own, as is what verifying came upon. */
static int look_at_results(struct clfcn_run *run, double loss, double norm,
                           struct clfcn_err *err)
{
    const struct clfcn_train_config *config = &run->config;
    const int every = config->verify_every;
    const bool verified = every > 0 && run->state.step % every == 0;
    double spoiled[] = { !isfinite(norm), run->spoiled == run->state.step };
    if (!isfinite(loss)) {
        return clfcn_run_trace(run, "loss", err);
    }
    if (config->clip_grad > 0 || verified) {
        const int rc = clfcn_comm_sum(config->comm, spoiled, 2, err);
        if (rc < 0) {
            return rc;
        }
    }
    return spoiled[0] > 0   ? clfcn_run_trace(run, "gradient norm", err)
           : spoiled[1] > 0 ? clfcn_run_trace(run, "a tensor", err)
                            : CLFCN_OK;
}

/* Wait for the oldest step under way, and log it. */
static int finish_step(struct clfcn_run *run, bool first, struct clfcn_err *err)
{
    struct clfcn_train_state *s = &run->state;
    const int slot = (int)(s->step % CLFCN_NET_SLOTS);
    float loss = NAN;
    watch_step(run, s->step + 1);
    int rc = clfcn_net_wait(run->net, slot, &loss, err);
    clfcn_watch_end(run->watch);
    if (rc < 0) {
        return rc;
    }
    clfcn_loader_release(run->train_loader, run->batch[slot]);
    run->batch[slot] = NULL;
    s->step++;
    s->epoch_step++;
    s->epoch_loss_sum += loss;
    run->unsaved = true;
    const double seconds = take_step_time(run, slot, first);
    clfcn_run_note_step(run, seconds);
    rc = clfcn_run_save_end(run, err);
    if (rc < 0) {
        return rc;
    }
    const double norm =
        run->config.clip_grad > 0 ? (double)clfcn_net_gradient_norm(run->net, slot) : 0;
    rc = look_at_results(run, (double)loss, norm, err);
    if (rc < 0) {
        return rc;
    }
    rc = clfcn_runlog_event(run->log, "step",
                            step_event(run, (double)loss, norm, seconds), err);
    clfcn_run_progress(run, (struct clfcn_progress){ .step = s->epoch_step,
                                                     .steps = run->steps,
                                                     .loss = loss });
    return rc;
}

/* Train up to step `until` of the run, within the epoch, or to the stop flag. No step is
 * under way afterwards unless it failed. */
static int train_steps(struct clfcn_run *run, int64_t until, struct clfcn_err *err)
{
    bool first = true;
    run->last_done = clfcn_clock();
    clfcn_comm_take_wait(run->config.comm);
    while (run->state.step < until) {
        int rc = clfcn_run_look(run, err);
        const bool rest = run->rest != CLFCN_PAUSE_NONE;
        if (rc < 0) {
            return rc;
        }
        if (run->stopped) {
            until = run->queued; /* what is under way is still waited for */
        } else if (rest && run->queued == run->state.step) {
            rc = clfcn_run_pause(run, err);
        }
        if (rc == CLFCN_OK && run->queued < until && !rest) {
            rc = start_step(run, err);
        }
        const int64_t under_way = run->queued - run->state.step;
        if (rc == CLFCN_OK && (under_way == CLFCN_NET_SLOTS ||
                               (under_way > 0 && (run->queued == until || rest)))) {
            rc = finish_step(run, first, err);
            first = false;
        }
        if (rc < 0) {
            return rc;
        }
    }
    return CLFCN_OK;
}

/* The step at which to pause: the epoch's end, the run's, or the next save. */
static int64_t next_pause(const struct clfcn_run *run)
{
    const struct clfcn_train_state *s = &run->state;
    int64_t until = s->step + run->steps - s->epoch_step;
    if (last_step(run) < until) {
        until = last_step(run);
    }
    const int64_t every = run->config.save_steps;
    if (every > 0 && (s->step / every + 1) * every < until) {
        until = (s->step / every + 1) * every;
    }
    return until;
}

/* --- the run --- */

/* Whether --early-stop has ended the run. */
static bool is_over_early(const struct clfcn_run *run)
{
    const int patience = run->config.early_stop;
    return patience > 0 && run->state.epoch - run->state.best_epoch >= patience;
}

/* Whether nothing is left to be done, but for the end of an epoch. */
static bool is_complete(const struct clfcn_run *run)
{
    return run->state.epoch_step < run->steps &&
           (run->state.step >= last_step(run) || is_over_early(run));
}

/* Why a run that was complete before does nothing. */
static void say_complete(const struct clfcn_run *run)
{
    const struct clfcn_train_state *s = &run->state;
    if (s->step >= last_step(run)) {
        clfcn_info("%s is complete (epoch %d of %d, step %" PRId64
                   "): raise --epochs or --max-steps to go on",
                   run->config.out, s->epoch, run->config.epochs, s->step);
    } else {
        clfcn_info("%s was stopped early after epoch %d, epoch %d being the best: raise "
                   "--early-stop (now %d), or set it to 0, to go on",
                   run->config.out, s->epoch, s->best_epoch, run->config.early_stop);
    }
}

static int train_epochs(struct clfcn_run *run, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    while (rc == CLFCN_OK && !is_complete(run)) {
        rc = clfcn_run_look(run, err);
        if (rc < 0 || run->stopped) {
            return rc < 0 ? rc : clfcn_comm_agree(run->config.comm, CLFCN_EINTR, err);
        }
        if (run->state.epoch_step == run->steps) {
            rc = clfcn_run_end_epoch(run, err);
            continue;
        }
        rc = train_steps(run, next_pause(run), err);
        if (rc == CLFCN_OK && run->state.epoch_step < run->steps) {
            rc = clfcn_run_save(run, "last", err); /* max_steps, save_steps, or stopped */
        }
    }
    return rc;
}

static int64_t count_parameters(const struct clfcn_net *net)
{
    int64_t total = 0;
    for (int i = 0; i < clfcn_net_tensor_count(net, false); ++i) {
        struct clfcn_net_tensor t;
        clfcn_net_tensor_info(net, i, &t);
        /* Running statistics and counters are kept, not trained. */
        if (t.dtype == CLFCN_F32 && strstr(t.name, ".running_") == NULL) {
            total += (int64_t)(t.bytes / sizeof(float));
        }
    }
    return total;
}

static json_t *class_names(const struct clfcn_dataset *set)
{
    json_t *names = json_array();
    for (int c = 0; names != NULL && c < clfcn_dataset_classes(set); ++c) {
        if (json_array_append_new(names, json_string(clfcn_dataset_class_name(set, c))) <
            0) {
            json_decref(names);
            names = NULL;
        }
    }
    return names;
}

static int log_start(struct clfcn_run *run, struct clfcn_err *err)
{
    const struct clfcn_device_info *info = clfcn_dev_get_info(run->dev);
    const struct clfcn_train_config *config = &run->config;
    struct clfcn_net_memory memory;
    char time[32], title[256];
    clfcn_dev_title(run->dev, title, sizeof(title));
    clfcn_net_get_memory(run->net, &memory);
    clfcn_clock_iso(time, sizeof(time));
    json_t *event = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:o, s:i, s:i, s:I, s:o, "
        "s:s, s:s, s:i, s:i, s:i, s:i, s:I, s:I}",
        "version", clfcn_version(), "time", time, "device", title, "driver", info->driver,
        "platform", info->platform, "resumed", (int)run->resumed, "arch",
        clfcn_arch_name(config->arch), "backbone", clfcn_backbone_name(config->backbone),
        "size", json_sprintf("%dx%d", config->width, config->height), "batch",
        config->batch, "epochs", config->epochs, "parameters",
        (json_int_t)count_parameters(run->net), "classes", class_names(run->set),
        "data_format", clfcn_dataset_format(run->set), "split", run->split,
        "train_images", run->train_count, "val_images", run->val_count, "steps_per_epoch",
        run->steps, "epoch", run->state.epoch, "step", (json_int_t)run->state.step,
        "device_bytes", (json_int_t)memory.total);
    if (event != NULL && run->state.class_weight_count > 0) {
        clfcn_json_set(&event, "class_weights", clfcn_class_weights_to_json(&run->state));
    }
    if (event != NULL && config->comm != NULL) {
        clfcn_json_set(&event, "ranks", clfcn_run_ranks_to_json(run));
        clfcn_json_set(&event, "sync_bn", json_boolean(run->ranks.sync_batchnorm));
        clfcn_json_set(&event, "exchange",
                       json_string(clfcn_wire_name(config->exchange)));
    }
    return clfcn_runlog_event(run->log, "start", event, err);
}

/* The last line of the log; reason "completed", "early-stop", "max-steps", "interrupted"
 * or "failed". */
static int log_end(struct clfcn_run *run, int rc, const char *message, double seconds,
                   struct clfcn_err *err)
{
    const char *reason = rc == CLFCN_EINTR                        ? "interrupted"
                         : rc < 0                                 ? "failed"
                         : run->state.epoch >= run->config.epochs ? "completed"
                         : run->state.step >= last_step(run)      ? "max-steps"
                                                                  : "early-stop";
    json_t *event =
        json_pack("{s:s, s:i, s:I, s:f}", "reason", reason, "epoch", run->state.epoch,
                  "step", (json_int_t)run->state.step, "seconds", seconds);
    if (event != NULL && message != NULL) {
        clfcn_json_set(&event, "message", json_string(message));
    }
    return clfcn_runlog_event(run->log, "end", event, err);
}

/* Network and log at the state's position; a new run's first checkpoint. */
static int begin(struct clfcn_run *run, struct clfcn_err *err)
{
    const bool writes = clfcn_comm_rank(run->config.comm) == 0;
    int rc = writes ? clfcn_run_write_config(run, err) : CLFCN_OK;
    rc = clfcn_comm_agree(run->config.comm, rc, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_run_open_net(run, err);
    }
    if (rc < 0) {
        return rc; /* the others know, or will hear of it when this one leaves */
    }
    if (writes) {
        rc = clfcn_runlog_open(run->config.out, run->state.log_bytes, &run->callbacks,
                               &run->log, err);
    }
    if (rc == CLFCN_OK) {
        rc = log_start(run, err);
    }
    if (rc == CLFCN_OK && run->callbacks.restarted != NULL) {
        rc =
            clfcn_runlog_event(run->log, "restart",
                               json_pack("{s:s, s:I}", "reason", run->callbacks.restarted,
                                         "step", (json_int_t)run->state.step),
                               err);
    }
    rc = clfcn_comm_agree(run->config.comm, rc, err);
    /* After a restart, too: its event is to stay in the log, however soon the next comes.
     */
    if (rc == CLFCN_OK && (!run->resumed || run->callbacks.restarted != NULL)) {
        rc = clfcn_run_save(run, "last", err);
    }
    return rc;
}

/* Save what an interrupted run has reached, and wait for the checkpoint under way. rc is
 * how the steps ended, *cause their error; the first error is what matters. */
static int settle(struct clfcn_run *run, int rc, struct clfcn_err *cause)
{
    struct clfcn_err ignored;
    const bool failed = rc < 0 && rc != CLFCN_EINTR;
    int saved = CLFCN_OK;
    if (rc == CLFCN_EINTR && run->unsaved) {
        saved = clfcn_run_save(run, "last", cause);
    }
    if (saved == CLFCN_OK) {
        saved = clfcn_run_save_end(run, failed ? &ignored : cause);
    }
    if (rc == CLFCN_ECOMM && cause->code == rc) {
        clfcn_err_add(cause,
                      "; the last checkpoint is %s/checkpoints/last.safetensors: go "
                      "on with --resume %s, with as many ranks as there are",
                      run->config.out, run->config.out);
    }
    if (rc == CLFCN_EINTR && saved == CLFCN_OK) {
        return clfcn_err_set(cause, CLFCN_EINTR, 0,
                             "interrupted after step %" PRId64
                             ", the state is saved: go on with --resume %s",
                             run->state.step, run->config.out);
    }
    return failed ? rc : saved;
}

/* From begin() to the end event. */
static int train(struct clfcn_run *run, struct clfcn_err *err)
{
    const double start = clfcn_clock();
    struct clfcn_err cause = { 0 }, ignored;
    int rc = begin(run, &cause);
    run->queued = run->state.step;
    if (rc == CLFCN_OK) {
        rc = train_epochs(run, &cause);
    }
    if (rc == CLFCN_OK && run->state.step < last_step(run)) {
        clfcn_info(
            "stopped early after epoch %d: no better mean IoU for %d epochs, epoch "
            "%d being the best",
            run->state.epoch, run->config.early_stop, run->state.best_epoch);
    }
    rc = settle(run, rc, &cause);
    if (run->log != NULL) {
        const double seconds = clfcn_clock() - start;
        if (rc < 0) {
            log_end(run, rc, cause.msg, seconds,
                    &ignored); /* the cause is what matters */
        } else {
            rc = log_end(run, rc, NULL, seconds, &cause);
        }
    }
    if (rc < 0 && err != NULL) {
        *err = cause;
    }
    return rc;
}

static void finish(struct clfcn_run *run)
{
    for (int s = 0; s < CLFCN_NET_SLOTS; ++s) {
        if (run->batch[s]) { /* after an error: the device may still use its memory */
            watch_step(run, run->state.step + 1);
            clfcn_net_wait(run->net, s, NULL, NULL);
            clfcn_watch_end(run->watch);
            clfcn_loader_release(run->train_loader, run->batch[s]);
        }
    }
    clfcn_net_destroy(&run->net);
    clfcn_choices_free(&run->choices);
    clfcn_loader_destroy(&run->train_loader);
    clfcn_loader_destroy(&run->eval_loader);
    clfcn_dataset_destroy(&run->opened_val);
    clfcn_dataset_destroy(&run->opened);
    clfcn_runlog_close(&run->log);
    clfcn_weights_close(&run->last);
    clfcn_checkpoint_info_free(&run->info);
    json_decref(run->config_json);
    clfcn_run_ranks_free(&run->ranks);
    clfcn_watch_stop(&run->watch);
    clfcn_lock_release(&run->lock);
}

int clfcn_train(struct clfcn_dev *dev, const struct clfcn_train_config *config,
                bool resume, const struct clfcn_train_callbacks *callbacks,
                struct clfcn_err *err)
{
    const struct clfcn_train_callbacks none = { 0 };
    struct clfcn_run run = { .dev = dev,
                             .callbacks = callbacks != NULL ? *callbacks : none,
                             .lock = { .fd = -1 } };
    run.state.best_mean_iou = run.state.best_train_loss = NAN;
    int rc = clfcn_watch_start(run.callbacks.hung, run.callbacks.user, &run.watch, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_pause_start(&run.pause, config, run.callbacks.pause, err);
    }
    rc = clfcn_comm_agree(config->comm, rc, err);
    if (rc == CLFCN_OK) {
        char title[256];
        clfcn_dev_title(dev, title, sizeof(title));
        rc = clfcn_comm_introduce(config->comm, title, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_run_open_folder(&run, config, resume, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_run_open_data(&run, err);
    }
    if (rc == CLFCN_OK && run.resumed && is_complete(&run)) {
        say_complete(&run);
        rc = run.lock.fd >= 0 ? clfcn_runlog_mend(run.config.out, err) : CLFCN_OK;
        rc = clfcn_comm_agree(config->comm, rc, err);
    } else if (rc == CLFCN_OK) {
        rc = train(&run, err);
    }
    finish(&run);
    return rc;
}
