/* audit_channel.c - poolings, batch norms, sums and parts of a batch, in as many channels
 * as take a moment. */
#include "audit_impl.h"

#include "../ops/channel.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GAMMA, BETA, RUNNING_MEAN, RUNNING_VAR };
static const double EPS = CLFCN_BATCHNORM_EPS, MOMENTUM = 0.1;

static struct clfcn_op *op_of(const struct clfcn_audit_run *run)
{
    return run->tap.net->graph.ops[run->unit->op];
}

static bool is_norm(const struct clfcn_op *op)
{
    return strcmp(op->impl->kind, "batchnorm") == 0;
}

/* The statistics are those of all ranks' images: what they come to is beyond this one. */
static bool synchronised(const struct clfcn_net *net)
{
    return net->options.comm && net->options.sync_batchnorm;
}

int clfcn_audit_keep_channel(struct clfcn_audit_run *run, struct clfcn_err *err)
{
    const struct clfcn_op *op = op_of(run);
    int rc = CLFCN_OK;
    for (int i = RUNNING_MEAN; rc == CLFCN_OK && is_norm(op) && i <= RUNNING_VAR &&
                               run->unit->what == CLFCN_AUDIT_FORWARD;
         ++i) {
        const struct clfcn_piece piece =
            clfcn_piece_whole(op->params[i].value, op->params[i].count);
        rc = clfcn_audit_keep(run, &piece, err);
    }
    return rc;
}

/* The tensors' channels first .. first+count-1, and the parameters whole. */
struct layer {
    struct clfcn_audit_run *run;
    const struct clfcn_op *op;
    bool backward;
    int first, count;
    size_t x_row, y_row;
    float *x, *x2, *y, *dy, *dx;
    float *state, *params[CLFCN_OP_MAX_PARAMS], *grads[CLFCN_OP_MAX_PARAMS];
    double *room; /* x, x2, dy and what belongs in a channel */
};

/* A channel being compared: what it is made of, and the magnitudes of that. */
struct row {
    const double *x, *x2, *dy;
    double *want;
    double mean, inverse;       /* of a batch norm, as the device has them */
    double dy_sum, product_sum; /* of magnitudes: dy, and dy times the normalised x */
};

static int fetch_channels(struct layer *l, const struct clfcn_tensor *t, float **out,
                          struct clfcn_err *err)
{
    if (!t) {
        return CLFCN_OK;
    }
    const struct clfcn_piece piece = clfcn_piece_channels(t, l->first, l->count);
    return clfcn_audit_fetch(l->run, &piece, out, err);
}

static int fetch_param(struct layer *l, cl_mem mem, size_t count, float **out,
                       struct clfcn_err *err)
{
    const struct clfcn_piece piece = clfcn_piece_whole(mem, count);
    return mem ? clfcn_audit_fetch(l->run, &piece, out, err) : CLFCN_OK;
}

static int fetch(struct layer *l, struct clfcn_err *err)
{
    const struct clfcn_op *op = l->op;
    const struct {
        const struct clfcn_tensor *tensor;
        float **to;
    } wanted[] = { { op->x, &l->x },
                   { l->backward ? NULL : op->x2, &l->x2 },
                   { l->backward ? NULL : op->y, &l->y },
                   { l->backward ? op->dy : NULL, &l->dy },
                   { l->backward ? op->dx : NULL, &l->dx } };
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < CLFCN_ARRAY_LEN(wanted); ++i) {
        rc = fetch_channels(l, wanted[i].tensor, wanted[i].to, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < op->param_count; ++i) {
        const struct clfcn_param *p = &op->params[i];
        rc = fetch_param(l, p->value, p->count, &l->params[i], err);
        if (rc == CLFCN_OK && l->backward) {
            rc = fetch_param(l, p->grad, p->count, &l->grads[i], err);
        }
    }
    return rc < 0 ? rc
                  : fetch_param(l, op->state, op->state_bytes / sizeof(float), &l->state,
                                err);
}

static double *widen(const float *from, size_t row, int i, double *to)
{
    for (size_t k = 0; from && k < row; ++k) {
        to[k] = from[(size_t)i * row + k];
    }
    return from ? to : NULL;
}

/* Let r be channel i of those that are here. */
static void open_row(const struct layer *l, int i, struct row *r)
{
    double *x = l->room, *x2 = x + l->x_row, *dy = x2 + l->y_row;
    *r = (struct row){ .x = widen(l->x, l->x_row, i, x),
                       .x2 = widen(l->x2, l->y_row, i, x2),
                       .dy = widen(l->dy, l->y_row, i, dy),
                       .want = dy + l->y_row };
    if (!is_norm(l->op)) {
        return;
    }
    const float *state = l->state + 2 * (size_t)(l->first + i);
    r->mean = state[0];
    r->inverse = state[1];
    for (size_t k = 0; l->backward && k < l->x_row; ++k) {
        r->dy_sum += fabs(r->dy[k]);
        r->product_sum += fabs(r->dy[k]) * (fabs(r->x[k]) + fabs(r->mean)) * r->inverse;
    }
}

/* The magnitudes that went into an element. */
static double size_of(const struct layer *l, const struct row *r, int channel, size_t k)
{
    const double skip = r->x2 ? fabs(r->x2[k]) : 0;
    if (!is_norm(l->op)) {
        return fabs(r->want[k]) + 2 * skip; /* or more than that of x */
    }
    const double gamma = fabs(l->params[GAMMA][channel]),
                 x = (fabs(r->x[k]) + fabs(r->mean)) * r->inverse;
    if (l->backward) {
        return gamma * r->inverse *
               (fabs(r->dy[k]) + (r->dy_sum + x * r->product_sum) / (double)l->x_row);
    }
    return x * gamma + fabs(l->params[BETA][channel]) + skip;
}

/* What the definition says, by the statistics of all ranks if they are. */
static struct clfcn_channel define(const struct layer *l, const struct row *r,
                                   int channel)
{
    const struct clfcn_audit_run *run = l->run;
    struct clfcn_channel c = { .x = r->x, .x2 = r->x2, .dy = r->dy, .part = run->part };
    if (is_norm(l->op)) {
        const float *mean = clfcn_audit_kept(run, l->op->params[RUNNING_MEAN].value),
                    *var = clfcn_audit_kept(run, l->op->params[RUNNING_VAR].value);
        c.gamma = l->params[GAMMA][channel];
        c.beta = l->params[BETA][channel];
        c.training = !synchronised(run->tap.net);
        c.mean = c.training ? (mean ? mean[channel] : 0) : r->mean;
        c.var =
            c.training ? (var ? var[channel] : 0) : 1 / (r->inverse * r->inverse) - EPS;
    }
    clfcn_channel_define(l->op, l->backward, &c, r->want);
    return c;
}

/* Verdicts on a batch norm's other tensors. */
struct norm_judges {
    struct clfcn_judge state, mean, var, gamma, beta;
};

static void open_norm(const struct layer *l, struct norm_judges *n)
{
    const int64_t channels[] = { l->op->x->c, 2 };
    struct clfcn_audit_run *run = l->run;
    const enum clfcn_audit_rigor rigor = CLFCN_AUDIT_SUMMED;
    clfcn_judge_begin(&n->state, run, "mean and 1/deviation", rigor, 2, channels);
    clfcn_judge_begin(&n->mean, run, "running_mean", rigor, 1, channels);
    clfcn_judge_begin(&n->var, run, "running_var", rigor, 1, channels);
    clfcn_judge_begin(&n->gamma, run, "weight gradient", rigor, 1, channels);
    clfcn_judge_begin(&n->beta, run, "bias gradient", rigor, 1, channels);
}

/* The statistics of a channel, from how they move the running ones. */
static void add_statistics(const struct layer *l, struct norm_judges *n,
                           const struct row *r, const struct clfcn_channel *after,
                           int channel)
{
    const float *mean = clfcn_audit_kept(l->run, l->op->params[RUNNING_MEAN].value),
                *var = clfcn_audit_kept(l->run, l->op->params[RUNNING_VAR].value);
    const double rows = (double)l->x_row;
    if (!mean || !var || !after->training) {
        return;
    }
    const double m = mean[channel] + (after->mean - mean[channel]) / MOMENTUM;
    const double v = (var[channel] + (after->var - var[channel]) / MOMENTUM);
    double size = 0;
    for (size_t k = 0; k < l->x_row; ++k) {
        size += fabs(r->x[k]) / rows;
    }
    const size_t at = (size_t)channel;
    const double inverse = 1 / sqrt(fmax(v, 0) * (rows - 1) / rows + EPS);
    clfcn_judge_add(&n->state, 2 * at, l->state[2 * at], m, size);
    clfcn_judge_add(&n->state, 2 * at + 1, l->state[2 * at + 1], inverse, inverse);
    clfcn_judge_add(&n->mean, at, l->params[RUNNING_MEAN][channel], after->mean,
                    fabs(mean[channel]) + size);
    clfcn_judge_add(&n->var, at, l->params[RUNNING_VAR][channel], after->var,
                    fabs(var[channel]) + v);
}

static void add_gradients(const struct layer *l, struct norm_judges *n,
                          const struct row *r, int channel)
{
    double gamma = 0, beta = 0;
    if (!l->grads[GAMMA] || !l->grads[BETA]) {
        return;
    }
    for (size_t k = 0; k < l->x_row; ++k) {
        gamma += r->dy[k] * (r->x[k] - r->mean) * r->inverse;
        beta += r->dy[k];
    }
    clfcn_judge_add(&n->gamma, (size_t)channel, l->grads[GAMMA][channel], gamma,
                    r->product_sum);
    clfcn_judge_add(&n->beta, (size_t)channel, l->grads[BETA][channel], beta, r->dy_sum);
}

static void close_norm(struct norm_judges *n)
{
    clfcn_judge_end(&n->state);
    clfcn_judge_end(&n->mean);
    clfcn_judge_end(&n->var);
    clfcn_judge_end(&n->gamma);
    clfcn_judge_end(&n->beta);
}

static void compare(struct layer *l, const struct clfcn_channel_span *span)
{
    const struct clfcn_op *op = l->op;
    const struct clfcn_tensor *made = l->backward ? op->dx : op->y;
    const float *got = l->backward ? l->dx : l->y;
    const size_t row = l->backward ? l->x_row : l->y_row;
    const enum clfcn_audit_rigor rigor = is_norm(op) ? CLFCN_AUDIT_SUMMED
                                         : l->x2     ? CLFCN_AUDIT_ROUNDED
                                                     : CLFCN_AUDIT_COPIED;
    struct norm_judges norm;
    struct clfcn_judge j;
    open_norm(l, &norm);
    clfcn_judge_tensor(&j, l->run, l->backward ? "input gradient" : "output", rigor,
                       made ? made : op->x);
    /* The sums over all ranks, of which a gradient of the input is made, are not here. */
    const bool known =
        got && !(l->backward && is_norm(op) && synchronised(l->run->tap.net));
    for (int i = 0; i < l->count; ++i) {
        const int channel = l->first + i;
        struct row r;
        open_row(l, i, &r);
        const struct clfcn_channel after = define(l, &r, channel);
        for (size_t k = span->from; known && k < span->from + span->count; ++k) {
            clfcn_judge_add(&j, (size_t)channel * row + k, got[(size_t)i * row + k],
                            r.want[k], size_of(l, &r, channel, k));
        }
        if (is_norm(op) && l->backward) {
            add_gradients(l, &norm, &r, channel);
        } else if (is_norm(op)) {
            add_statistics(l, &norm, &r, &after, channel);
        }
    }
    close_norm(&norm); /* made first, so to be named first */
    clfcn_judge_end(&j);
}

int clfcn_audit_channel(struct clfcn_audit_run *run, struct clfcn_err *err)
{
    const struct clfcn_op *op = op_of(run);
    struct layer l = { .run = run,
                       .op = op,
                       .backward = run->unit->what == CLFCN_AUDIT_BACKWARD,
                       .x_row = clfcn_tensor_row(op->x),
                       .y_row = clfcn_tensor_row(op->y) };
    const struct clfcn_channel_span span = clfcn_channel_span(op, l.backward, run->part);
    l.count =
        clfcn_audit_channels(run, l.x_row > l.y_row ? op->x : op->y, op->x->c, &l.first);
    l.room = calloc(2 * (l.x_row + l.y_row) + l.y_row, sizeof(*l.room));
    int rc = l.room ? fetch(&l, err) : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        compare(&l, &span);
    }
    free(l.room);
    return rc;
}
