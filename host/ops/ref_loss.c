/* ref_loss.c - fp64 definitions of the losses and the optimisers. */
#include "ref.h"
#include <math.h>

/* Binary cross-entropy of sigmoid(z) against t in {0, 1}, without overflow for any z. */
static double bce_of_logit(double z, double t)
{
    return fmax(z, 0.0) - z * t + log1p(exp(-fabs(z)));
}

static double sigmoid(double z)
{
    return z >= 0.0 ? 1.0 / (1.0 + exp(-z)) : exp(z) / (1.0 + exp(z));
}

/* Sum over the classes of one pixel; its logits and gradients are row apart. */
static double bce_pixel(int classes, size_t row, const double *logits, int label,
                        double scale, double *dlogits)
{
    double sum = 0.0;
    for (int c = 0; c < classes; ++c) {
        const double z = logits[c * row], t = c == label ? 1.0 : 0.0;
        sum += bce_of_logit(z, t);
        dlogits[c * row] = scale * (sigmoid(z) - t);
    }
    return sum;
}

static double ce_pixel(int classes, size_t row, const double *logits, int label,
                       double scale, double *dlogits)
{
    double top = logits[0], sum = 0.0;
    for (int c = 1; c < classes; ++c) {
        top = fmax(top, logits[c * row]);
    }
    for (int c = 0; c < classes; ++c) {
        sum += exp(logits[c * row] - top);
    }
    for (int c = 0; c < classes; ++c) {
        const double softmax = exp(logits[c * row] - top) / sum;
        dlogits[c * row] = scale * (softmax - (c == label ? 1.0 : 0.0));
    }
    return log(sum) + top - logits[label * row];
}

static size_t count_labelled(size_t row, const uint8_t *labels)
{
    size_t count = 0;
    for (size_t i = 0; i < row; ++i) {
        count += labels[i] != CLFCN_IGNORE;
    }
    return count;
}

double clfcn_ref_loss(enum clfcn_loss loss, int classes, size_t row, const double *logits,
                      const uint8_t *labels, double *dlogits)
{
    const size_t labelled = count_labelled(row, labels);
    const double terms = (double)labelled * (loss == CLFCN_LOSS_BCE ? classes : 1);
    const double scale = labelled > 0 ? 1.0 / terms : 0.0;
    double sum = 0.0;
    for (size_t i = 0; i < row; ++i) {
        if (labels[i] == CLFCN_IGNORE) {
            for (int c = 0; c < classes; ++c) {
                dlogits[c * row + i] = 0.0;
            }
        } else if (loss == CLFCN_LOSS_BCE) {
            sum += bce_pixel(classes, row, logits + i, labels[i], scale, dlogits + i);
        } else {
            sum += ce_pixel(classes, row, logits + i, labels[i], scale, dlogits + i);
        }
    }
    return sum * scale;
}

static void sgd(size_t count, double lr, double momentum, double weight_decay, double *p,
                const double *g, double *velocity)
{
    for (size_t i = 0; i < count; ++i) {
        velocity[i] = momentum * velocity[i] + g[i] + weight_decay * p[i];
        p[i] -= lr * velocity[i];
    }
}

/* Weight decay is done by the caller: on p (AdamW), or through decay, added to g (Adam).
 */
static void adam(size_t count, double lr, double beta1, double beta2, double eps,
                 double decay, int64_t update, double *p, const double *g, double *mean,
                 double *square)
{
    const double correct1 = 1.0 - pow(beta1, (double)update);
    const double correct2 = 1.0 - pow(beta2, (double)update);
    for (size_t i = 0; i < count; ++i) {
        const double gi = g[i] + decay * p[i];
        mean[i] = beta1 * mean[i] + (1.0 - beta1) * gi;
        square[i] = beta2 * square[i] + (1.0 - beta2) * gi * gi;
        p[i] -= lr * (mean[i] / correct1) / (sqrt(square[i] / correct2) + eps);
    }
}

void clfcn_ref_optim(enum clfcn_optimizer kind, size_t count, double lr, double momentum,
                     double weight_decay, double beta1, double beta2, double eps,
                     int64_t update, double *p, const double *g, double *s0, double *s1)
{
    if (kind == CLFCN_SGD) {
        sgd(count, lr, momentum, weight_decay, p, g, s0);
        return;
    }
    if (kind == CLFCN_ADAMW) {
        for (size_t i = 0; i < count; ++i) {
            p[i] *= 1.0 - lr * weight_decay;
        }
    }
    adam(count, lr, beta1, beta2, eps, kind == CLFCN_ADAM ? weight_decay : 0.0, update, p,
         g, s0, s1);
}
