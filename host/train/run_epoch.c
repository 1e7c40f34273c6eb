/* run_epoch.c - what follows an epoch's last step: validation, samples, events,
 * checkpoints. */
#include "../comm/comm.h"
#include "../net/unite.h"
#include "../util/path.h"
#include "evaluate.h"
#include "run.h"
#include "samples.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SAMPLE_SIDE = 320 };

/* One evaluation after an epoch. */
struct epoch_eval {
    struct clfcn_run *run;
    int sampled; /* pictures written */
};

static int write_sample(struct clfcn_run *run, int item, const uint8_t *predicted,
                        struct clfcn_err *err)
{
    const struct clfcn_dataset *set = run->eval_set;
    char prefix[48];
    snprintf(prefix, sizeof(prefix), "samples/epoch-%04d-", run->state.epoch + 1);
    struct clfcn_pair pair;
    int rc = clfcn_dataset_read(set, item, &pair, err);
    if (rc < 0) {
        return rc;
    }
    char *folder = clfcn_path_join(run->config.out, prefix);
    json_t *path = folder != NULL ? json_sprintf("%s%s.png", folder,
                                                 clfcn_dataset_item_name(set, item))
                                  : NULL;
    rc = path != NULL
             ? clfcn_sample_write(json_string_value(path), &pair.image, pair.labels,
                                  predicted, clfcn_dataset_get_classes(run->set),
                                  SAMPLE_SIDE, err)
             : clfcn_err_nomem(err);
    json_decref(path);
    free(folder);
    clfcn_pair_free(&pair);
    return rc;
}

static int take_image(void *user, int item, const float *logits, size_t plane_stride,
                      const uint8_t *predicted, const uint8_t *truth, int width,
                      int height, struct clfcn_err *err)
{
    struct epoch_eval *eval = user;
    if (eval->sampled == CLFCN_RUN_SAMPLES ||
        clfcn_comm_rank(eval->run->config.comm) != 0) {
        return CLFCN_OK;
    }
    eval->sampled++;
    return write_sample(eval->run, item, predicted, err);
}

static void show_progress(void *user, int done, int total)
{
    const struct epoch_eval *eval = user;
    clfcn_run_progress(eval->run,
                       (struct clfcn_progress){ .epoch = eval->run->state.epoch,
                                                .step = done,
                                                .steps = total,
                                                .loss = NAN,
                                                .validating = true });
}

int clfcn_run_unite_statistics(struct clfcn_run *run, struct clfcn_err *err)
{
    const double part = (double)clfcn_run_share(run) / run->config.batch;
    return run->ranks.sync_batchnorm ? CLFCN_OK
                                     : clfcn_net_unite_statistics(run->net, part, err);
}

static int evaluate(struct clfcn_run *run, struct clfcn_eval_result *out,
                    struct clfcn_err *err)
{
    struct epoch_eval eval = { .run = run };
    const struct clfcn_eval_options options = {
        .loss = clfcn_checkpoint_loss(&run->config, &run->state),
        .image = take_image,
        .progress = show_progress,
        .stop = run->callbacks.stop,
        .watch = run->watch,
        .user = &eval,
        .only_shown = run->only_shown,
    };
    int rc = clfcn_run_unite_statistics(run, err);
    if (rc < 0) {
        return rc;
    }
    rc = clfcn_evaluate(run->config.comm, run->net, run->eval_set, run->eval_loader,
                        &options, out, err);
    if (rc < 0) {
        return rc;
    }
    run->eval_s = out->seconds;
    if (out->labelled > 0 && !isfinite(out->loss)) {
        clfcn_confusion_finish(&out->confusion);
        rc = clfcn_run_not_finite(run, "evaluation loss", err);
        return clfcn_comm_agree(run->config.comm, rc, err); /* it is so in all */
    }
    return CLFCN_OK;
}

/* A JSON array of n numbers, null where NaN. */
static json_t *number_array(const double *values, int n)
{
    json_t *array = json_array();
    for (int i = 0; array != NULL && i < n; ++i) {
        if (json_array_append_new(array, clfcn_json_number(values[i])) < 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

/* The epoch's event; result NULL where there is no validation. */
static json_t *epoch_event(const struct clfcn_run *run, double train_loss,
                           double eval_seconds, const struct clfcn_eval_result *result)
{
    const struct clfcn_train_state *s = &run->state;
    const double images = (double)run->steps * run->config.batch;
    const struct clfcn_metrics *m = result != NULL ? &result->metrics : NULL;
    const int classes = clfcn_dataset_classes(run->set);
    return json_pack(
        "{s:i, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:f, s:f, s:o}", "epoch",
        s->epoch, "step", (json_int_t)s->step, "train_loss",
        clfcn_json_number(train_loss), "val_loss",
        clfcn_json_number(m != NULL ? result->loss : NAN), "pixel_acc",
        clfcn_json_number(m != NULL ? m->pixel_acc : NAN), "mean_acc",
        clfcn_json_number(m != NULL ? m->mean_acc : NAN), "mean_iou",
        clfcn_json_number(m != NULL ? m->mean_iou : NAN), "fw_iou",
        clfcn_json_number(m != NULL ? m->fw_iou : NAN), "iou",
        m != NULL ? number_array(m->iou, classes) : json_null(), "acc",
        m != NULL ? number_array(m->acc, classes) : json_null(), "seconds",
        s->epoch_seconds + eval_seconds, "val_seconds", m != NULL ? eval_seconds : 0.0,
        "wait_s", s->epoch_wait, "images_per_s",
        clfcn_json_number(images / s->epoch_seconds));
}

/* Take note if this epoch, the state's last completed one, is the best so far. */
static bool is_best(struct clfcn_run *run, double train_loss,
                    const struct clfcn_eval_result *result)
{
    struct clfcn_train_state *s = &run->state;
    bool best;
    if (result != NULL) {
        const double iou = result->metrics.mean_iou;
        best = iou > s->best_mean_iou || (isnan(s->best_mean_iou) && !isnan(iou));
        s->best_mean_iou = best ? iou : s->best_mean_iou;
    } else {
        best = !(train_loss >= s->best_train_loss);
        s->best_train_loss = best ? train_loss : s->best_train_loss;
    }
    s->best_epoch = best ? s->epoch : s->best_epoch;
    return best;
}

/* last.safetensors comes last: a run killed before it is there does all of this anew. */
static int save_epoch(struct clfcn_run *run, bool best, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    if (best) {
        rc = clfcn_run_save(run, "best", err);
    }
    if (rc == CLFCN_OK && run->config.save_every > 0 &&
        run->state.epoch % run->config.save_every == 0) {
        char name[32];
        snprintf(name, sizeof(name), "epoch-%04d", run->state.epoch);
        rc = clfcn_run_save(run, name, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_run_save(run, "last", err);
    }
    return rc;
}

int clfcn_run_end_epoch(struct clfcn_run *run, struct clfcn_err *err)
{
    struct clfcn_train_state *s = &run->state;
    struct clfcn_eval_result evaluated;
    int rc = evaluate(run, &evaluated, err);
    if (rc < 0) {
        return rc;
    }
    const struct clfcn_eval_result *result = run->val_count > 0 ? &evaluated : NULL;
    const double train_loss = s->epoch_loss_sum / run->steps;
    json_t *event = epoch_event(run, train_loss, evaluated.seconds, result);
    rc = clfcn_run_ranks_event(run, event, err);
    s->epoch++;
    s->epoch_step = 0;
    s->epoch_loss_sum = s->epoch_seconds = s->epoch_wait = 0;
    run->unsaved = true;
    const bool best = is_best(run, train_loss, result);
    const int logged = clfcn_runlog_event(run->log, "epoch", event, err);
    rc = rc < 0 ? rc : clfcn_comm_agree(run->config.comm, logged, err);
    if (rc == CLFCN_OK) {
        rc = save_epoch(run, best, err);
    }
    clfcn_confusion_finish(&evaluated.confusion);
    return rc;
}
