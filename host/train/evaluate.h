/* evaluate.h - metrics of a network on a data set, at each mask's own resolution. */
#ifndef CLFCN_TRAIN_EVALUATE_H
#define CLFCN_TRAIN_EVALUATE_H

#include "../data/loader.h"
#include "../net/net.h"
#include "../ops/loss.h"
#include "eval_part.h"
#include "watch.h"

struct clfcn_eval_result {
    struct clfcn_confusion confusion; /* free with clfcn_confusion_finish() */
    struct clfcn_metrics metrics;
    double loss;      /* at network size, over all labelled pixels; NaN if none is */
    int64_t labelled; /* those pixels */
    int images;
    double seconds; /* with the wait for the other ranks */
};

/* Called for each image in the loader's order; logits has class planes plane_stride
 * floats apart at network size; predicted and truth are [height][width] at the mask's own
 * size. */
typedef int (*clfcn_eval_image_fn)(void *user, int item, const float *logits,
                                   size_t plane_stride, const uint8_t *predicted,
                                   const uint8_t *truth, int width, int height,
                                   struct clfcn_err *err);

struct clfcn_eval_options {
    struct clfcn_loss_how loss;
    clfcn_eval_image_fn image;                         /* may be NULL */
    void (*progress)(void *user, int done, int total); /* may be NULL */
    const volatile bool *stop; /* may be NULL; gives CLFCN_EINTR */
    struct clfcn_watch *watch; /* may be NULL */
    void *user;
    int only_shown; /* the loader's last so many images go to image and count nowhere */
};

/* The loader is one with drop_last false; it is rewound to (0, 0) first. The network's
 * weights and running statistics are not changed. On success *out's confusion is the
 * caller's to free.
 *
 * As one of several ranks: the loaders' items are parts that follow on each other in the
 * order of the ranks (clfcn_share_range(); a part may be empty), and *out is the whole's,
 * with the same bits in all but for the seconds. Collective; when a rank fails, all do.
 */
int clfcn_evaluate(struct clfcn_comm *comm, struct clfcn_net *net,
                   const struct clfcn_dataset *set, struct clfcn_loader *loader,
                   const struct clfcn_eval_options *options,
                   struct clfcn_eval_result *out, struct clfcn_err *err);

/* What this process alone makes of its loader's items: without waiting for others. part
 * is to be initialised. */
int clfcn_evaluate_part(struct clfcn_net *net, const struct clfcn_dataset *set,
                        struct clfcn_loader *loader,
                        const struct clfcn_eval_options *options,
                        struct clfcn_eval_part *part, struct clfcn_err *err);

#endif
