/* audit_conv.c - convolutions: outputs and gradients of one image, or of some weights, at
 * a few hundred places. */
#include "audit_impl.h"

#include "../ops/sample.h"
#include <math.h>
#include <stdlib.h>

/* Channels on each side whose weights' gradients are compared. */
enum { WEIGHT_CHANNELS = 8 };

static struct clfcn_op *op_of(const struct clfcn_audit_run *run)
{
    return run->tap.net->graph.ops[run->unit->op];
}

static bool masks(const struct clfcn_op *op)
{
    return op->relu && !op->dy_masked;
}

/* The image that is compared. Drawn from a copy, so that every look finds the same. */
static int image_of(const struct clfcn_audit_run *run, const struct clfcn_tensor *t)
{
    struct clfcn_rng rng = run->rng;
    return run->focus ? (int)run->focus[1] : (int)clfcn_rng_below(&rng, (uint32_t)t->n);
}

int clfcn_audit_keep_conv(struct clfcn_audit_run *run, struct clfcn_err *err)
{
    const struct clfcn_op *op = op_of(run);
    int rc = CLFCN_OK;
    if (run->unit->what == CLFCN_AUDIT_FORWARD) {
        return rc;
    }
    if (run->unit->what == CLFCN_AUDIT_BACKWARD && masks(op)) {
        struct clfcn_rng rng = run->rng;
        int first;
        const int count = clfcn_audit_channels(run, op->dy, op->dy->c, &first);
        const struct clfcn_piece dy = clfcn_piece_channels(op->dy, first, count);
        rc = clfcn_audit_keep(run, &dy, err);
        run->rng = rng;
    }
    if (rc == CLFCN_OK && run->unit->what == CLFCN_AUDIT_INPUT && op->dx_add) {
        const struct clfcn_piece dx = clfcn_piece_image(op->dx, image_of(run, op->dx));
        rc = clfcn_audit_keep(run, &dx, err);
    }
    for (int i = 0; rc == CLFCN_OK && run->part > 0 && i < op->param_count; ++i) {
        const struct clfcn_param *p = &op->params[i];
        if (p->grad) {
            const struct clfcn_piece grad = clfcn_piece_whole(p->grad, p->count);
            rc = clfcn_audit_keep(run, &grad, err);
        }
    }
    return rc;
}

/* What is compared, as the part of a pass that it is. */
struct part {
    const struct clfcn_conv *conv;
    struct clfcn_conv_shape shape; /* of one image, or of some channels */
    struct clfcn_sample_data data;
    const float *got, *bias, *before; /* before: what the result was added to; or NULL */
    bool relu;
    /* Where an element of the part lies in the whole. */
    const struct clfcn_tensor *whole; /* of which image is the part; NULL: a weight's */
    int image;
    int64_t first[2], dims[2], own[2]; /* channels: from where, of how many, how many */
    size_t taps;
};

static size_t in_whole(const struct part *p, size_t at)
{
    if (p->whole) {
        const size_t pixels = (size_t)p->whole->h * (size_t)p->whole->w;
        return (at / pixels * (size_t)p->whole->n + (size_t)p->image) * pixels +
               at % pixels;
    }
    const size_t pair = at / p->taps, a = pair / (size_t)p->own[1],
                 b = pair % (size_t)p->own[1];
    return ((a + (size_t)p->first[0]) * (size_t)p->dims[1] + b + (size_t)p->first[1]) *
               p->taps +
           at % p->taps;
}

static size_t channel_of(const struct part *p, size_t at)
{
    return at / ((size_t)p->whole->h * (size_t)p->whole->w);
}

/* Compare an element, of whose definition the sum of products is known. */
static void add(struct clfcn_judge *j, const struct part *p, size_t at, double want,
                double size)
{
    const size_t whole = in_whole(p, at);
    /* A weight's gradient is here as a whole, an image alone. */
    const size_t here = p->whole ? at : whole;
    if (p->bias) {
        want += p->bias[channel_of(p, at)];
        size += fabs(p->bias[channel_of(p, at)]);
    }
    want = p->relu ? fmax(0.0, want) : want;
    if (p->before) {
        want += p->before[here];
        size += fabs(p->before[here]);
    }
    clfcn_judge_add(j, whole, p->got[here], want, size);
}

/* At the places that samples are, and the first that is no number. */
static int compare(struct clfcn_audit_run *run, struct clfcn_judge *j,
                   const struct part *p, struct clfcn_err *err)
{
    const enum clfcn_pass pass = p->conv->pass;
    struct clfcn_samples *samples = malloc(sizeof(*samples));
    if (!samples) {
        return clfcn_err_nomem(err);
    }
    clfcn_samples_make(&p->shape, pass, &p->data, &run->rng, samples);
    for (int i = 0; i < samples->count; ++i) {
        add(j, p, samples->at[i], samples->want[i], samples->size[i]);
    }
    for (size_t i = 0; i < samples->total; ++i) {
        if (!isfinite(p->got[p->whole ? i : in_whole(p, i)])) {
            double size;
            const double want = clfcn_sample_value(&p->shape, pass, &p->data, i, &size);
            add(j, p, i, want, size);
            break;
        }
    }
    free(samples);
    clfcn_judge_end(j);
    return CLFCN_OK;
}

/* The forward pass of an image, or its input's gradient. */
static int check_image(struct clfcn_audit_run *run, struct part *p, struct clfcn_err *err)
{
    const struct clfcn_op *op = op_of(run);
    const bool forward = p->conv->pass == CLFCN_PASS_FORWARD;
    const struct clfcn_tensor *from = forward ? op->x : op->dy,
                              *to = forward ? op->y : op->dx;
    p->whole = to;
    p->image = image_of(run, to);
    p->shape.n = 1;
    p->relu = forward && op->relu;
    p->before = clfcn_audit_kept(run, to->mem);
    const struct clfcn_piece read = clfcn_piece_image(from, p->image),
                             made = clfcn_piece_image(to, p->image),
                             weight = clfcn_piece_whole(op->params[0].value,
                                                        op->params[0].count),
                             bias = clfcn_piece_whole(op->params[1].value,
                                                      op->params[1].count);
    float *x = NULL, *y = NULL, *w = NULL, *b = NULL;
    int rc = clfcn_audit_fetch(run, &read, &x, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_audit_fetch(run, &made, &y, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_audit_fetch(run, &weight, &w, err);
    }
    if (rc == CLFCN_OK && forward) {
        rc = clfcn_audit_fetch(run, &bias, &b, err);
    }
    struct clfcn_judge j;
    clfcn_judge_tensor(&j, run, forward ? "output" : "input gradient", CLFCN_AUDIT_SUMMED,
                       to);
    p->got = y;
    p->bias = b;
    p->data = (struct clfcn_sample_data){ .x = forward ? x : NULL,
                                          .y = forward ? NULL : x,
                                          .weight = w };
    return rc < 0 ? rc : compare(run, &j, p, err);
}

/* The channels of one side of the weights. Of a transposed convolution x comes first. */
static void choose_side(struct clfcn_audit_run *run, struct part *p, int side,
                        const struct clfcn_tensor *t)
{
    const struct clfcn_op *op = op_of(run);
    const int64_t *focus = run->focus;
    int first;
    run->focus = focus ? &focus[side] : NULL;
    const int count = clfcn_audit_channels(run, t, WEIGHT_CHANNELS, &first);
    run->focus = focus;
    p->first[side] = first;
    p->own[side] = count;
    p->dims[side] = op->params[0].dims[side];
}

static int check_weights(struct clfcn_audit_run *run, struct part *p,
                         struct clfcn_err *err)
{
    const struct clfcn_op *op = op_of(run);
    const struct clfcn_param *weight = &op->params[0];
    const int x_side = p->shape.transposed ? 0 : 1, y_side = 1 - x_side;
    choose_side(run, p, x_side, op->x);
    choose_side(run, p, y_side, op->dy);
    p->taps = (size_t)p->shape.kernel * (size_t)p->shape.kernel;
    p->shape.in = (int)p->own[x_side];
    p->shape.out = (int)p->own[y_side];
    p->before = clfcn_audit_kept(run, weight->grad);
    const struct clfcn_piece x = clfcn_piece_channels(op->x, (int)p->first[x_side],
                                                      (int)p->own[x_side]),
                             dy = clfcn_piece_channels(op->dy, (int)p->first[y_side],
                                                       (int)p->own[y_side]),
                             made = clfcn_piece_whole(weight->grad, weight->count);
    float *x_host = NULL, *dy_host = NULL, *got = NULL;
    int rc = clfcn_audit_fetch(run, &x, &x_host, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_audit_fetch(run, &dy, &dy_host, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_audit_fetch(run, &made, &got, err);
    }
    struct clfcn_judge j;
    clfcn_judge_begin(&j, run, "weight gradient", CLFCN_AUDIT_SUMMED, weight->ndim,
                      weight->dims);
    p->got = got;
    p->data = (struct clfcn_sample_data){ .x = x_host, .y = dy_host };
    return rc < 0 ? rc : compare(run, &j, p, err);
}

int clfcn_audit_conv(struct clfcn_audit_run *run, struct clfcn_err *err)
{
    static const enum clfcn_pass passes[] = { [CLFCN_AUDIT_FORWARD] = CLFCN_PASS_FORWARD,
                                              [CLFCN_AUDIT_WEIGHT] = CLFCN_PASS_WEIGHT,
                                              [CLFCN_AUDIT_INPUT] = CLFCN_PASS_INPUT };
    const struct clfcn_op *op = op_of(run);
    struct part p = { .conv = op->impl->conv(op, passes[run->unit->what]) };
    p.shape = p.conv->shape;
    snprintf(run->out->algorithm, sizeof(run->out->algorithm), "%s", p.conv->name);
    return run->unit->what == CLFCN_AUDIT_WEIGHT ? check_weights(run, &p, err)
                                                 : check_image(run, &p, err);
}

/* The output's gradient where the ReLU let nothing through, in place. */
static void judge_mask(struct clfcn_audit_run *run, const float *y, const float *before,
                       const float *dy, size_t first, size_t count)
{
    struct clfcn_judge j;
    clfcn_judge_tensor(&j, run, "masked output gradient", CLFCN_AUDIT_COPIED,
                       op_of(run)->dy);
    for (size_t i = 0; i < count; ++i) {
        const double was = before[i];
        clfcn_judge_add(&j, first + i, dy[i], y[i] > 0 || isnan(was) ? was : 0.0,
                        fabs(was));
    }
    clfcn_judge_end(&j);
}

/* Sums of the output's gradient over channels first .. first+count-1, as dy holds it. */
static int judge_bias(struct clfcn_audit_run *run, const float *dy, int first, int count,
                      struct clfcn_err *err)
{
    const struct clfcn_param *bias = &op_of(run)->params[1];
    const size_t row = clfcn_tensor_row(op_of(run)->dy);
    const struct clfcn_piece whole = clfcn_piece_whole(bias->grad, bias->count);
    const float *before = clfcn_audit_kept(run, bias->grad);
    float *got = NULL;
    struct clfcn_judge j;
    const int rc = clfcn_audit_fetch(run, &whole, &got, err);
    clfcn_judge_begin(&j, run, "bias gradient", CLFCN_AUDIT_SUMMED, bias->ndim,
                      bias->dims);
    for (int c = 0; rc == CLFCN_OK && c < count; ++c) {
        double sum = before ? before[first + c] : 0.0, size = fabs(sum);
        for (size_t i = 0; i < row; ++i) {
            sum += dy[(size_t)c * row + i];
            size += fabs(dy[(size_t)c * row + i]);
        }
        clfcn_judge_add(&j, (size_t)first + (size_t)c, got[first + c], sum, size);
    }
    clfcn_judge_end(&j);
    return rc;
}

int clfcn_audit_bias(struct clfcn_audit_run *run, struct clfcn_err *err)
{
    const struct clfcn_op *op = op_of(run);
    const float *before = clfcn_audit_kept(run, op->dy->mem);
    int first;
    const int count = clfcn_audit_channels(run, op->dy, op->dy->c, &first);
    const struct clfcn_piece y = clfcn_piece_channels(op->y, first, count),
                             dy = clfcn_piece_channels(op->dy, first, count);
    float *dy_host = NULL, *y_host = NULL;
    int rc = clfcn_audit_fetch(run, &dy, &dy_host, err);
    if (rc == CLFCN_OK && before) {
        rc = clfcn_audit_fetch(run, &y, &y_host, err);
        if (rc == CLFCN_OK) {
            judge_mask(run, y_host, before, dy_host, dy.first, dy.length);
        }
    }
    return rc < 0 || !op->params[1].grad ? rc
                                         : judge_bias(run, dy_host, first, count, err);
}
