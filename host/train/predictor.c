/* predictor.c - pictures become views, views fill batches, and while the device works on
 * one slot's batch the host gathers the results of the other's and fills it anew. */
#include "predictor.h"
#include "../net/net.h"
#include "../util/pages.h"
#include "../util/sys.h"
#include "../util/thread.h"
#include "../util/trace.h"
#include "picture.h"
#include <stdlib.h>
#include <string.h>

/* One image of a batch. */
struct place {
    struct clfcn_picture *of;
    int64_t view;
};

struct slot {
    float *images, *logits; /* [3 | classes][batch][height][width] */
    struct place *places;   /* [batch] */
    int count;              /* places taken */
    int *runs;              /* [batch + 1] where the places of another picture begin */
};

struct clfcn_predictor {
    struct clfcn_net *net;
    struct clfcn_classes classes;
    struct clfcn_predict_how how;
    const volatile bool *stop;
    struct slot slots[CLFCN_NET_SLOTS];
    int filling; /* the slot; the device has the other, or none */
    struct clfcn_picture *oldest, *newest; /* submitted and not collected */
    int rc;                                /* CLFCN_OK, or why it can no longer be used */
    struct clfcn_err err;
};

const char *clfcn_predict_mode_name(enum clfcn_predict_mode mode)
{
    switch (mode) {
    case CLFCN_PREDICT_RESIZE:
        return "resize";
    case CLFCN_PREDICT_TILES:
        return "tiles";
    }
    return NULL;
}

const struct clfcn_net_desc *clfcn_predictor_get_desc(const struct clfcn_predictor *p)
{
    return &p->how.net;
}

const char *clfcn_predictor_class_name(const struct clfcn_predictor *p, int c)
{
    return p->classes.list[c].name;
}

const uint8_t *clfcn_predictor_class_color(const struct clfcn_predictor *p, int c)
{
    return p->classes.list[c].color;
}

int clfcn_predict_check(const struct clfcn_predict_options *o,
                        const struct clfcn_net_desc *net, struct clfcn_err *err)
{
    const int side = net->width < net->height ? net->width : net->height;
    if (!clfcn_predict_mode_name(o->mode)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "no such mode of prediction");
    }
    if (o->mode != CLFCN_PREDICT_TILES && (o->scale != 0 || o->overlap != 0)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "%s is for --mode tiles",
                             o->scale != 0 ? "--scale" : "--overlap");
    }
    if (!(o->scale >= 0) || o->scale > 64) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--scale must be more than 0 and at most 64, not %g",
                             o->scale);
    }
    if (o->overlap >= side) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "--overlap must be less than the tiles' %d pixels, not %d; a quarter "
            "of them is usual",
            side, o->overlap);
    }
    return CLFCN_OK;
}

static struct clfcn_predict_how settle_how(const struct clfcn_predict_options *o,
                                           const struct clfcn_net_desc *net)
{
    const int given = o->overlap < 0 ? 0 : o->overlap;
    return (struct clfcn_predict_how){
        .net = *net,
        .loss = o->loss,
        .mode = o->mode,
        .scale = o->scale != 0 ? o->scale : 1,
        .resize = o->resize,
        .overlap_x = o->overlap == 0 ? net->width / 4 : given,
        .overlap_y = o->overlap == 0 ? net->height / 4 : given,
        .flip = o->flip,
    };
}

static size_t plane_of(const struct clfcn_predictor *p)
{
    return (size_t)p->how.net.width * (size_t)p->how.net.height;
}

static int slot_init(struct slot *s, const struct clfcn_predictor *p,
                     struct clfcn_err *err)
{
    const size_t batch = (size_t)p->how.net.batch, image = batch * plane_of(p);
    s->images = clfcn_pages_alloc(3 * image * sizeof(*s->images));
    s->logits = malloc((size_t)p->how.net.classes * image * sizeof(*s->logits));
    s->places = calloc(batch, sizeof(*s->places));
    s->runs = calloc(batch + 1, sizeof(*s->runs));
    if (!s->images || !s->logits || !s->places || !s->runs) {
        return clfcn_err_nomem(err);
    }
    memset(s->images, 0, 3 * image * sizeof(*s->images)); /* places that stay empty */
    return CLFCN_OK;
}

int clfcn_predictor_wrap(struct clfcn_net **net, const struct clfcn_classes *classes,
                         const struct clfcn_predict_options *options,
                         struct clfcn_predictor **out, struct clfcn_err *err)
{
    struct clfcn_predictor *p = calloc(1, sizeof(*p));
    *out = NULL;
    if (!p) {
        clfcn_net_destroy(net);
        return clfcn_err_nomem(err);
    }
    p->net = *net;
    *net = NULL;
    p->stop = options->stop;
    p->how = settle_how(options, clfcn_net_get_desc(p->net));
    int rc = clfcn_predict_check(options, &p->how.net, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_classes_copy(classes, &p->classes, err);
    }
    for (int i = 0; i < CLFCN_NET_SLOTS && rc == CLFCN_OK; ++i) {
        rc = slot_init(&p->slots[i], p, err);
    }
    if (rc < 0) {
        clfcn_predictor_destroy(&p);
    }
    *out = p;
    return rc;
}

static void drop_oldest(struct clfcn_predictor *p)
{
    struct clfcn_picture *gone = p->oldest;
    p->oldest = gone->next;
    if (!p->oldest) {
        p->newest = NULL;
    }
    clfcn_picture_finish(gone);
    free(gone);
}

void clfcn_predictor_destroy(struct clfcn_predictor **predictor)
{
    struct clfcn_predictor *p = predictor ? *predictor : NULL;
    if (!p) {
        return;
    }
    for (int i = 0; i < CLFCN_NET_SLOTS; ++i) {
        clfcn_net_wait(p->net, i, NULL, NULL); /* the device may still use its memory */
        free(p->slots[i].images);
        free(p->slots[i].logits);
        free(p->slots[i].places);
        free(p->slots[i].runs);
    }
    while (p->oldest) {
        drop_oldest(p);
    }
    clfcn_net_destroy(&p->net);
    clfcn_classes_free(&p->classes);
    free(p);
    *predictor = NULL;
}

/* A slot and its predictor, for the loops over places. */
struct work {
    const struct clfcn_predictor *p;
    struct slot *slot;
};

static void sample_place(void *arg, int k)
{
    const struct work *w = arg;
    const size_t plane = plane_of(w->p);
    const struct place *at = &w->slot->places[k];
    const double begin = clfcn_trace_begin();
    clfcn_picture_sample(at->of, at->view, w->slot->images + (size_t)k * plane,
                         (size_t)w->p->how.net.batch * plane);
    clfcn_trace_end("sample picture", begin);
}

static void prepare_place(void *arg, int k)
{
    const struct work *w = arg;
    const size_t plane = plane_of(w->p);
    clfcn_picture_prepare(w->slot->places[k].of, w->slot->logits + (size_t)k * plane,
                          (size_t)w->p->how.net.batch * plane);
}

/* The places of one picture, in order. */
static void add_run(void *arg, int run)
{
    const struct work *w = arg;
    const size_t plane = plane_of(w->p);
    const double begin = clfcn_trace_begin();
    for (int k = w->slot->runs[run]; k < w->slot->runs[run + 1]; ++k) {
        const struct place *at = &w->slot->places[k];
        clfcn_picture_add(at->of, at->view, w->slot->logits + (size_t)k * plane,
                          (size_t)w->p->how.net.batch * plane);
    }
    clfcn_trace_end("gather result", begin);
}

static int find_runs(struct slot *s)
{
    int count = 0;
    for (int k = 0; k < s->count; ++k) {
        if (k == 0 || s->places[k].of != s->places[k - 1].of) {
            s->runs[count++] = k;
        }
    }
    s->runs[count] = s->count;
    return count;
}

/* Wait for the slot's batch, if there is one, and hand its results to their pictures. */
static int gather(struct clfcn_predictor *p, int slot, struct clfcn_err *err)
{
    struct slot *s = &p->slots[slot];
    struct work w = { p, s };
    if (s->count == 0) {
        return CLFCN_OK;
    }
    const int rc = clfcn_net_wait(p->net, slot, NULL, err);
    if (rc < 0) {
        return rc;
    }
    clfcn_parallel_for(s->count, clfcn_cpu_count(), prepare_place, &w);
    clfcn_parallel_for(find_runs(s), clfcn_cpu_count(), add_run, &w);
    s->count = 0;
    return CLFCN_OK;
}

/* Let the device begin with the batch that is being filled, and empty the other slot. */
static int start(struct clfcn_predictor *p, struct clfcn_err *err)
{
    struct slot *s = &p->slots[p->filling];
    struct work w = { p, s };
    const struct clfcn_net_input in = { .images = s->images };
    if (clfcn_flag_is_set(p->stop)) {
        return clfcn_err_set(err, CLFCN_EINTR, 0, "stopped on request during prediction");
    }
    clfcn_parallel_for(s->count, clfcn_cpu_count(), sample_place, &w);
    int rc = clfcn_net_upload(p->net, p->filling, &in, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_net_infer(p->net, p->filling, s->logits, err);
    }
    p->filling = (p->filling + 1) % CLFCN_NET_SLOTS;
    return rc < 0 ? rc : gather(p, p->filling, err);
}

/* Keep an error after which the predictor is of no use; returns it to the caller. */
static int fail(struct clfcn_predictor *p, int rc, struct clfcn_err *err)
{
    if (p->rc == CLFCN_OK) {
        p->rc = rc;
    }
    if (rc < 0 && err) {
        *err = p->err;
    }
    return rc;
}

static int submit(struct clfcn_predictor *p, struct clfcn_picture *picture,
                  struct clfcn_err *err)
{
    if (p->newest) {
        p->newest->next = picture;
    } else {
        p->oldest = picture;
    }
    p->newest = picture;
    for (int64_t view = 0; view < picture->views; ++view) {
        struct slot *s = &p->slots[p->filling];
        s->places[s->count++] = (struct place){ picture, view };
        if (s->count == p->how.net.batch) {
            const int rc = start(p, &p->err);
            if (rc < 0) {
                return fail(p, rc, err);
            }
        }
    }
    return CLFCN_OK;
}

/* Takes own over: the image's samples, or NULL if they are borrowed. */
static int submit_image(struct clfcn_predictor *p, const struct clfcn_image *image,
                        void *own, const struct clfcn_predict_job *job,
                        struct clfcn_err *err)
{
    struct clfcn_picture *picture = NULL;
    int rc = p->rc < 0 ? fail(p, p->rc, err) : CLFCN_OK;
    if (rc == CLFCN_OK) {
        picture = malloc(sizeof(*picture));
        rc = picture ? clfcn_picture_init(picture, &p->how, image, job, err)
                     : clfcn_err_nomem(err);
    }
    if (rc < 0) {
        free(picture);
        free(own);
        return rc;
    }
    picture->own = own;
    return submit(p, picture, err);
}

int clfcn_predictor_submit_image(struct clfcn_predictor *p,
                                 const struct clfcn_image *image,
                                 const struct clfcn_predict_job *job,
                                 struct clfcn_err *err)
{
    return submit_image(p, image, NULL, job, err);
}

/* The job's pixels without gaps between rows; NULL if memory is exhausted. */
static uint8_t *close_rows(const struct clfcn_predict_job *job)
{
    const size_t row = 3 * (size_t)job->width;
    uint8_t *tight = malloc((size_t)job->height * row);
    for (int y = 0; tight && y < job->height; ++y) {
        memcpy(tight + (size_t)y * row, job->rgb + (size_t)y * job->stride, row);
    }
    return tight;
}

int clfcn_predictor_submit(struct clfcn_predictor *p, const struct clfcn_predict_job *job,
                           struct clfcn_err *err)
{
    const size_t row = 3 * (size_t)(job->width > 0 ? job->width : 0);
    struct clfcn_image image = {
        .width = job->width,
        .height = job->height,
        .channels = 3,
        .depth = 8,
        .px.u8 = (uint8_t *)job->rgb, /* it is only read */
    };
    uint8_t *own = NULL;
    if (job->stride != 0 && job->stride < row) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "rows of %d pixels cannot begin every %zu bytes", job->width,
                             job->stride);
    }
    if (job->rgb && job->width > 0 && job->height > 0 && job->stride > row) {
        own = close_rows(job);
        if (!own) {
            return clfcn_err_nomem(err);
        }
        image.px.u8 = own;
    }
    return submit_image(p, &image, own, job, err);
}

static bool complete(const struct clfcn_picture *picture)
{
    return picture->done == picture->views;
}

bool clfcn_predictor_ready(const struct clfcn_predictor *p)
{
    return p->oldest && complete(p->oldest);
}

/* Whether a view of the picture is still in the slot that is being filled. */
static bool waits_to_start(const struct clfcn_predictor *p,
                           const struct clfcn_picture *picture)
{
    const struct slot *s = &p->slots[p->filling];
    for (int k = 0; k < s->count; ++k) {
        if (s->places[k].of == picture) {
            return true;
        }
    }
    return false;
}

int clfcn_predictor_collect(struct clfcn_predictor *p, void **user, struct clfcn_err *err)
{
    struct clfcn_picture *picture = p->oldest;
    if (user) {
        *user = picture ? picture->job.user : NULL;
    }
    if (p->rc < 0) {
        return fail(p, p->rc, err);
    }
    if (!picture) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "no picture was submitted");
    }
    while (!complete(picture)) {
        const int other = (p->filling + 1) % CLFCN_NET_SLOTS;
        const int rc =
            waits_to_start(p, picture) ? start(p, &p->err) : gather(p, other, &p->err);
        if (rc < 0) {
            return fail(p, rc, err);
        }
    }
    const int rc = picture->rc;
    if (rc < 0 && err) {
        *err = picture->err;
    }
    drop_oldest(p);
    return rc;
}

int clfcn_predictor_run(struct clfcn_predictor *p, const struct clfcn_predict_job *job,
                        struct clfcn_err *err)
{
    if (p->oldest) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "pictures that were submitted before must be collected");
    }
    const int rc = clfcn_predictor_submit(p, job, err);
    return rc < 0 ? rc : clfcn_predictor_collect(p, NULL, err);
}
