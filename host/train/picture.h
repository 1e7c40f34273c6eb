/* picture.h - one picture on its way through the network: as one view or many of what is
 * to be seen of it, each an image of a batch. */
#ifndef CLFCN_TRAIN_PICTURE_H
#define CLFCN_TRAIN_PICTURE_H

#include "blend.h"

/* What a predictor does with every picture. */
struct clfcn_predict_how {
    struct clfcn_net_desc net;
    enum clfcn_loss loss;
    enum clfcn_predict_mode mode;
    double scale;
    enum clfcn_resize resize;
    int overlap_x, overlap_y;
    bool flip;
};

struct clfcn_picture {
    const struct clfcn_predict_how *how; /* borrowed */
    struct clfcn_predict_job job;        /* rgb and stride are not looked at */
    struct clfcn_image image; /* pixels are borrowed, or own */
    void *own;                /* pixels without the gaps between rows, or NULL */
    struct clfcn_image shrunk; /* what tiles are cut from, where that is not image */
    int64_t views;
    int64_t done; /* views whose results were added */
    int rc;       /* of the first one that failed */
    struct clfcn_err err;
    bool whole;    /* a view shows all of it, and logits are what is interpolated */
    bool labelled; /* the labels are there already */
    float *kept;              /* whole and flip: logits of the first view */
    struct clfcn_blend blend; /* otherwise */
    struct clfcn_picture *next;
};

/* Prepare for a picture, which is borrowed, as what the job points to is. CLFCN_EINVAL
 * names what is wrong with the job. On error *p is empty. */
int clfcn_picture_init(struct clfcn_picture *p, const struct clfcn_predict_how *how,
                       const struct clfcn_image *image,
                       const struct clfcn_predict_job *job, struct clfcn_err *err);
void clfcn_picture_finish(struct clfcn_picture *p);

/* A view as the network's input [3][height][width]. Thread-safe. */
void clfcn_picture_sample(const struct clfcn_picture *p, int64_t view, float *input,
                          size_t plane_stride);

/* What of a view's result [classes][height][width] can be done without the others'; in
 * place. Thread-safe. */
void clfcn_picture_prepare(const struct clfcn_picture *p, float *result,
                           size_t plane_stride);

/* Add a prepared result. Views come in order; any thread, one at a time for a picture.
 * With the last, the job's results are complete. Failures are kept in p->rc. */
void clfcn_picture_add(struct clfcn_picture *p, int64_t view, const float *result,
                       size_t plane_stride);

#endif
