/* probs.h - logits as probabilities of the classes, and the likeliest class. */
#ifndef CLFCN_TRAIN_PROBS_H
#define CLFCN_TRAIN_PROBS_H

#include <clfcn/net.h>

/* In place: class planes of `pixels` values, plane_stride apart; at each pixel they sum
 * to 1 afterwards. The sigmoids of CLFCN_LOSS_BCE, divided by their sum; softmax of
 * everything else. Where two classes are equally certain to float's precision they become
 * equal, whatever their logits. */
void clfcn_probs_from_logits(enum clfcn_loss loss, float *values, int classes,
                             size_t plane_stride, size_t pixels);

/* The class of the largest value at each pixel, the lower one of equals. */
void clfcn_probs_argmax(const float *values, int classes, size_t plane_stride,
                        size_t pixels, uint8_t *labels);

#endif
