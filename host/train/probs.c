/* probs.c - logits as probabilities of the classes. */
#include "probs.h"
#include <math.h>
#include <string.h>

/* Values of so many pixels fit the nearest cache while they are gone over. */
enum { STRIP = 256 };

/* log(1 / (1 + exp(-x))), without overflow. */
static float log_sigmoid(float x)
{
    return (x < 0 ? x : 0) - log1pf(expf(-fabsf(x)));
}

static void softmax(float *values, int classes, size_t plane_stride, size_t n)
{
    float largest[STRIP], sum[STRIP] = { 0 };
    memcpy(largest, values, n * sizeof(*largest));
    for (int c = 1; c < classes; ++c) {
        const float *plane = values + (size_t)c * plane_stride;
        for (size_t i = 0; i < n; ++i) {
            largest[i] = plane[i] > largest[i] ? plane[i] : largest[i];
        }
    }
    for (int c = 0; c < classes; ++c) {
        float *plane = values + (size_t)c * plane_stride;
        for (size_t i = 0; i < n; ++i) {
            plane[i] = expf(plane[i] - largest[i]);
            sum[i] += plane[i];
        }
    }
    for (int c = 0; c < classes; ++c) {
        float *plane = values + (size_t)c * plane_stride;
        for (size_t i = 0; i < n; ++i) {
            plane[i] /= sum[i];
        }
    }
}

void clfcn_probs_from_logits(enum clfcn_loss loss, float *values, int classes,
                             size_t plane_stride, size_t pixels)
{
    for (size_t at = 0; at < pixels; at += STRIP) {
        const size_t n = pixels - at < STRIP ? pixels - at : STRIP;
        /* Softmax of log(p) is p over their sum. */
        for (int c = 0; loss == CLFCN_LOSS_BCE && c < classes; ++c) {
            float *plane = values + (size_t)c * plane_stride + at;
            for (size_t i = 0; i < n; ++i) {
                plane[i] = log_sigmoid(plane[i]);
            }
        }
        softmax(values + at, classes, plane_stride, n);
    }
}

void clfcn_probs_argmax(const float *values, int classes, size_t plane_stride,
                        size_t pixels, uint8_t *labels)
{
    memset(labels, 0, pixels);
    for (int c = 1; c < classes; ++c) {
        const float *plane = values + (size_t)c * plane_stride;
        for (size_t i = 0; i < pixels; ++i) {
            if (plane[i] > values[(size_t)labels[i] * plane_stride + i]) {
                labels[i] = (uint8_t)c;
            }
        }
    }
}
