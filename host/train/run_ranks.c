/* run_ranks.c - what the ranks of a run settle among themselves. */
#include "../comm/comm.h"
#include "../util/log.h"
#include "../util/sys.h"
#include "run.h"
#include "shares.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* --- shares --- */

/* The speeds of all ranks, each with an equal share of the batch: all at once, as they
 * may share what they run on. */
static int measure(struct clfcn_run *run, double *speeds, struct clfcn_err *err)
{
    struct clfcn_comm *comm = run->config.comm;
    const int ranks = clfcn_comm_size(comm);
    double mine = 0;
    int rc = clfcn_run_measure(run, (run->config.batch + ranks - 1) / ranks, &mine, err);
    rc = clfcn_comm_agree(comm, rc, err);
    return rc < 0 ? rc : clfcn_comm_gather(comm, &mine, sizeof(mine), speeds, err);
}

static void warn_of_drag(const struct clfcn_run *run, const double *speeds)
{
    const int batch = run->config.batch, ranks = clfcn_comm_size(run->config.comm);
    double without;
    const int drag = clfcn_shares_drag(batch, speeds, ranks, &without);
    if (drag >= 0) {
        char name[512];
        clfcn_warn(
            "%s makes the whole slower: about %.0f ms a step with it, %.0f without: "
            "leave it out, or raise --batch",
            clfcn_run_rank_name(run, drag, name, sizeof(name)),
            1e3 * clfcn_shares_seconds(run->ranks.shares, speeds, ranks), 1e3 * without);
    }
}

/* Those of the checkpoint, if they are for as many ranks and the same batch. */
static bool begun_shares(const struct clfcn_run *run, int *shares)
{
    const json_t *begun =
        json_object_get(json_object_get(run->info.json, "ranks"), "shares");
    const int ranks = clfcn_comm_size(run->config.comm), batch = run->config.batch;
    int left = batch;
    bool fit = json_array_size(begun) == (size_t)ranks;
    for (int i = 0; fit && i < ranks; ++i) {
        const json_int_t n = json_integer_value(json_array_get(begun, (size_t)i));
        fit = n >= 1 && n <= batch;
        shares[i] = fit ? (int)n : 0;
        left -= shares[i];
    }
    return fit && left == 0;
}

/* By --balance, or as the checkpoint says they were. */
static int choose_shares(struct clfcn_run *run, double *speeds, struct clfcn_err *err)
{
    const struct clfcn_train_config *config = &run->config;
    const int ranks = clfcn_comm_size(config->comm);
    enum clfcn_balance kind;
    int rc = clfcn_balance_parse(config->balance, ranks, speeds, &kind, err);
    if (rc < 0) {
        return rc;
    }
    if (kind == CLFCN_BALANCE_AUTO && run->info.json != NULL &&
        begun_shares(run, run->ranks.shares)) {
        return CLFCN_OK;
    }
    if (kind == CLFCN_BALANCE_AUTO && ranks > 1) {
        rc = measure(run, speeds, err);
        if (rc < 0) {
            return rc;
        }
        clfcn_shares_even(speeds, ranks);
    }
    clfcn_shares_divide(config->batch, speeds, ranks, run->ranks.shares);
    if (kind == CLFCN_BALANCE_AUTO) {
        warn_of_drag(run, speeds);
    }
    return CLFCN_OK;
}

int clfcn_run_share_out(struct clfcn_run *run, struct clfcn_err *err)
{
    const struct clfcn_train_config *config = &run->config;
    struct clfcn_run_ranks *r = &run->ranks;
    const int ranks = clfcn_comm_size(config->comm), rank = clfcn_comm_rank(config->comm);
    double *speeds = calloc((size_t)ranks, sizeof(*speeds));
    r->shares = calloc((size_t)ranks, sizeof(*r->shares));
    r->progress = calloc((size_t)ranks, sizeof(*r->progress));
    int rc = speeds != NULL && r->shares != NULL && r->progress != NULL
                 ? CLFCN_OK
                 : clfcn_err_nomem(err);
    rc = clfcn_comm_agree(config->comm, rc, err);
    if (rc == CLFCN_OK) {
        rc = choose_shares(run, speeds, err);
    }
    free(speeds);
    int smallest = config->batch;
    for (int i = 0; rc == CLFCN_OK && i < ranks; ++i) {
        r->first += i < rank ? r->shares[i] : 0;
        smallest = r->shares[i] < smallest ? r->shares[i] : smallest;
    }
    r->sync_batchnorm =
        config->comm != NULL && clfcn_sync_bn_wanted(config->sync_bn, smallest);
    return rc;
}

void clfcn_run_ranks_free(struct clfcn_run_ranks *r)
{
    free(r->shares);
    free(r->progress);
    json_decref(r->tunings);
    *r = (struct clfcn_run_ranks){ 0 };
}

int clfcn_run_share(const struct clfcn_run *run)
{
    return run->ranks.shares[clfcn_comm_rank(run->config.comm)];
}

json_t *clfcn_run_ranks_to_checkpoint(const struct clfcn_run *run)
{
    const int ranks = clfcn_comm_size(run->config.comm);
    json_t *shares = run->config.comm != NULL ? json_array() : NULL;
    for (int i = 0; shares != NULL && i < ranks; ++i) {
        json_array_append_new(shares, json_integer(run->ranks.shares[i]));
    }
    return shares != NULL
               ? json_pack("{s:o, s:O*}", "shares", shares, "tunings", run->ranks.tunings)
               : NULL;
}

const json_t *clfcn_run_begun_tuning(const struct clfcn_run *run)
{
    const json_t *ranks = json_object_get(run->info.json, "ranks");
    const int rank = clfcn_comm_rank(run->config.comm);
    if (ranks == NULL && run->config.comm == NULL) {
        return json_object_get(run->info.json, "tuning");
    }
    const json_t *share = json_array_get(json_object_get(ranks, "shares"), (size_t)rank);
    return json_integer_value(share) == clfcn_run_share(run)
               ? json_array_get(json_object_get(ranks, "tunings"), (size_t)rank)
               : NULL;
}

int clfcn_run_gather_tunings(struct clfcn_run *run, struct clfcn_err *err)
{
    struct clfcn_comm *comm = run->config.comm;
    char **all;
    if (comm == NULL) {
        return CLFCN_OK;
    }
    json_t *mine = clfcn_net_tuning_to_json(run->net);
    char *text =
        mine != NULL ? json_dumps(mine, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    int rc = clfcn_comm_gather_text(comm, text, &all, err);
    json_decref(mine);
    free(text);
    if (rc < 0) {
        return rc;
    }
    json_decref(run->ranks.tunings);
    run->ranks.tunings = json_array();
    for (int i = 0; i < clfcn_comm_size(comm); ++i) {
        json_t *one = all[i] != NULL ? json_loads(all[i], 0, NULL) : NULL;
        json_array_append_new(run->ranks.tunings, one != NULL ? one : json_null());
    }
    free(all);
    return CLFCN_OK;
}

/* --- every step --- */

/* What each rank tells the others before it goes on. */
struct word {
    double stop, pause; /* enum clfcn_pause_reason */
    double celsius;
    struct clfcn_rank_progress progress;
};

/* The first rank that has a reason to pause speaks for all. */
static void heed(struct clfcn_run *run, const struct word *words, int ranks)
{
    run->stopped = false;
    run->rest = CLFCN_PAUSE_NONE;
    for (int i = 0; i < ranks; ++i) {
        run->stopped = run->stopped || words[i].stop > 0;
        run->ranks.progress[i] = words[i].progress;
        if (run->rest == CLFCN_PAUSE_NONE && words[i].pause > 0) {
            run->rest = (enum clfcn_pause_reason)words[i].pause;
            run->rest_celsius = words[i].celsius;
        }
    }
}

int clfcn_run_look(struct clfcn_run *run, struct clfcn_err *err)
{
    struct clfcn_comm *comm = run->config.comm;
    const int ranks = clfcn_comm_size(comm);
    const bool due = clfcn_pause_due(&run->pause);
    const struct word mine = {
        .stop = clfcn_flag_is_set(run->callbacks.stop),
        .pause = due ? run->pause.reason : CLFCN_PAUSE_NONE,
        .celsius = run->pause.celsius,
        .progress = run->ranks.mine,
    };
    struct word *words = calloc((size_t)ranks, sizeof(*words));
    if (words == NULL) {
        return clfcn_err_nomem(err);
    }
    const int rc = clfcn_comm_gather(comm, &mine, sizeof(mine), words, err);
    if (rc == CLFCN_OK) {
        heed(run, words, ranks);
    }
    free(words);
    return rc;
}

void clfcn_run_note_step(struct clfcn_run *run, double seconds)
{
    struct clfcn_run_ranks *r = &run->ranks;
    if (run->config.comm == NULL) {
        return;
    }
    double wait = clfcn_comm_take_wait(run->config.comm);
    wait = wait < seconds ? wait : seconds;
    /* Of the mean times: with two steps under way one may seem to be all waiting. */
    const double weight = r->step_s > 0 ? 1.0 / 8 : 1;
    r->step_s += (seconds - r->step_s) * weight;
    r->wait_s += (wait - r->wait_s) * weight;
    r->mine.wait = r->step_s > 0 ? r->wait_s / r->step_s : 0;
    r->mine.images_per_s =
        r->wait_s < r->step_s ? clfcn_run_share(run) / (r->step_s - r->wait_s) : 0;
    r->epoch.images += clfcn_run_share(run);
    r->epoch.seconds += seconds;
    r->epoch.wait_s += wait;
}

/* --- every epoch --- */

int clfcn_run_ranks_event(struct clfcn_run *run, json_t *event, struct clfcn_err *err)
{
    struct clfcn_comm *comm = run->config.comm;
    const int ranks = clfcn_comm_size(comm);
    if (comm == NULL) {
        return CLFCN_OK;
    }
    struct clfcn_rank_epoch mine = run->ranks.epoch;
    run->ranks.epoch = (struct clfcn_rank_epoch){ 0 };
    struct clfcn_exchange_time exchange = { 0 };
    clfcn_net_take_exchange(run->net, &exchange);
    mine.exchange_s = exchange.busy_s;
    mine.exposed_s = exchange.exposed_s;
    mine.bytes = clfcn_comm_take_traffic(comm);
    struct clfcn_rank_epoch *all = calloc((size_t)ranks, sizeof(*all));
    json_t *list = json_array();
    int rc = all != NULL && list != NULL ? CLFCN_OK : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = clfcn_comm_gather(comm, &mine, sizeof(mine), all, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < ranks; ++i) {
        const struct clfcn_rank_epoch *r = &all[i];
        const double busy = r->seconds - r->wait_s;
        const double hidden =
            r->exchange_s > 0 ? 1 - r->exposed_s / r->exchange_s : (double)NAN;
        json_array_append_new(
            list,
            json_pack("{s:i, s:i, s:o, s:f, s:f, s:o, s:I}", "rank", i, "batch",
                      run->ranks.shares[i], "images_per_s",
                      clfcn_json_number(busy > 0 ? r->images / busy : (double)NAN),
                      "wait_s", r->wait_s, "exchange_s", r->exchange_s, "exchange_hidden",
                      clfcn_json_number(hidden), "bytes", (json_int_t)r->bytes));
    }
    free(all);
    if (rc == CLFCN_OK && event != NULL) {
        json_object_set_new(event, "ranks", list);
    } else {
        json_decref(list);
    }
    return rc;
}

json_t *clfcn_run_ranks_to_json(const struct clfcn_run *run)
{
    const struct clfcn_comm *comm = run->config.comm;
    json_t *list = json_array();
    for (int i = 0; list != NULL && i < clfcn_comm_size(comm); ++i) {
        json_array_append_new(list, json_pack("{s:i, s:s, s:s, s:i}", "rank", i, "host",
                                              clfcn_comm_host(comm, i), "device",
                                              clfcn_comm_device(comm, i), "batch",
                                              run->ranks.shares[i]));
    }
    return list;
}
