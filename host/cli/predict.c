/* predict.c - pictures through a predictor.
 *
 * Workers decode pictures ahead and write results behind, in any order; this thread gives
 * them to the predictor, takes them back and reports them in the order of the inputs. A
 * ring of entries and a limit of bytes bound what is under way. One mutex guards the
 * ring's state; an entry that is being worked on belongs to whoever does. */
#include "predict.h"
#include "../train/predictor.h"
#include "../util/json.h"
#include "../util/sys.h"
#include "../util/thread.h"
#include "../util/trace.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_WORKERS = 16, BUDGET = 256 << 20 };

enum state { EMPTY, READING, READ, GIVEN, PREDICTED, WRITING, FINISHED };

/* One picture under way. */
struct entry {
    enum state state;
    struct cli_results results;
    int rc; /* of a FINISHED one */
    bool unreadable;
    struct clfcn_err err;
};

struct pipeline {
    const struct cli_predict *job;
    struct clfcn_mutex lock; /* guards what follows */
    struct clfcn_cond changed;
    struct entry *ring;
    int capacity, total;
    int to_read, to_give, to_report; /* inputs that come next */
    int busy;                        /* workers that read or write */
    size_t bytes;                    /* held by entries */
    bool ending;                     /* nothing more is to be read */
};

static struct entry *entry_of(const struct pipeline *pl, int input)
{
    return &pl->ring[input % pl->capacity];
}

/* Whether a worker may begin on another picture. The one that is reported next always
 * may, however large. Locked. */
static bool may_read(const struct pipeline *pl)
{
    return !pl->ending && pl->to_read < pl->total &&
           pl->to_read < pl->to_report + pl->capacity &&
           (pl->bytes < BUDGET || pl->to_read == pl->to_report);
}

/* Locked; unlocked while it works. */
static void read_next(struct pipeline *pl)
{
    const struct cli_input_file *file = &pl->job->inputs->list[pl->to_read];
    struct entry *e = entry_of(pl, pl->to_read++);
    *e = (struct entry){ .state = READING };
    clfcn_mutex_unlock(&pl->lock);
    e->rc =
        cli_results_read(&e->results, &pl->job->results, file, &e->unreadable, &e->err);
    clfcn_mutex_lock(&pl->lock);
    pl->bytes += e->results.bytes;
    e->state = e->rc < 0 ? FINISHED : READ;
}

/* The first picture whose results are to be written, or NULL. Locked. */
static struct entry *find_predicted(const struct pipeline *pl)
{
    for (int i = pl->to_report; i < pl->to_give; ++i) {
        if (entry_of(pl, i)->state == PREDICTED) {
            return entry_of(pl, i);
        }
    }
    return NULL;
}

/* Locked; unlocked while it works. */
static void write_one(struct pipeline *pl, struct entry *e)
{
    e->state = WRITING;
    clfcn_mutex_unlock(&pl->lock);
    e->rc = cli_results_write(&e->results, &e->err);
    clfcn_mutex_lock(&pl->lock);
    e->state = FINISHED;
}

static void worker_main(void *arg)
{
    struct pipeline *pl = arg;
    clfcn_trace_set_loader_row();
    clfcn_mutex_lock(&pl->lock);
    for (;;) {
        struct entry *e = find_predicted(pl);
        if (!e && !may_read(pl)) {
            if (pl->ending) {
                break;
            }
            clfcn_cond_wait(&pl->changed, &pl->lock);
            continue;
        }
        ++pl->busy;
        if (e) {
            write_one(pl, e);
        } else {
            read_next(pl);
        }
        --pl->busy;
        clfcn_cond_broadcast(&pl->changed);
    }
    clfcn_mutex_unlock(&pl->lock);
}

static int print_json(const struct cli_results *r, struct clfcn_err *err)
{
    const struct clfcn_classes *classes = r->how->classes;
    char *mask = cli_inputs_result(r->file, r->how->out, "png");
    double all = (double)r->image.width * (double)r->image.height;
    json_t *shares = json_object();
    for (int c = 0; c < classes->count; ++c) {
        clfcn_json_set(&shares, classes->list[c].name,
                       json_real((double)r->pixels[c] / all));
    }
    json_t *o =
        json_pack("{ss* ss* si si so}", "image", r->file->path, "mask", mask, "width",
                  r->image.width, "height", r->image.height, "classes", shares);
    free(mask);
    return cli_print_json(o, err);
}

static int print_text(struct cli_screen *screen, const struct cli_results *r,
                      struct clfcn_err *err)
{
    const struct clfcn_classes *classes = r->how->classes;
    const double all = (double)r->image.width * (double)r->image.height;
    char *mask = cli_inputs_result(r->file, r->how->out, "png");
    if (!mask) {
        return clfcn_err_nomem(err);
    }
    cli_screen_print(screen, stdout, "%s -> %s", r->file->path, mask);
    const char *separator = ":";
    for (int c = 0; c < classes->count; ++c) {
        if (r->pixels[c]) {
            cli_screen_print(screen, stdout, "%s %s %.1f%%", separator,
                             classes->list[c].name, 100 * (double)r->pixels[c] / all);
            separator = ",";
        }
    }
    cli_screen_print(screen, stdout, "\n");
    free(mask);
    return CLFCN_OK;
}

/* Say what became of a picture. */
static int report(const struct cli_predict *job, const struct entry *e,
                  struct clfcn_err *broken, struct clfcn_err *err)
{
    struct cli_env *env = job->env;
    if (e->rc < 0 && e->unreadable) {
        cli_note_broken(env, broken, &e->err);
        return CLFCN_OK;
    }
    if (e->rc < 0) {
        *err = e->err;
        return e->rc;
    }
    return env->json    ? print_json(&e->results, err)
           : env->quiet ? CLFCN_OK
                        : print_text(&env->screen, &e->results, err);
}

/* Report the picture that is next. Locked; unlocked while it works. */
static int report_next(struct pipeline *pl, struct clfcn_err *broken,
                       struct clfcn_err *err)
{
    struct entry *e = entry_of(pl, pl->to_report);
    const size_t bytes = e->results.bytes;
    clfcn_mutex_unlock(&pl->lock);
    const int rc = report(pl->job, e, broken, err);
    cli_results_free(&e->results);
    clfcn_mutex_lock(&pl->lock);
    e->state = EMPTY;
    pl->bytes -= bytes;
    ++pl->to_report;
    pl->to_give = pl->to_give > pl->to_report ? pl->to_give : pl->to_report;
    clfcn_cond_broadcast(&pl->changed);
    return rc;
}

/* Take the oldest picture back from the predictor. */
static int collect(struct pipeline *pl, struct clfcn_err *err)
{
    void *user = NULL;
    struct clfcn_err failed = { 0 };
    const int rc = clfcn_predictor_collect(pl->job->predictor, &user, &failed);
    if (rc == CLFCN_EINTR || rc == CLFCN_ECL) {
        *err = failed;
        return rc;
    }
    clfcn_mutex_lock(&pl->lock);
    for (int i = pl->to_report; i < pl->to_give; ++i) {
        struct entry *e = entry_of(pl, i);
        if (&e->results == user) {
            e->rc = rc;
            e->err = failed;
            e->state = rc < 0 ? FINISHED : PREDICTED;
        }
    }
    clfcn_cond_broadcast(&pl->changed);
    clfcn_mutex_unlock(&pl->lock);
    return CLFCN_OK;
}

/* Give a picture to the predictor and take back those that are complete. Locked;
 * unlocked while it works. */
static int give_next(struct pipeline *pl, struct clfcn_err *err)
{
    struct entry *e = entry_of(pl, pl->to_give++);
    e->state = GIVEN;
    clfcn_mutex_unlock(&pl->lock);
    const struct clfcn_predict_job job = cli_results_job(&e->results);
    int rc =
        clfcn_predictor_submit_image(pl->job->predictor, &e->results.image, &job, err);
    if (rc < 0) {
        clfcn_err_note(err, "%s", e->results.file->path);
    }
    while (rc == CLFCN_OK && clfcn_predictor_ready(pl->job->predictor)) {
        rc = collect(pl, err);
    }
    clfcn_mutex_lock(&pl->lock);
    return rc;
}

/* Pass over pictures that could not be read. Returns whether the next may be given to the
 * predictor. Locked. */
static bool find_read(struct pipeline *pl)
{
    while (pl->to_give < pl->to_read && entry_of(pl, pl->to_give)->state == FINISHED) {
        ++pl->to_give;
    }
    return pl->to_give < pl->to_read && entry_of(pl, pl->to_give)->state == READ;
}

/* Do what comes next, or wait for a worker. Locked; unlocked while it works. */
static int turn(struct pipeline *pl, struct clfcn_err *broken, struct clfcn_err *err)
{
    const enum state first = entry_of(pl, pl->to_report)->state;
    if (first == FINISHED) {
        return report_next(pl, broken, err);
    }
    if (find_read(pl)) {
        return give_next(pl, err);
    }
    if (first == GIVEN && pl->busy == 0 && !may_read(pl)) {
        /* No more pictures come to fill its batch. */
        clfcn_mutex_unlock(&pl->lock);
        const int rc = collect(pl, err);
        clfcn_mutex_lock(&pl->lock);
        return rc;
    }
    clfcn_cond_wait(&pl->changed, &pl->lock);
    return CLFCN_OK;
}

/* What was written in order before the work ended is reported, the rest dropped. */
static int drain(struct pipeline *pl, struct clfcn_err *broken)
{
    struct clfcn_err ignored;
    int rc = CLFCN_OK;
    clfcn_mutex_lock(&pl->lock);
    while (rc == CLFCN_OK && pl->to_report < pl->total &&
           entry_of(pl, pl->to_report)->state == FINISHED) {
        rc = report_next(pl, broken, &ignored);
    }
    clfcn_mutex_unlock(&pl->lock);
    return rc;
}

static int run(struct pipeline *pl, struct clfcn_err *broken, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    clfcn_mutex_lock(&pl->lock);
    while (rc == CLFCN_OK && pl->to_report < pl->total) {
        rc = clfcn_flag_is_set(pl->job->stop) ? CLFCN_EINTR : turn(pl, broken, err);
    }
    pl->ending = true;
    clfcn_cond_broadcast(&pl->changed);
    clfcn_mutex_unlock(&pl->lock);
    return rc;
}

static int workers_start(struct pipeline *pl, struct clfcn_thread *workers, int wanted,
                         int *started, struct clfcn_err *err)
{
    while (*started < wanted) {
        const int rc = clfcn_thread_start(&workers[*started], worker_main, pl, err);
        if (rc < 0) {
            return *started > 0 ? CLFCN_OK : rc;
        }
        ++*started;
    }
    return CLFCN_OK;
}

int cli_predict_run(const struct cli_predict *job, struct clfcn_err *err)
{
    struct clfcn_err broken = { 0 };
    struct clfcn_thread workers[MAX_WORKERS];
    const int cpus = clfcn_cpu_count(), wanted = cpus < MAX_WORKERS ? cpus : MAX_WORKERS;
    const int batch = clfcn_predictor_get_desc(job->predictor)->batch;
    int started = 0;
    struct pipeline pl = {
        .job = job,
        .total = job->inputs->count,
        /* Two batches at the device, one to come, and what the workers have. */
        .capacity = 3 * batch + 2 * wanted,
    };
    pl.ring = calloc((size_t)pl.capacity, sizeof(*pl.ring));
    if (!pl.ring) {
        return clfcn_err_nomem(err);
    }
    clfcn_mutex_init(&pl.lock);
    clfcn_cond_init(&pl.changed);
    int rc = workers_start(&pl, workers, wanted, &started, err);
    if (rc == CLFCN_OK) {
        rc = run(&pl, &broken, err);
    }
    for (int i = 0; i < started; ++i) {
        clfcn_thread_join(&workers[i]);
    }
    if (rc == CLFCN_EINTR) {
        drain(&pl, &broken);
        clfcn_err_set(err, rc, 0, "interrupted after %d of %d pictures", pl.to_report,
                      pl.total);
    }
    for (int i = 0; i < pl.capacity; ++i) {
        cli_results_free(&pl.ring[i].results);
    }
    free(pl.ring);
    clfcn_cond_finish(&pl.changed);
    clfcn_mutex_finish(&pl.lock);
    if (rc == CLFCN_OK && broken.code < 0) {
        *err = broken;
        rc = broken.code;
    }
    return rc;
}
