/* loss_sum.h - the loss over many images, added up one by one, in double. */
#ifndef CLFCN_TRAIN_LOSS_SUM_H
#define CLFCN_TRAIN_LOSS_SUM_H

#include "../ops/loss.h"

enum { CLFCN_LOSS_NUMBERS_MAX = 3 + 2 * CLFCN_MAX_CLASSES };

/* Zero-initialised: nothing yet. */
struct clfcn_loss_sum {
    int64_t labelled;  /* pixels */
    double sum, terms; /* of the losses per pixel, and what that is divided by */
    double apart[CLFCN_MAX_CLASSES], size[CLFCN_MAX_CLASSES]; /* of dice: sum(|p - t|),
                                                                 sum(p) + sum(t) */
};

/* Add the labelled pixels of one image: logits planes plane_stride apart, labels
 * [pixels]. */
void clfcn_loss_sum_add(struct clfcn_loss_sum *s, const struct clfcn_loss_how *how,
                        const float *logits, int classes, size_t plane_stride,
                        const uint8_t *labels, size_t pixels);
void clfcn_loss_sum_merge(struct clfcn_loss_sum *s, const struct clfcn_loss_sum *other,
                          int classes);
/* The loss as ops/loss.h defines it for one batch of all these images; NaN if nothing is
 * labelled. */
double clfcn_loss_sum_mean(const struct clfcn_loss_sum *s,
                           const struct clfcn_loss_how *how, int classes);

/* A sum as numbers, all of them exact: labelled, sum, terms, and for dice apart [classes]
 * and size [classes]. How many they are, and there and back. */
int clfcn_loss_sum_width(const struct clfcn_loss_how *how, int classes);
void clfcn_loss_sum_pack(const struct clfcn_loss_sum *s, int classes, double *numbers,
                         int width);
void clfcn_loss_sum_unpack(struct clfcn_loss_sum *s, int classes, const double *numbers,
                           int width);

#endif
