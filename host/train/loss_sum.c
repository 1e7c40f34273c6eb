#include "loss_sum.h"

#include <math.h>
#include <string.h>

static double weight_of(const struct clfcn_loss_how *how, int c)
{
    return how->weights ? how->weights[c] : 1;
}

static double bce_pixel(const struct clfcn_loss_how *how, const float *logits,
                        int classes, size_t plane_stride, int label)
{
    double sum = 0;
    for (int c = 0; c < classes; ++c) {
        const double x = logits[(size_t)c * plane_stride];
        sum += weight_of(how, c) *
               ((x > 0 ? x : 0) - (c == label ? x : 0) + log1p(exp(-fabs(x))));
    }
    return sum;
}

/* The largest logit, and the sum over classes of exp(logit - it). */
static double softmax_sum(const float *logits, int classes, size_t plane_stride,
                          double *largest)
{
    double sum = 0;
    *largest = logits[0];
    for (int c = 1; c < classes; ++c) {
        const double x = logits[(size_t)c * plane_stride];
        *largest = x > *largest ? x : *largest;
    }
    for (int c = 0; c < classes; ++c) {
        sum += exp(logits[(size_t)c * plane_stride] - *largest);
    }
    return sum;
}

static double ce_pixel(const float *logits, int classes, size_t plane_stride, int label)
{
    double largest;
    const double sum = softmax_sum(logits, classes, plane_stride, &largest);
    return log(sum) + largest - logits[(size_t)label * plane_stride];
}

static double focal_pixel(const struct clfcn_loss_how *how, const float *logits,
                          int classes, size_t plane_stride, int label)
{
    const double entropy = ce_pixel(logits, classes, plane_stride, label);
    return pow(-expm1(-entropy), how->gamma) * entropy;
}

static void add_dice(struct clfcn_loss_sum *s, const float *logits, int classes,
                     size_t plane_stride, int label)
{
    double largest;
    const double sum = softmax_sum(logits, classes, plane_stride, &largest);
    for (int c = 0; c < classes; ++c) {
        const double p = exp(logits[(size_t)c * plane_stride] - largest) / sum;
        s->apart[c] += c == label ? 1 - p : p;
        s->size[c] += c == label ? 1 + p : p;
    }
}

void clfcn_loss_sum_add(struct clfcn_loss_sum *s, const struct clfcn_loss_how *how,
                        const float *logits, int classes, size_t plane_stride,
                        const uint8_t *labels, size_t pixels)
{
    for (size_t i = 0; i < pixels; ++i) {
        const int label = labels[i];
        if (label == CLFCN_IGNORE) {
            continue;
        }
        ++s->labelled;
        switch (how->kind) {
        case CLFCN_LOSS_BCE:
            s->sum += bce_pixel(how, logits + i, classes, plane_stride, label);
            s->terms += classes;
            break;
        case CLFCN_LOSS_CE:
            s->sum += weight_of(how, label) *
                      ce_pixel(logits + i, classes, plane_stride, label);
            s->terms += weight_of(how, label);
            break;
        case CLFCN_LOSS_DICE:
            add_dice(s, logits + i, classes, plane_stride, label);
            break;
        case CLFCN_LOSS_FOCAL:
            s->sum += weight_of(how, label) *
                      focal_pixel(how, logits + i, classes, plane_stride, label);
            s->terms += 1;
            break;
        }
    }
}

void clfcn_loss_sum_merge(struct clfcn_loss_sum *s, const struct clfcn_loss_sum *other,
                          int classes)
{
    s->labelled += other->labelled;
    s->sum += other->sum;
    s->terms += other->terms;
    for (int c = 0; c < classes; ++c) {
        s->apart[c] += other->apart[c];
        s->size[c] += other->size[c];
    }
}

double clfcn_loss_sum_mean(const struct clfcn_loss_sum *s,
                           const struct clfcn_loss_how *how, int classes)
{
    double loss = 0;
    if (s->labelled == 0) {
        return NAN;
    }
    if (how->kind != CLFCN_LOSS_DICE) {
        return s->terms > 0 ? s->sum / s->terms : 0;
    }
    for (int c = 0; c < classes; ++c) {
        loss += weight_of(how, c) * s->apart[c] / (s->size[c] + CLFCN_DICE_SMOOTH);
    }
    return loss / clfcn_loss_weight_sum(how->weights, classes);
}

enum { PLAIN_NUMBERS = 3 };

int clfcn_loss_sum_width(const struct clfcn_loss_how *how, int classes)
{
    return PLAIN_NUMBERS + (how->kind == CLFCN_LOSS_DICE ? 2 * classes : 0);
}

void clfcn_loss_sum_pack(const struct clfcn_loss_sum *s, int classes, double *numbers,
                         int width)
{
    const size_t bytes = (size_t)classes * sizeof(*numbers);
    numbers[0] = (double)s->labelled;
    numbers[1] = s->sum;
    numbers[2] = s->terms;
    if (width > PLAIN_NUMBERS) {
        memcpy(numbers + PLAIN_NUMBERS, s->apart, bytes);
        memcpy(numbers + PLAIN_NUMBERS + classes, s->size, bytes);
    }
}

void clfcn_loss_sum_unpack(struct clfcn_loss_sum *s, int classes, const double *numbers,
                           int width)
{
    const size_t bytes = (size_t)classes * sizeof(*numbers);
    memset(s, 0, sizeof(*s));
    s->labelled = (int64_t)numbers[0];
    s->sum = numbers[1];
    s->terms = numbers[2];
    if (width > PLAIN_NUMBERS) {
        memcpy(s->apart, numbers + PLAIN_NUMBERS, bytes);
        memcpy(s->size, numbers + PLAIN_NUMBERS + classes, bytes);
    }
}
