/* loader.c - threads that keep batches ready.
 *
 * A ring of slots, each with room for one batch. Workers take single images of the oldest
 * unfinished batch, so that a batch is complete as early as possible, and begin the next
 * batch wherever a slot is free. One mutex guards the state; pixels are worked on outside
 * it. */
#include "sample.h"
#include "share.h"
#include "../util/pages.h"
#include "../util/rng.h"
#include "../util/sys.h"
#include "../util/thread.h"
#include "../util/trace.h"
#include <stdlib.h>
#include <string.h>

enum { HELD_AT_ONCE = 3, DEFAULT_AHEAD = 2, MAX_AHEAD = 64, MAX_WORKERS = 64 };

enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_READY, SLOT_HELD };

struct slot {
    struct clfcn_batch batch;
    int *places; /* [batch] in loader->items, of the images that are real */
    enum slot_state state;
    uint64_t ticket; /* place in the sequence of all batches begun */
    int claimed;     /* images that a worker has taken on */
    int done;
    int failed_at; /* the first image in order that failed, or -1 */
    struct clfcn_err err;
};

struct worker {
    struct clfcn_loader *loader;
    struct clfcn_thread thread;
};

struct clfcn_loader {
    struct clfcn_loader_desc desc; /* items is the loader's own copy; of_batch is set */
    int *items;
    int steps;
    size_t plane; /* pixels of one image */
    struct worker *workers;
    int started; /* workers that run */

    struct clfcn_mutex lock; /* guards what follows */
    struct clfcn_cond changed;
    struct slot *slots;
    int slot_count, ahead;
    uint64_t next_begun, next_given; /* tickets */
    int epoch, index;                /* position of next_begun */
    int *order; /* places in items, as epoch order_epoch takes them */
    int order_epoch;                 /* -1: none yet */
    struct clfcn_sample *cache;      /* [item_count] */
    size_t cache_used;               /* bytes */
    int active;                      /* workers that are at an image */
    bool paused, quit;
    double waited;
};

/* One image of one batch, taken on by a worker. */
struct task {
    struct slot *slot;
    int at;    /* which image of the batch */
    int place; /* in loader->items */
    struct clfcn_sample cached; /* empty: to be decoded */
};

static void order_for(struct clfcn_loader *l, int epoch)
{
    if (l->order_epoch == epoch) {
        return;
    }
    for (int i = 0; i < l->desc.item_count; ++i) {
        l->order[i] = i;
    }
    if (l->desc.shuffle) {
        struct clfcn_rng rng;
        clfcn_rng_init(&rng, l->desc.seed, "shuffle", (uint64_t)epoch, 0);
        clfcn_rng_shuffle(&rng, l->order, l->desc.item_count);
    }
    l->order_epoch = epoch;
}

/* Give the next batch of the sequence to a free slot. Locked. */
static void begin_batch(struct clfcn_loader *l, struct slot *slot)
{
    struct clfcn_batch *b = &slot->batch;
    const int first = l->index * l->desc.of_batch + l->desc.first;
    const int left = l->desc.item_count - first;
    order_for(l, l->epoch);
    b->count = left < l->desc.batch ? left : l->desc.batch;
    b->labelled = 0;
    b->epoch = l->epoch;
    b->index = l->index;
    for (int i = 0; i < l->desc.batch; ++i) {
        const bool real = i < b->count;
        slot->places[i] = real ? l->order[first + i] : -1;
        b->items[i] = real ? l->items[slot->places[i]] : -1;
    }
    slot->state = SLOT_FILLING;
    slot->ticket = l->next_begun++;
    slot->claimed = 0;
    slot->done = 0;
    slot->failed_at = -1;
    if (++l->index == l->steps) {
        l->index = 0;
        ++l->epoch;
    }
}

/* Take on the next image to be done, if there is room for one. Locked. */
static bool claim(struct clfcn_loader *l, struct task *task)
{
    struct slot *oldest = NULL, *unused = NULL;
    int prepared = 0;
    if (l->paused || l->steps == 0) {
        return false;
    }
    for (int i = 0; i < l->slot_count; ++i) {
        struct slot *s = &l->slots[i];
        prepared += s->state == SLOT_FILLING || s->state == SLOT_READY;
        if (s->state == SLOT_FREE) {
            unused = s;
        } else if (s->state == SLOT_FILLING && s->claimed < s->batch.count &&
                   (!oldest || s->ticket < oldest->ticket)) {
            oldest = s;
        }
    }
    if (!oldest && unused && prepared < l->ahead) {
        begin_batch(l, unused);
        oldest = unused;
    }
    if (!oldest) {
        return false;
    }
    task->slot = oldest;
    task->at = oldest->claimed++;
    task->place = oldest->places[task->at];
    task->cached = l->cache[task->place];
    return true;
}

/* Keep a decoded sample if there is room, else free it. Locked. */
static void offer_to_cache(struct clfcn_loader *l, int place, struct clfcn_sample *sample)
{
    struct clfcn_sample *kept = &l->cache[place];
    if (kept->bytes == 0 && sample->bytes <= l->desc.cache_bytes - l->cache_used) {
        *kept = *sample;
        l->cache_used += sample->bytes;
    } else {
        clfcn_sample_free(sample);
    }
}

/* Do one image. Called and left locked; unlocked while it works. */
static void run_task(struct worker *w, const struct task *task)
{
    struct clfcn_loader *l = w->loader;
    struct slot *slot = task->slot;
    struct clfcn_sample source = task->cached;
    const bool cached = source.bytes > 0;
    struct clfcn_err err = { 0 };
    int64_t labelled = 0;
    int rc = CLFCN_OK;

    clfcn_mutex_unlock(&l->lock);
    const double begin = clfcn_trace_begin();
    if (!cached) {
        rc = clfcn_sample_read(&l->desc, slot->batch.items[task->at], &source, &err);
    }
    if (rc == CLFCN_OK) {
        labelled = clfcn_sample_place(&l->desc, &source, &slot->batch, task->at);
    }
    clfcn_trace_end(cached ? "place cached image" : "decode image", begin);
    clfcn_mutex_lock(&l->lock);

    if (!cached && rc == CLFCN_OK) {
        offer_to_cache(l, task->place, &source);
    }
    slot->batch.labelled += labelled;
    if (rc < 0 && (slot->failed_at < 0 || task->at < slot->failed_at)) {
        slot->failed_at = task->at;
        slot->err = err;
    }
    if (++slot->done == slot->batch.count) {
        /* Nobody else touches a batch whose images are all claimed. */
        clfcn_mutex_unlock(&l->lock);
        clfcn_batch_pad(&l->desc, &slot->batch);
        clfcn_mutex_lock(&l->lock);
        slot->state = SLOT_READY;
    }
}

static void worker_main(void *arg)
{
    struct worker *w = arg;
    struct clfcn_loader *l = w->loader;
    struct task task;
    clfcn_trace_set_loader_row();
    clfcn_mutex_lock(&l->lock);
    while (!l->quit) {
        if (!claim(l, &task)) {
            clfcn_cond_wait(&l->changed, &l->lock);
            continue;
        }
        ++l->active;
        run_task(w, &task);
        --l->active;
        clfcn_cond_broadcast(&l->changed);
    }
    clfcn_mutex_unlock(&l->lock);
}

static bool alloc_slots(struct clfcn_loader *l)
{
    const size_t batch = (size_t)l->desc.batch;
    l->slots = calloc((size_t)l->slot_count, sizeof *l->slots);
    for (int i = 0; l->slots && i < l->slot_count; ++i) {
        struct slot *s = &l->slots[i];
        s->batch.images =
            clfcn_pages_alloc(3 * batch * l->plane * sizeof *s->batch.images);
        s->batch.labels = clfcn_pages_alloc(batch * l->plane);
        s->batch.items = malloc(batch * sizeof *s->batch.items);
        s->places = malloc(batch * sizeof *s->places);
        if (!s->batch.images || !s->batch.labels || !s->batch.items || !s->places) {
            return false;
        }
    }
    return l->slots != NULL;
}

static int check_desc(const struct clfcn_loader_desc *desc, struct clfcn_err *err)
{
    if (desc->width < 1 || desc->height < 1 || desc->batch < 1 || desc->item_count < 0 ||
        desc->workers < 0 || desc->ahead < 0 || !desc->set) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "loader: a size or count is out of range, or no set given");
    }
    for (int i = 0; desc->items && i < desc->item_count; ++i) {
        if (desc->items[i] < 0 || desc->items[i] >= clfcn_dataset_size(desc->set)) {
            return clfcn_err_set(err, CLFCN_EINVAL, 0,
                                 "loader: item %d, but the set has items 0 to %d",
                                 desc->items[i], clfcn_dataset_size(desc->set) - 1);
        }
    }
    const uint64_t plane = (uint64_t)desc->width * (uint64_t)desc->height;
    if (plane > SIZE_MAX / 16 / (uint64_t)desc->batch) {
        return clfcn_err_nomem(err);
    }
    return clfcn_share_check(desc, err);
}

/* items NULL: all of the set. */
static int allocate(struct clfcn_loader *l, const int *items, int workers,
                    struct clfcn_err *err)
{
    const size_t n = (size_t)l->desc.item_count;
    const int ahead = l->desc.ahead ? l->desc.ahead : DEFAULT_AHEAD;
    l->ahead = ahead < MAX_AHEAD ? ahead : MAX_AHEAD;
    l->slot_count = HELD_AT_ONCE + l->ahead;
    l->items = malloc((n + 1) * sizeof *l->items);
    l->order = malloc((n + 1) * sizeof *l->order);
    l->cache = calloc(n + 1, sizeof *l->cache);
    l->workers = calloc((size_t)workers, sizeof *l->workers);
    if (!l->items || !l->order || !l->cache || !l->workers || !alloc_slots(l)) {
        return clfcn_err_nomem(err);
    }
    for (size_t i = 0; i < n; ++i) {
        l->items[i] = items ? items[i] : (int)i;
    }
    l->desc.items = l->items;
    return CLFCN_OK;
}

static int start_workers(struct clfcn_loader *l, int count, struct clfcn_err *err)
{
    for (int i = 0; i < count; ++i) {
        struct worker *w = &l->workers[i];
        w->loader = l;
        const int rc = clfcn_thread_start(&w->thread, worker_main, w, err);
        if (rc < 0) {
            return rc;
        }
        ++l->started;
    }
    return CLFCN_OK;
}

int clfcn_loader_create(const struct clfcn_loader_desc *desc, struct clfcn_loader **out,
                        struct clfcn_err *err)
{
    const int cpus = clfcn_cpu_count();
    const int dflt = cpus < 2 ? 2 : cpus > 4 ? 4 : cpus;
    *out = NULL;
    int rc = check_desc(desc, err);
    if (rc < 0) {
        return rc;
    }
    struct clfcn_loader *l = calloc(1, sizeof *l);
    if (!l) {
        return clfcn_err_nomem(err);
    }
    clfcn_mutex_init(&l->lock);
    clfcn_cond_init(&l->changed);
    l->desc = *desc;
    if (!desc->items) {
        l->desc.item_count = clfcn_dataset_size(desc->set);
    }
    l->desc.of_batch = desc->of_batch ? desc->of_batch : desc->batch;
    l->plane = (size_t)desc->width * (size_t)desc->height;
    l->steps = l->desc.item_count / l->desc.of_batch;
    l->steps += !desc->drop_last && l->desc.item_count % l->desc.of_batch != 0;
    l->order_epoch = -1;
    l->paused = true; /* until the first seek or take */

    const int wanted = desc->workers ? desc->workers : dflt;
    const int workers = wanted < MAX_WORKERS ? wanted : MAX_WORKERS;
    rc = allocate(l, desc->items, workers, err);
    if (rc == CLFCN_OK) {
        rc = start_workers(l, workers, err);
    }
    if (rc < 0) {
        clfcn_loader_destroy(&l);
    }
    *out = l;
    return rc;
}

void clfcn_loader_destroy(struct clfcn_loader **loader)
{
    if (!loader || !*loader) {
        return;
    }
    struct clfcn_loader *l = *loader;
    clfcn_mutex_lock(&l->lock);
    l->quit = true;
    clfcn_cond_broadcast(&l->changed);
    clfcn_mutex_unlock(&l->lock);
    for (int i = 0; i < l->started; ++i) {
        clfcn_thread_join(&l->workers[i].thread);
    }
    for (int i = 0; l->slots && i < l->slot_count; ++i) {
        free(l->slots[i].batch.images);
        free(l->slots[i].batch.labels);
        free(l->slots[i].batch.items);
        free(l->slots[i].places);
    }
    for (int i = 0; l->cache && i < l->desc.item_count; ++i) {
        clfcn_sample_free(&l->cache[i]);
    }
    free(l->slots);
    free(l->cache);
    free(l->items);
    free(l->order);
    free(l->workers);
    clfcn_cond_finish(&l->changed);
    clfcn_mutex_finish(&l->lock);
    free(l);
    *loader = NULL;
}

size_t clfcn_loader_bytes(int width, int height, int batch)
{
    const size_t pixels = (size_t)width * (size_t)height * (size_t)batch;
    return (HELD_AT_ONCE + DEFAULT_AHEAD) *
           (pixels * (3 * sizeof(float) + 1) + (size_t)batch * sizeof(int));
}

int clfcn_loader_steps(const struct clfcn_loader *loader)
{
    return loader->steps;
}

int clfcn_loader_items(const struct clfcn_loader *loader)
{
    return loader->desc.item_count;
}

int clfcn_loader_seek(struct clfcn_loader *l, int epoch, int index, struct clfcn_err *err)
{
    if (epoch < 0 || index < 0 || index > l->steps) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "loader: no batch %d in epoch %d of %d", index, epoch,
                             l->steps);
    }
    clfcn_mutex_lock(&l->lock);
    l->paused = true;
    while (l->active > 0) {
        clfcn_cond_wait(&l->changed, &l->lock);
    }
    for (int i = 0; i < l->slot_count; ++i) {
        if (l->slots[i].state != SLOT_HELD) {
            l->slots[i].state = SLOT_FREE;
        }
    }
    l->next_given = l->next_begun;
    l->epoch = index < l->steps ? epoch : epoch + 1;
    l->index = index < l->steps ? index : 0;
    l->paused = false;
    clfcn_cond_broadcast(&l->changed);
    clfcn_mutex_unlock(&l->lock);
    return CLFCN_OK;
}

/* The slot of the batch to be given next if it is ready; *all_held tells that it can
 * never be. */
static struct slot *find_ready(struct clfcn_loader *l, bool *all_held)
{
    int held = 0;
    for (int i = 0; i < l->slot_count; ++i) {
        struct slot *s = &l->slots[i];
        if (s->state == SLOT_READY && s->ticket == l->next_given) {
            return s;
        }
        held += s->state == SLOT_HELD;
    }
    *all_held = held == l->slot_count;
    return NULL;
}

int clfcn_loader_next(struct clfcn_loader *l, const struct clfcn_batch **batch,
                      struct clfcn_err *err)
{
    bool all_held = false;
    int rc = CLFCN_OK;
    *batch = NULL;
    if (l->steps == 0) {
        return clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "%d image%s, too few for a batch of %d; add images or lower the batch size",
            l->desc.item_count, l->desc.item_count == 1 ? "" : "s", l->desc.of_batch);
    }
    clfcn_mutex_lock(&l->lock);
    if (l->paused) {
        l->paused = false;
        clfcn_cond_broadcast(&l->changed);
    }
    const double start = clfcn_clock(), begin = clfcn_trace_begin();
    struct slot *slot = find_ready(l, &all_held);
    if (!slot && !all_held) {
        while (!(slot = find_ready(l, &all_held))) {
            clfcn_cond_wait(&l->changed, &l->lock);
        }
        l->waited += clfcn_clock() - start;
        clfcn_trace_end("wait for data", begin);
    }
    if (!slot) {
        rc = clfcn_err_set(err, CLFCN_EINVAL, 0, "loader: all %d batches are held",
                           l->slot_count);
    } else {
        ++l->next_given;
        if (slot->failed_at < 0) {
            slot->state = SLOT_HELD;
            *batch = &slot->batch;
        } else {
            rc = slot->err.code;
            if (err) {
                *err = slot->err;
            }
            slot->state = SLOT_FREE;
        }
        clfcn_cond_broadcast(&l->changed); /* there is room for another batch */
    }
    clfcn_mutex_unlock(&l->lock);
    return rc;
}

void clfcn_loader_release(struct clfcn_loader *l, const struct clfcn_batch *batch)
{
    if (!batch) {
        return;
    }
    clfcn_mutex_lock(&l->lock);
    for (int i = 0; i < l->slot_count; ++i) {
        if (&l->slots[i].batch == batch && l->slots[i].state == SLOT_HELD) {
            l->slots[i].state = SLOT_FREE;
        }
    }
    clfcn_cond_broadcast(&l->changed);
    clfcn_mutex_unlock(&l->lock);
}

double clfcn_loader_take_wait(struct clfcn_loader *l)
{
    clfcn_mutex_lock(&l->lock);
    const double waited = l->waited;
    l->waited = 0.0;
    clfcn_mutex_unlock(&l->lock);
    return waited;
}
