#include "channel.h"

#include "ref.h"
#include <string.h>

static bool is_kind(const struct clfcn_op *op, const char *kind)
{
    return strcmp(op->impl->kind, kind) == 0;
}

/* Whether one of the op's tensors is of a part of the batch, the other of all of it. */
static bool takes_parts(const struct clfcn_op *op)
{
    return is_kind(op, "split") || is_kind(op, "join");
}

bool clfcn_channel_knows(const struct clfcn_op *op)
{
    return is_kind(op, "maxpool") || is_kind(op, "batchnorm") || is_kind(op, "add") ||
           takes_parts(op);
}

struct clfcn_channel_span clfcn_channel_span(const struct clfcn_op *op, bool backward,
                                             int part)
{
    const size_t x_row = clfcn_tensor_row(op->x), y_row = clfcn_tensor_row(op->y);
    struct clfcn_channel_span span = { .count = backward ? x_row : y_row };
    if (takes_parts(op) && x_row != y_row) {
        const size_t images = x_row < y_row ? x_row : y_row;
        *(span.count > images ? &span.from : &span.source) = (size_t)part * images;
        span.count = images;
    }
    return span;
}

static void define_pool(const struct clfcn_op *op, bool backward,
                        const struct clfcn_channel *c, double *want)
{
    const struct clfcn_tensor *t = op->x;
    if (backward) {
        clfcn_ref_maxpool_backward(t->n, t->h, t->w, c->x, c->dy, want);
    } else {
        clfcn_ref_maxpool(t->n, t->h, t->w, c->x, want);
    }
}

static void define_norm(const struct clfcn_op *op, bool backward, struct clfcn_channel *c,
                        double *want)
{
    const size_t row = clfcn_tensor_row(op->x);
    if (backward) {
        clfcn_ref_batchnorm_backward(1, row, c->x, &c->gamma, c->dy, want, &c->d_gamma,
                                     &c->d_beta);
    } else if (!c->training) {
        clfcn_ref_batchnorm_eval(1, row, c->x, &c->gamma, &c->beta, &c->mean, &c->var,
                                 want);
    } else {
        clfcn_ref_batchnorm(1, row, c->x, &c->gamma, &c->beta, &c->mean, &c->var, want);
    }
}

void clfcn_channel_define(const struct clfcn_op *op, bool backward,
                          struct clfcn_channel *c, double *want)
{
    const struct clfcn_channel_span span = clfcn_channel_span(op, backward, c->part);
    if (is_kind(op, "maxpool")) {
        define_pool(op, backward, c, want);
    } else if (is_kind(op, "batchnorm")) {
        define_norm(op, backward, c, want);
    } else {
        memcpy(want + span.from, (backward ? c->dy : c->x) + span.source,
               span.count * sizeof(*want));
    }
    for (size_t i = 0; !backward && op->x2 && i < span.count; ++i) {
        want[i] += c->x2[i];
    }
    for (size_t i = 0; backward && op->mask_dx && i < span.count; ++i) {
        want[i] = c->x[i] > 0 ? want[i] : 0;
    }
}
