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

static double weight_of(const struct clfcn_loss_how *how, int c)
{
    return how->weights ? how->weights[c] : 1.0;
}

/* Sum over the classes of one pixel; its logits and gradients are row apart. */
static double bce_pixel(const struct clfcn_loss_how *how, int classes, size_t row,
                        const double *logits, int label, double *dlogits)
{
    double sum = 0.0;
    for (int c = 0; c < classes; ++c) {
        const double z = logits[c * row], t = c == label ? 1.0 : 0.0;
        sum += weight_of(how, c) * bce_of_logit(z, t);
        dlogits[c * row] = weight_of(how, c) * (sigmoid(z) - t);
    }
    return sum;
}

/* The probabilities of one pixel; returns the sum of those that are not label's, which
 * tells more than 1 - p where that is small. */
static double softmax(int classes, size_t row, const double *logits, int label, double *p)
{
    double top = logits[0], own = 0.0, others = 0.0;
    for (int c = 1; c < classes; ++c) {
        top = fmax(top, logits[c * row]);
    }
    for (int c = 0; c < classes; ++c) {
        p[c * row] = exp(logits[c * row] - top);
        own += c == label ? p[c * row] : 0.0;
        others += c == label ? 0.0 : p[c * row];
    }
    for (int c = 0; c < classes; ++c) {
        p[c * row] /= own + others;
    }
    return others / (own + others);
}

/* Minus the logarithm of the softmax at label. */
static double cross_entropy(int classes, size_t row, const double *logits, int label)
{
    double top = logits[0], sum = 0.0;
    for (int c = 1; c < classes; ++c) {
        top = fmax(top, logits[c * row]);
    }
    for (int c = 0; c < classes; ++c) {
        sum += exp(logits[c * row] - top);
    }
    return log(sum) + top - logits[label * row];
}

/* Focal, of which ce is the case with gamma 0. */
static double focal_pixel(const struct clfcn_loss_how *how, int classes, size_t row,
                          const double *logits, int label, double *dlogits)
{
    const double gamma = how->kind == CLFCN_LOSS_FOCAL ? how->gamma : 0.0;
    const double rest = softmax(classes, row, logits, label, dlogits);
    const double q = dlogits[label * row], w = weight_of(how, label);
    const double entropy =
        rest < 0.5 ? -log1p(-rest) : cross_entropy(classes, row, logits, label);
    const double quotient = rest > 0.0 ? entropy / rest : 1.0;
    const double slope = pow(rest, gamma) * (1.0 + gamma * q * quotient);
    for (int c = 0; c < classes; ++c) {
        dlogits[c * row] = w * slope * (c == label ? -rest : dlogits[c * row]);
    }
    return w * pow(rest, gamma) * entropy;
}

/* What the sum over pixels is divided by. */
static double count_terms(const struct clfcn_loss_how *how, int classes, size_t row,
                          const uint8_t *labels)
{
    double terms = 0.0;
    for (size_t i = 0; i < row; ++i) {
        if (labels[i] != CLFCN_IGNORE) {
            terms += how->kind == CLFCN_LOSS_BCE  ? classes
                     : how->kind == CLFCN_LOSS_CE ? weight_of(how, labels[i])
                                                  : 1.0;
        }
    }
    return terms;
}

static void scale_gradient(int classes, size_t row, double scale, double *dlogits)
{
    for (size_t i = 0; i < (size_t)classes * row; ++i) {
        dlogits[i] *= scale;
    }
}

static double pixel_loss(const struct clfcn_loss_how *how, int classes, size_t row,
                         const double *logits, const uint8_t *labels, double *dlogits)
{
    const double terms = count_terms(how, classes, row, labels);
    const double scale = terms > 0.0 ? 1.0 / terms : 0.0;
    double sum = 0.0;
    for (size_t i = 0; i < row; ++i) {
        if (labels[i] == CLFCN_IGNORE) {
            for (int c = 0; c < classes; ++c) {
                dlogits[c * row + i] = 0.0;
            }
        } else if (how->kind == CLFCN_LOSS_BCE) {
            sum += bce_pixel(how, classes, row, logits + i, labels[i], dlogits + i);
        } else {
            sum += focal_pixel(how, classes, row, logits + i, labels[i], dlogits + i);
        }
    }
    scale_gradient(classes, row, scale, dlogits);
    return sum * scale;
}

/* The derivative of the loss by the probabilities is a number where the label is c, and
 * another where it is not. */
struct dice_slopes {
    double other, hit;
};

/* Class c's part of the loss, from the probabilities. */
static double dice_class(const struct clfcn_loss_how *how, int classes, size_t row,
                         const double *p, const uint8_t *labels, int c,
                         struct dice_slopes *slopes)
{
    const double w = weight_of(how, c) / clfcn_loss_weight_sum(how->weights, classes);
    double overlap = 0.0, size = 0.0;
    for (size_t i = 0; i < row; ++i) {
        if (labels[i] != CLFCN_IGNORE) {
            const double t = labels[i] == c ? 1.0 : 0.0;
            overlap += t * p[c * row + i];
            size += t + p[c * row + i];
        }
    }
    const double above = 2.0 * overlap + CLFCN_DICE_SMOOTH,
                 below = size + CLFCN_DICE_SMOOTH;
    slopes->other = w * above / (below * below);
    slopes->hit = slopes->other - 2.0 * w / below;
    return w * (1.0 - above / below);
}

static double dice_loss(const struct clfcn_loss_how *how, int classes, size_t row,
                        const double *logits, const uint8_t *labels, double *dlogits)
{
    struct dice_slopes slopes[CLFCN_MAX_CLASSES];
    double loss = 0.0;
    for (size_t i = 0; i < row; ++i) {
        softmax(classes, row, logits + i, 0, dlogits + i);
    }
    for (int c = 0; c < classes; ++c) {
        loss += dice_class(how, classes, row, dlogits, labels, c, &slopes[c]);
    }
    for (size_t i = 0; i < row; ++i) {
        double mean = 0.0;
        for (int c = 0; c < classes; ++c) {
            const double slope = labels[i] == c ? slopes[c].hit : slopes[c].other;
            mean += dlogits[c * row + i] * slope;
        }
        for (int c = 0; c < classes; ++c) {
            const double slope = labels[i] == c ? slopes[c].hit : slopes[c].other;
            dlogits[c * row + i] *= labels[i] == CLFCN_IGNORE ? 0.0 : slope - mean;
        }
    }
    return loss;
}

double clfcn_ref_loss(const struct clfcn_loss_how *how, int classes, size_t row,
                      const double *logits, const uint8_t *labels, double *dlogits)
{
    return how->kind == CLFCN_LOSS_DICE
               ? dice_loss(how, classes, row, logits, labels, dlogits)
               : pixel_loss(how, classes, row, logits, labels, dlogits);
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
