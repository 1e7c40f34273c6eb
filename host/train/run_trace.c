/* run_trace.c - where NaN or infinity came from, once a loss shows it: found by repeating
 * the steps since the last checkpoint, as their bits are the same again. */
#include "../comm/comm.h"
#include "../net/spoiled.h"
#include "../util/log.h"
#include "../util/strbuf.h"
#include "run.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* Seconds that repeating steps may take. */
static const double PATIENCE = 300;

/* Steps before the failing one that are looked at, too: a gradient that is no number is
 * seen in the next step's loss. */
enum { BEFORE = 1 };

struct trace {
    int64_t from, step; /* of the checkpoint; in which it was found */
    bool traced;        /* all was repeated, or found */
    bool stopped;       /* interrupted meanwhile */
    bool picture;       /* of a batch: its name in the data */
    char name[256];
    struct clfcn_spoiled spoiled;
};

int clfcn_run_not_finite(const struct clfcn_run *run, const char *what,
                         struct clfcn_err *err)
{
    return clfcn_err_set(
        err, CLFCN_ENUMERIC, 0,
        "%s is not finite at step %" PRId64
        " (epoch %d): lower --lr (now %g) or look for a wrong image; the last "
        "checkpoint is %s/checkpoints/last.safetensors",
        what, run->state.step, run->state.epoch + 1, run->config.lr, run->config.out);
}

/* --- going back --- */

static int end_steps(struct clfcn_run *run, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int s = 0; s < CLFCN_NET_SLOTS; ++s) {
        if (run->batch[s] != NULL) {
            rc = clfcn_net_wait(run->net, s, NULL, err);
            clfcn_loader_release(run->train_loader, run->batch[s]);
            run->batch[s] = NULL;
        }
    }
    return rc;
}

/* Whether the steps since the checkpoint, forgoing two for each that is looked at
 * closely, are soon repeated. */
static bool is_near(const struct clfcn_run *run, int64_t from)
{
    const double steps = (double)(run->state.step - from) + 3 * (1 + BEFORE);
    return steps * run->step_s <= PATIENCE;
}

static int go_back(struct clfcn_run *run, struct trace *t, bool *near,
                   struct clfcn_err *err)
{
    struct clfcn_weights_file file = { 0 };
    struct clfcn_checkpoint_info info = { 0 };
    char *path;
    int rc = clfcn_run_path(run, "checkpoints/last.safetensors", &path, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_weights_open(path, &file, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_checkpoint_read_info(&file, path, &info, err);
    }
    if (rc == CLFCN_OK) {
        t->from = info.state.step;
        *near = is_near(run, t->from);
    }
    if (rc == CLFCN_OK && *near) {
        rc = clfcn_net_read_file(run->net, &file, path, true, err);
    }
    if (rc == CLFCN_OK && *near) {
        rc = clfcn_loader_seek(run->train_loader, info.state.epoch, info.state.epoch_step,
                               err);
    }
    clfcn_checkpoint_info_free(&info);
    clfcn_weights_close(&file);
    free(path);
    return rc;
}

/* The picture of a batch that was found to hold it. */
static void name_picture(const struct clfcn_run *run, const struct clfcn_batch *batch,
                         struct trace *t)
{
    const int64_t image = t->spoiled.index[1];
    t->picture = true;
    snprintf(t->name, sizeof(t->name), "%s",
             batch->items[image] >= 0
                 ? clfcn_dataset_item_name(run->set, batch->items[image])
                 : "");
}

static int repeat_step(struct clfcn_run *run, int64_t step, bool closely, struct trace *t,
                       struct clfcn_err *err)
{
    const struct clfcn_net_hyper hyper = clfcn_run_hyper(run, step);
    const struct clfcn_batch *batch = NULL;
    int rc = clfcn_loader_next(run->train_loader, &batch, err);
    if (rc < 0) {
        return rc;
    }
    const struct clfcn_net_input input = { batch->images, batch->labels,
                                           batch->labelled };
    rc = clfcn_net_upload(run->net, 0, &input, err);
    if (rc == CLFCN_OK) {
        rc = closely ? clfcn_net_step_traced(run->net, 0, &hyper, &t->spoiled, err)
                     : clfcn_net_step(run->net, 0, &hyper, err);
    }
    if (rc == CLFCN_OK && t->spoiled.found) {
        t->step = step;
        if (t->spoiled.by == CLFCN_BY_PICTURE) {
            name_picture(run, batch, t);
        }
    }
    const int waited = clfcn_net_wait(run->net, 0, NULL, rc == CLFCN_OK ? err : NULL);
    clfcn_loader_release(run->train_loader, batch);
    return rc < 0 ? rc : waited;
}

static bool is_stopped(const struct clfcn_run *run)
{
    return run->callbacks.stop != NULL && *run->callbacks.stop;
}

static int repeat(struct clfcn_run *run, struct trace *t, struct clfcn_err *err)
{
    const int64_t failing = run->state.step;
    bool near = false;
    int rc = end_steps(run, err);
    if (rc == CLFCN_OK) {
        rc = go_back(run, t, &near, err);
    }
    if (rc < 0 || !near) {
        return rc;
    }
    clfcn_info("repeating %" PRId64 " steps from the last checkpoint to find out where",
               failing - t->from);
    for (int64_t step = t->from + 1;
         rc == CLFCN_OK && step <= failing && !t->spoiled.found && !is_stopped(run);
         ++step) {
        rc = repeat_step(run, step, step >= failing - BEFORE, t, err);
    }
    t->stopped = is_stopped(run);
    t->traced = rc == CLFCN_OK && (t->spoiled.found || !t->stopped);
    return rc;
}

/* --- saying it --- */

/* "nan", whatever its sign. */
static const char *value_text(float value)
{
    return isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

static void say_cause(const struct clfcn_run *run, const struct trace *t,
                      struct clfcn_strbuf *s)
{
    const struct clfcn_spoiled *f = &t->spoiled;
    switch (f->by) {
    case CLFCN_BY_DEVICE:
        if (isfinite(f->reference)) {
            clfcn_strbuf_add(s, ", and %.7g in float64", f->reference);
        }
        clfcn_strbuf_add(s, ": the device computes wrongly%s%s: see 'clfcn selftest'",
                         f->algorithm[0] ? " by " : "", f->algorithm);
        break;
    case CLFCN_BY_PICTURE:
        clfcn_strbuf_add(s, ", in picture '%s'", t->name);
        break;
    case CLFCN_BY_WEIGHTS:
        if (t->step > t->from + 1) {
            clfcn_strbuf_add(s, " before that step");
        } else if (t->from > 0) {
            clfcn_strbuf_add(s, " in the checkpoint of step %" PRId64 " already",
                             t->from);
        } else {
            clfcn_strbuf_add(s, " from the beginning: %s%s",
                             run->config.init != NULL ? "look at --init " : "no --init",
                             run->config.init != NULL ? run->config.init : "");
        }
        break;
    default:
        if (f->largest_input > 0 || f->largest_weight > 0) {
            clfcn_strbuf_add(s, ", from numbers of up to %.2g", f->largest_input);
        }
        if (f->largest_weight > 0) {
            clfcn_strbuf_add(s, " and weights of up to %.2g", f->largest_weight);
        }
        clfcn_strbuf_add(s, ": lower --lr (now %g)", run->config.lr);
    }
}

static void say_origin(const struct clfcn_run *run, const struct trace *t,
                       struct clfcn_strbuf *s)
{
    const struct clfcn_spoiled *f = &t->spoiled;
    char index[CLFCN_INDEX_TEXT];
    clfcn_index_text(f->index, f->ndim, index);
    if (f->pass != NULL) {
        clfcn_strbuf_add(s, "the first is layer '%s', %s: %s%s, %s in step %" PRId64,
                         f->layer, f->pass, f->tensor, index, value_text(f->value),
                         t->step);
    } else {
        clfcn_strbuf_add(s, "the first is '%s'%s, %s in step %" PRId64, f->tensor, index,
                         value_text(f->value), t->step);
    }
    say_cause(run, t, s);
}

static int say(const struct clfcn_run *run, const char *what, const struct trace *t,
               struct clfcn_err *err)
{
    struct clfcn_strbuf s = { 0 };
    int rc = CLFCN_ENUMERIC;
    if (t->spoiled.found) {
        say_origin(run, t, &s);
    } else if (t->traced) {
        rc = CLFCN_EWRONG;
        clfcn_strbuf_add(&s,
                         "the same steps repeated from step %" PRId64
                         " are all right, so the device computed wrongly once",
                         t->from);
    } else if (t->stopped) {
        clfcn_strbuf_add(&s, "interrupted while finding out where it begins");
    } else {
        clfcn_strbuf_add(&s,
                         "lower --lr (now %g) or look for a wrong image (where it "
                         "begins is found out with --save-steps, which now leaves "
                         "too much to be repeated)",
                         run->config.lr);
    }
    clfcn_err_set(
        err, rc, 0,
        "%s is not finite at step %" PRId64 " (epoch %d): %s; the last checkpoint is "
        "%s/checkpoints/last.safetensors",
        what, run->state.step, run->state.epoch + 1, s.str ? s.str : "", run->config.out);
    clfcn_strbuf_free(&s);
    return rc;
}

static const char *cause_text(const struct trace *t)
{
    static const char *const by[] = { [CLFCN_BY_PICTURE] = "picture",
                                      [CLFCN_BY_WEIGHTS] = "weights",
                                      [CLFCN_BY_SIZE] = "too large",
                                      [CLFCN_BY_DEVICE] = "device",
                                      [CLFCN_BY_UNKNOWN] = "unknown" };
    return t->spoiled.found ? by[t->spoiled.by]
           : t->traced      ? "not repeated"
                            : "not traced";
}

static int log_it(struct clfcn_run *run, const char *what, const struct trace *t,
                  struct clfcn_err *err)
{
    const struct clfcn_spoiled *f = &t->spoiled;
    json_t *event =
        json_pack("{s:I, s:s, s:s, s:I}", "step", (json_int_t)run->state.step, "what",
                  what, "cause", cause_text(t), "repeated_from", (json_int_t)t->from);
    if (event != NULL && f->found) {
        json_t *more = json_pack(
            "{s:I, s:s, s:s*, s:s*, s:s, s:o, s:o, s:s, s:I, s:o*, s:s*, s:s*, s:f, s:f}",
            "found_in_step", (json_int_t)t->step, "layer", f->layer, "kind", f->kind,
            "pass", f->pass, "tensor", f->tensor, "shape", clfcn_json_integers(f->dims, f->ndim),
            "index", clfcn_json_integers(f->index, f->ndim), "value", value_text(f->value), "count",
            (json_int_t)f->count, "reference",
            f->by == CLFCN_BY_DEVICE && isfinite(f->reference)
                ? clfcn_json_number(f->reference)
                : NULL,
            "algorithm", f->algorithm[0] ? f->algorithm : NULL, "picture",
            t->picture ? t->name : NULL, "largest_weight", f->largest_weight,
            "largest_input", f->largest_input);
        json_object_update(event, more);
        json_decref(more);
    }
    return clfcn_runlog_event(run->log, "not-finite", event, err);
}

int clfcn_run_trace(struct clfcn_run *run, const char *what, struct clfcn_err *err)
{
    struct trace t = { 0 };
    if (run->config.comm != NULL) {
        return clfcn_run_not_finite(run, what, err);
    }
    int rc = repeat(run, &t, err);
    if (rc == CLFCN_OK) {
        rc = log_it(run, what, &t, err);
    }
    if (rc < 0) {
        clfcn_err_note(err, "%s is not finite at step %" PRId64 ", finding out where",
                       what, run->state.step);
        return rc;
    }
    return say(run, what, &t, err);
}
