/* run_trace.c - where NaN or infinity came from, once a loss shows it: found by repeating
 * the steps since the last checkpoint, as their bits are the same again. */
#include "../comm/comm.h"
#include "../net/spoiled.h"
#include "../net/unite.h"
#include "../util/flag.h"
#include "../util/json.h"
#include "../util/log.h"
#include "../util/strbuf.h"
#include "run.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

/* Seconds that repeating steps may take. */
static const double PATIENCE = 300;

/* Steps before the failing one that are looked at, too: a gradient that is no number is
 * seen in the next step's loss. */
enum { BEFORE = 1 };

/* Where the data of a checkpoint begin again; alike in all ranks. */
struct start {
    int64_t step;
    int epoch, epoch_step;
    bool near; /* to where training is now: the steps between are soon repeated */
};

struct trace {
    struct start from;
    int64_t step; /* in which it was found */
    bool found;   /* in this rank or another */
    bool traced;  /* all was repeated, or found */
    bool stopped; /* interrupted meanwhile */
    bool picture; /* of a batch: its name in the data */
    char name[256];
    struct clfcn_spoiled spoiled; /* by this rank */
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

/* The weights are rank 0's, or those of a process alone. */
static int read_back(struct clfcn_run *run, struct start *from, struct clfcn_err *err)
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
        *from = (struct start){ info.state.step, info.state.epoch, info.state.epoch_step,
                                is_near(run, info.state.step) };
    }
    if (rc == CLFCN_OK && from->near) {
        rc = clfcn_net_read_file(run->net, &file, path, true, err);
    }
    clfcn_checkpoint_info_free(&info);
    clfcn_weights_close(&file);
    free(path);
    return rc;
}

static int go_back(struct clfcn_run *run, struct start *from, struct clfcn_err *err)
{
    struct clfcn_comm *comm = run->config.comm;
    int rc = clfcn_comm_rank(comm) == 0 ? read_back(run, from, err) : CLFCN_OK;
    rc = clfcn_comm_agree(comm, rc, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_comm_broadcast(comm, from, sizeof(*from), err);
    }
    if (rc < 0 || !from->near) {
        return rc;
    }
    rc = clfcn_net_unite(run->net, NULL, err);
    return rc < 0
               ? rc
               : clfcn_loader_seek(run->train_loader, from->epoch, from->epoch_step, err);
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

/* Whether any rank found it, or was told to stop. */
static int look_around(struct clfcn_run *run, struct trace *t, struct clfcn_err *err)
{
    double told[] = { t->spoiled.found, clfcn_flag_is_set(run->callbacks.stop) };
    const int rc = clfcn_comm_sum(run->config.comm, told, 2, err);
    t->found = told[0] > 0;
    t->stopped = told[1] > 0;
    return rc;
}

static int repeat(struct clfcn_run *run, struct trace *t, struct clfcn_err *err)
{
    const int64_t failing = run->state.step;
    int rc = end_steps(run, err);
    if (rc == CLFCN_OK) {
        rc = go_back(run, &t->from, err);
    }
    if (rc < 0 || !t->from.near) {
        return rc;
    }
    clfcn_info("repeating %" PRId64 " steps from the last checkpoint to find out where",
               failing - t->from.step);
    for (int64_t step = t->from.step + 1;
         rc == CLFCN_OK && step <= failing && !t->found && !t->stopped; ++step) {
        rc = repeat_step(run, step, step >= failing - BEFORE, t, err);
        rc = rc < 0 ? rc : look_around(run, t, err);
    }
    t->traced = rc == CLFCN_OK && (t->found || !t->stopped);
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
        clfcn_strbuf_add(s, ", before that step");
        break;
    case CLFCN_BY_EXCHANGE:
        clfcn_strbuf_add(s,
                         ", the sum of gradients that are numbers in every rank: look at "
                         "the links between them, or lower --lr (now %g)",
                         run->config.lr);
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

/* What this rank found, to be freed with free(). */
static char *describe_origin(const struct clfcn_run *run, const struct trace *t)
{
    const struct clfcn_spoiled *f = &t->spoiled;
    const struct clfcn_comm *comm = run->config.comm;
    struct clfcn_strbuf s = { 0 };
    char index[CLFCN_INDEX_TEXT];
    clfcn_index_text(f->index, f->ndim, index);
    if (f->pass != NULL) {
        clfcn_strbuf_add(&s, "the first is layer '%s', %s: %s%s, %s in step %" PRId64,
                         f->layer, f->pass, f->tensor, index, value_text(f->value),
                         t->step);
    } else {
        clfcn_strbuf_add(&s, "the first is '%s'%s, %s in step %" PRId64, f->tensor, index,
                         value_text(f->value), t->step);
    }
    if (comm != NULL) {
        const int rank = clfcn_comm_rank(comm);
        clfcn_strbuf_add(&s, " of rank %d (%s, %s)", rank, clfcn_comm_host(comm, rank),
                         clfcn_comm_device(comm, rank));
    }
    say_cause(run, t, &s);
    return s.str;
}

/* origin: NULL where none was found. */
static int say(const struct clfcn_run *run, const char *what, const struct trace *t,
               const char *origin, struct clfcn_err *err)
{
    struct clfcn_strbuf s = { 0 };
    int rc = CLFCN_ENUMERIC;
    if (origin != NULL) {
        clfcn_strbuf_add(&s, "%s", origin);
    } else if (t->traced) {
        rc = CLFCN_EWRONG;
        clfcn_strbuf_add(&s,
                         "the same steps repeated from step %" PRId64
                         " are all right, so the device computed wrongly once",
                         t->from.step);
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

/* --- logging it --- */

static const char *cause_text(const struct trace *t)
{
    static const char *const by[] = {
        [CLFCN_BY_PICTURE] = "picture",   [CLFCN_BY_WEIGHTS] = "weights",
        [CLFCN_BY_EXCHANGE] = "exchange", [CLFCN_BY_SIZE] = "too large",
        [CLFCN_BY_DEVICE] = "device",     [CLFCN_BY_UNKNOWN] = "unknown",
    };
    return t->spoiled.found ? by[t->spoiled.by]
           : t->traced      ? "not repeated"
                            : "not traced";
}

/* The event, with what this rank found, if it did. */
static json_t *describe_event(const struct clfcn_run *run, const char *what,
                              const struct trace *t)
{
    const struct clfcn_spoiled *f = &t->spoiled;
    json_t *event = json_pack("{s:I, s:s, s:s, s:I}", "step", (json_int_t)run->state.step,
                              "what", what, "cause", cause_text(t), "repeated_from",
                              (json_int_t)t->from.step);
    if (event != NULL && f->found) {
        json_t *more = json_pack(
            "{s:I, s:s, s:s*, s:s*, s:s, s:o, s:o, s:s, s:I, s:o*, s:s*, s:s*, s:f, s:f}",
            "found_in_step", (json_int_t)t->step, "layer", f->layer, "kind", f->kind,
            "pass", f->pass, "tensor", f->tensor, "shape",
            clfcn_json_integers(f->dims, f->ndim), "index",
            clfcn_json_integers(f->index, f->ndim), "value", value_text(f->value),
            "count", (json_int_t)f->count, "reference",
            f->by == CLFCN_BY_DEVICE && isfinite(f->reference)
                ? clfcn_json_number(f->reference)
                : NULL,
            "algorithm", f->algorithm[0] ? f->algorithm : NULL, "picture",
            t->picture ? t->name : NULL, "largest_weight", f->largest_weight,
            "largest_input", f->largest_input);
        json_object_update(event, more);
        json_decref(more);
    }
    if (event != NULL && f->found && run->config.comm != NULL) {
        clfcn_json_set(&event, "rank", json_integer(clfcn_comm_rank(run->config.comm)));
    }
    return event;
}

/* --- the ranks together --- */

/* The rank that found it first in the order of the passes; 0 where none did. */
static int find_first(const struct clfcn_run *run, const struct trace *t, int *rank,
                      struct clfcn_err *err)
{
    const int ranks = clfcn_comm_size(run->config.comm);
    const int mine = t->spoiled.found ? t->spoiled.time : INT_MAX;
    int *times = calloc((size_t)ranks, sizeof(*times));
    const int rc = times != NULL ? clfcn_comm_gather(run->config.comm, &mine,
                                                     sizeof(mine), times, err)
                                 : clfcn_err_nomem(err);
    *rank = 0;
    for (int i = 1; rc == CLFCN_OK && i < ranks; ++i) {
        *rank = times[i] < times[*rank] ? i : *rank;
    }
    free(times);
    return rc;
}

/* Log and say what is known: event and origin, which is NULL if none was found. */
static int conclude(struct clfcn_run *run, const char *what, const struct trace *t,
                    const char *event, const char *origin, struct clfcn_err *err)
{
    json_t *parsed = event != NULL ? json_loads(event, 0, NULL) : NULL;
    int rc = clfcn_runlog_event(run->log, "not-finite", parsed, err);
    rc = rc < 0 ? rc : say(run, what, t, origin, err);
    return clfcn_comm_agree(run->config.comm, rc, err);
}

/* In the words of the rank that found it first; where none did, all know the same. */
static int report(struct clfcn_run *run, const char *what, const struct trace *t,
                  struct clfcn_err *err)
{
    struct clfcn_comm *comm = run->config.comm;
    json_t *event = describe_event(run, what, t);
    char *event_text = json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(17));
    char *origin = t->spoiled.found ? describe_origin(run, t) : NULL;
    char **events = NULL, **origins = NULL;
    int rank = 0;
    int rc = find_first(run, t, &rank, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_comm_gather_text(comm, event_text, &events, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_comm_gather_text(comm, origin, &origins, err);
    }
    if (rc == CLFCN_OK) {
        rc = conclude(run, what, t, events[rank], origins[rank], err);
    }
    free(origins);
    free(events);
    free(origin);
    free(event_text);
    json_decref(event);
    return rc;
}

int clfcn_run_trace(struct clfcn_run *run, const char *what, struct clfcn_err *err)
{
    struct trace t = { 0 };
    int rc = repeat(run, &t, err);
    if (rc < 0) {
        clfcn_err_note(err, "%s is not finite at step %" PRId64 ", finding out where",
                       what, run->state.step);
        return rc;
    }
    return report(run, what, &t, err);
}
