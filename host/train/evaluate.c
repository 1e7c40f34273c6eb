/* evaluate.c - while the device infers one batch, the host judges the one before. */
#include "evaluate.h"
#include "../data/resize.h"
#include "../util/sys.h"
#include "../util/thread.h"
#include "../util/trace.h"

#include <stdlib.h>
#include <string.h>

/* What one image of a batch comes to. */
struct judged {
    uint8_t *truth, *predicted; /* [height][width] at the mask's own size */
    int width, height;
    struct clfcn_confusion confusion;
    struct clfcn_loss_sum loss;
    int rc;
    struct clfcn_err err;
};

struct evaluation {
    struct clfcn_net *net;
    const struct clfcn_dataset *set;
    struct clfcn_loader *loader;
    const struct clfcn_eval_options *options;
    const struct clfcn_net_desc *desc;
    size_t pixels;       /* of one image at network size */
    size_t plane_stride; /* of the logits */
    float *logits[CLFCN_NET_SLOTS];
    const struct clfcn_batch *batch[CLFCN_NET_SLOTS]; /* NULL: the slot is idle */
    struct judged *judged;                            /* one an image of a batch */
    int judging;                                      /* slot of the batch being judged */
    int to_count;                                     /* images that still count */
};

/* Judge image k of the batch; runs in any thread. */
static void judge_image(void *arg, int k)
{
    struct evaluation *ev = arg;
    struct judged *j = &ev->judged[k];
    const struct clfcn_batch *batch = ev->batch[ev->judging];
    const float *logits = ev->logits[ev->judging] + (size_t)k * ev->pixels;
    const double begin = clfcn_trace_begin();
    clfcn_confusion_reset(&j->confusion);
    memset(&j->loss, 0, sizeof(j->loss));
    clfcn_loss_sum_add(&j->loss, &ev->options->loss, logits, ev->desc->classes,
                       ev->plane_stride, batch->labels + (size_t)k * ev->pixels,
                       ev->pixels);
    j->rc = clfcn_dataset_read_labels(ev->set, batch->items[k], &j->truth, &j->width,
                                      &j->height, &j->err);
    if (j->rc < 0) {
        return;
    }
    const size_t n = (size_t)j->width * (size_t)j->height;
    j->predicted = malloc(n);
    if (j->predicted == NULL) {
        j->rc = clfcn_err_nomem(&j->err);
        return;
    }
    clfcn_resize_argmax(logits, ev->desc->classes, ev->plane_stride, ev->desc->width,
                        ev->desc->height, j->predicted, j->width, j->height);
    clfcn_confusion_add(&j->confusion, j->truth, j->predicted, n);
    clfcn_trace_end("judge image", begin);
}

/* Add image k to the part and show it to the caller. */
static int take_image(struct evaluation *ev, int k, struct clfcn_eval_part *part,
                      struct clfcn_err *err)
{
    const struct judged *j = &ev->judged[k];
    if (j->rc < 0) {
        if (err != NULL) {
            *err = j->err;
        }
        return j->rc;
    }
    if (ev->to_count > 0) {
        const int rc = clfcn_eval_part_add(part, &j->confusion, &j->loss, err);
        if (rc < 0) {
            return rc;
        }
        --ev->to_count;
    }
    if (ev->options->image == NULL) {
        return CLFCN_OK;
    }
    return ev->options->image(ev->options->user, ev->batch[ev->judging]->items[k],
                              ev->logits[ev->judging] + (size_t)k * ev->pixels,
                              ev->plane_stride, j->predicted, j->truth, j->width,
                              j->height, err);
}

/* Wait for the slot's inference and judge its images, in parallel but added up in their
 * order. */
static int finish_batch(struct evaluation *ev, int slot, struct clfcn_eval_part *part,
                        struct clfcn_err *err)
{
    clfcn_watch_begin(ev->options->watch, NULL);
    int rc = clfcn_net_wait(ev->net, slot, NULL, err);
    clfcn_watch_end(ev->options->watch);
    if (rc < 0) {
        return rc;
    }
    const int count = ev->batch[slot]->count;
    ev->judging = slot;
    clfcn_parallel_for(count, clfcn_cpu_count(), judge_image, ev);
    for (int k = 0; k < count; ++k) {
        struct judged *j = &ev->judged[k];
        if (rc == CLFCN_OK) {
            rc = take_image(ev, k, part, err);
        }
        free(j->truth);
        free(j->predicted);
        j->truth = j->predicted = NULL;
    }
    clfcn_loader_release(ev->loader, ev->batch[slot]);
    ev->batch[slot] = NULL;
    return rc;
}

static int start_batch(struct evaluation *ev, int slot, struct clfcn_err *err)
{
    int rc = clfcn_loader_next(ev->loader, &ev->batch[slot], err);
    if (rc < 0) {
        ev->batch[slot] = NULL;
        return rc;
    }
    const struct clfcn_net_input input = { .images = ev->batch[slot]->images };
    rc = clfcn_net_upload(ev->net, slot, &input, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_net_infer(ev->net, slot, ev->logits[slot], err);
    }
    return rc;
}

static int evaluate_batches(struct evaluation *ev, struct clfcn_eval_part *part,
                            struct clfcn_err *err)
{
    const struct clfcn_eval_options *options = ev->options;
    const int steps = clfcn_loader_steps(ev->loader);
    for (int i = 0; i <= steps; ++i) {
        int rc = CLFCN_OK;
        if (clfcn_flag_is_set(options->stop)) {
            return clfcn_err_set(err, CLFCN_EINTR, 0,
                                 "stopped on request during evaluation");
        }
        if (i < steps) {
            rc = start_batch(ev, i % CLFCN_NET_SLOTS, err);
        }
        if (rc == CLFCN_OK && i > 0) {
            rc = finish_batch(ev, (i - 1) % CLFCN_NET_SLOTS, part, err);
            if (rc == CLFCN_OK && options->progress != NULL) {
                options->progress(options->user, i, steps);
            }
        }
        if (rc < 0) {
            return rc;
        }
    }
    return CLFCN_OK;
}

static int evaluation_init(struct evaluation *ev, struct clfcn_err *err)
{
    const struct clfcn_net_desc *desc = ev->desc;
    ev->pixels = (size_t)desc->width * (size_t)desc->height;
    ev->plane_stride = (size_t)desc->batch * ev->pixels;
    ev->judged = calloc((size_t)desc->batch, sizeof(*ev->judged));
    if (ev->judged == NULL) {
        return clfcn_err_nomem(err);
    }
    for (int s = 0; s < CLFCN_NET_SLOTS; ++s) {
        ev->logits[s] = malloc((size_t)desc->classes * ev->plane_stride * sizeof(float));
        if (ev->logits[s] == NULL) {
            return clfcn_err_nomem(err);
        }
    }
    for (int k = 0; k < desc->batch; ++k) {
        int rc = clfcn_confusion_init(&ev->judged[k].confusion, desc->classes, err);
        if (rc < 0) {
            return rc;
        }
    }
    return CLFCN_OK;
}

static void evaluation_finish(struct evaluation *ev)
{
    for (int s = 0; s < CLFCN_NET_SLOTS; ++s) {
        if (ev->batch[s] !=
            NULL) { /* after an error: the device may still use its memory */
            clfcn_net_wait(ev->net, s, NULL, NULL);
            clfcn_loader_release(ev->loader, ev->batch[s]);
        }
        free(ev->logits[s]);
    }
    for (int k = 0; ev->judged != NULL && k < ev->desc->batch; ++k) {
        clfcn_confusion_finish(&ev->judged[k].confusion);
    }
    free(ev->judged);
}

int clfcn_evaluate_part(struct clfcn_net *net, const struct clfcn_dataset *set,
                        struct clfcn_loader *loader,
                        const struct clfcn_eval_options *options,
                        struct clfcn_eval_part *part, struct clfcn_err *err)
{
    const double begin = clfcn_trace_begin();
    struct evaluation ev = { .net = net,
                             .set = set,
                             .loader = loader,
                             .options = options,
                             .desc = clfcn_net_get_desc(net),
                             .to_count =
                                 clfcn_loader_items(loader) - options->only_shown };
    int rc = evaluation_init(&ev, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_loader_seek(loader, 0, 0, err);
    }
    if (rc == CLFCN_OK) {
        rc = evaluate_batches(&ev, part, err);
    }
    evaluation_finish(&ev);
    clfcn_trace_end("evaluate", begin);
    return rc;
}

int clfcn_evaluate(struct clfcn_comm *comm, struct clfcn_net *net,
                   const struct clfcn_dataset *set, struct clfcn_loader *loader,
                   const struct clfcn_eval_options *options,
                   struct clfcn_eval_result *out, struct clfcn_err *err)
{
    const double start = clfcn_clock();
    const int classes = clfcn_net_get_desc(net)->classes;
    struct clfcn_eval_part part;
    memset(out, 0, sizeof(*out));
    int rc = clfcn_eval_part_init(&part, &options->loss, classes,
                                  clfcn_comm_rank(comm) == 0, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_evaluate_part(net, set, loader, options, &part, err);
    }
    /* Nobody waits for the sums of a rank that has failed. */
    rc = clfcn_comm_agree(comm, rc, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_eval_part_merge(&part, comm, err);
    }
    if (rc == CLFCN_OK) {
        out->confusion = part.confusion;
        part.confusion = (struct clfcn_confusion){ 0 };
        clfcn_metrics_compute(&out->confusion, &out->metrics);
        out->images = part.images;
        out->labelled = part.loss.labelled;
        out->loss = clfcn_loss_sum_mean(&part.loss, &options->loss, classes);
        out->seconds = clfcn_clock() - start;
    }
    clfcn_eval_part_finish(&part);
    return rc;
}
