/* audit_step.c - what is no layer's: the upload, the loss, clipping, the update. */
#include "audit_impl.h"

#include "../ops/ref.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Numbers of a loss or an upload that take a moment; more are looked at in part. */
enum { FEW = 4 << 20, BLOCK = 1 << 16 };

static const struct clfcn_slot *slot_of(const struct clfcn_audit_run *run)
{
    return &run->tap.net->slots[run->tap.slot];
}

/* --- upload --- */

static int check_labels(struct clfcn_audit_run *run, struct clfcn_err *err)
{
    const struct clfcn_slot *s = slot_of(run);
    const struct clfcn_tensor *x = &run->tap.net->graph.values[0].tensor;
    const size_t pixels = clfcn_tensor_row(x);
    const int64_t dims[] = { x->n, x->h, x->w };
    uint8_t *got = malloc(pixels);
    struct clfcn_judge j;
    const int rc =
        got ? clfcn_buffer_read(run->tap.net->dev,
                                s->shared_labels ? s->shared_labels : s->labels, 0,
                                pixels, got, err)
            : clfcn_err_nomem(err);
    clfcn_judge_begin(&j, run, "labels", CLFCN_AUDIT_COPIED, 3, dims);
    for (size_t i = 0; rc == CLFCN_OK && i < pixels; ++i) {
        clfcn_judge_add(&j, i, got[i], s->input.labels[i], s->input.labels[i]);
    }
    clfcn_judge_end(&j);
    free(got);
    return rc;
}

int clfcn_audit_upload(struct clfcn_audit_run *run, struct clfcn_err *err)
{
    const struct clfcn_tensor *x = &run->tap.net->graph.values[0].tensor;
    const float *want = slot_of(run)->input.images;
    const size_t total = clfcn_tensor_count(x), count = total < FEW ? total : FEW;
    const size_t most = total - count;
    const size_t first = (size_t)(clfcn_rng_double(&run->rng) * (double)(most + 1));
    const struct clfcn_piece piece = {
        .mem = x->mem, .first = first, .length = count, .rows = 1
    };
    float *got = NULL;
    struct clfcn_judge j;
    const int rc = clfcn_audit_fetch(run, &piece, &got, err);
    clfcn_judge_tensor(&j, run, "images", CLFCN_AUDIT_COPIED, x);
    for (size_t i = 0; rc == CLFCN_OK && i < count; ++i) {
        clfcn_judge_add(&j, first + i, got[i], want[first + i], fabs(want[first + i]));
    }
    clfcn_judge_end(&j);
    return rc < 0 ? rc : check_labels(run, err);
}

/* --- loss --- */

/* Logits and labels of some pixels of the batch, [classes][row]. */
struct pixels {
    const struct clfcn_loss_op *loss;
    struct clfcn_loss_how how;
    size_t step, row; /* every so many-th pixel, from the first one on; how many */
    double *logits, *want;
    uint8_t *labels;
};

static void pixels_free(struct pixels *p)
{
    free(p->logits);
    free(p->want);
    free(p->labels);
}

static int pixels_read(struct clfcn_audit_run *run, struct pixels *p,
                       struct clfcn_err *err)
{
    const struct clfcn_slot *s = slot_of(run);
    const struct clfcn_tensor *t =
        &run->tap.net->graph.values[run->tap.net->graph.logits].tensor;
    const size_t whole = clfcn_tensor_row(t), classes = (size_t)t->c;
    p->step = (whole * classes + FEW - 1) / FEW;
    p->row = (whole + p->step - 1) / p->step;
    p->logits = calloc(classes * p->row, sizeof(*p->logits));
    p->want = calloc(classes * p->row, sizeof(*p->want));
    p->labels = malloc(whole);
    int rc = p->logits && p->want && p->labels ? CLFCN_OK : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = clfcn_buffer_read(run->tap.net->dev,
                               s->shared_labels ? s->shared_labels : s->labels, 0, whole,
                               p->labels, err);
    }
    for (size_t c = 0; rc == CLFCN_OK && c < classes; ++c) {
        const struct clfcn_piece piece = clfcn_piece_channels(t, (int)c, 1);
        float *logits = NULL;
        rc = clfcn_audit_fetch(run, &piece, &logits, err);
        for (size_t i = 0; rc == CLFCN_OK && i < p->row; ++i) {
            p->logits[c * p->row + i] = logits[i * p->step];
        }
        clfcn_audit_forget(run);
    }
    for (size_t i = 0; rc == CLFCN_OK && i < p->row; ++i) {
        p->labels[i] = p->labels[i * p->step];
    }
    return rc;
}

/* What a gradient of a logit may be made of, at most: they cancel out where the network
 * is right. */
static double gradient_size(const struct pixels *p, double terms)
{
    const int classes = p->loss->classes;
    int64_t counts[CLFCN_IGNORE + 1] = { 0 };
    double most = 0, slope = 0;
    for (size_t i = 0; i < p->row; ++i) {
        ++counts[p->labels[i]];
    }
    for (int c = 0; c < classes; ++c) {
        most = fmax(most, p->loss->weights[c]);
        slope = fmax(slope, 2 * p->loss->weights[c] / (double)(counts[c] + 1));
    }
    if (p->loss->kind == CLFCN_LOSS_DICE) {
        return slope / clfcn_loss_weight_sum(p->loss->weights, classes);
    }
    const double gamma = p->loss->kind == CLFCN_LOSS_FOCAL ? p->loss->gamma : 0;
    return terms > 0 ? most * (1 + gamma) / terms : 0;
}

static int judge_gradient(struct clfcn_audit_run *run, const struct pixels *p,
                          double scale, double size, struct clfcn_err *err)
{
    const struct clfcn_tensor *t =
        run->tap.net->graph.values[run->tap.net->graph.logits].grad;
    const size_t whole = clfcn_tensor_row(t);
    struct clfcn_judge j;
    int rc = CLFCN_OK;
    clfcn_judge_tensor(&j, run, "logits gradient", CLFCN_AUDIT_SUMMED, t);
    for (int c = 0; rc == CLFCN_OK && c < t->c; ++c) {
        const struct clfcn_piece piece = clfcn_piece_channels(t, c, 1);
        float *got = NULL;
        rc = clfcn_audit_fetch(run, &piece, &got, err);
        for (size_t i = 0; rc == CLFCN_OK && i < p->row; ++i) {
            clfcn_judge_add(&j, (size_t)c * whole + i * p->step, got[i * p->step],
                            scale * p->want[(size_t)c * p->row + i], size);
        }
        clfcn_audit_forget(run);
    }
    clfcn_judge_end(&j);
    return rc;
}

/* Where single pixels agree to rounding, the mean of many does to this. */
static const double LEAST_LOSS = 1e-2;

static int judge_loss(struct clfcn_audit_run *run, const struct pixels *p, double want,
                      struct clfcn_err *err)
{
    const int64_t one[] = { 1 };
    const size_t at = (size_t)run->tap.slot * CLFCN_STEP_RESULTS * sizeof(float);
    struct clfcn_judge j;
    float got = NAN;
    const int rc = clfcn_buffer_read(run->tap.net->dev, run->tap.net->results, at,
                                     sizeof(got), &got, err);
    clfcn_judge_begin(&j, run, "loss", CLFCN_AUDIT_SUMMED, 1, one);
    if (rc == CLFCN_OK && p->step == 1) {
        clfcn_judge_add(&j, 0, got, want, fabs(want) + LEAST_LOSS);
    }
    clfcn_judge_end(&j);
    return rc;
}

int clfcn_audit_loss(struct clfcn_audit_run *run, struct clfcn_err *err)
{
    const struct clfcn_slot *s = slot_of(run);
    struct clfcn_net *net = run->tap.net;
    struct pixels p = { .loss = &net->loss,
                        .how = { .kind = net->loss.kind,
                                 .weights = net->loss.weights,
                                 .gamma = net->loss.gamma } };
    int rc = pixels_read(run, &p, err);
    if (rc == CLFCN_OK) {
        const double loss =
            clfcn_ref_loss(&p.how, net->loss.classes, p.row, p.logits, p.labels, p.want);
        /* The definition divides by what these pixels count, the device by what those of
         * all ranks do. */
        int64_t labelled = 0;
        double own = 0;
        for (size_t i = 0; i < p.row; ++i) {
            const uint8_t label = p.labels[i];
            labelled += label != CLFCN_IGNORE;
            own += label != CLFCN_IGNORE ? net->loss.weights[label] : 0;
        }
        own = net->loss.kind == CLFCN_LOSS_CE    ? own
              : net->loss.kind == CLFCN_LOSS_BCE ? (double)labelled * net->loss.classes
                                                 : (double)labelled;
        const bool dice = net->loss.kind == CLFCN_LOSS_DICE;
        const double scale = dice ? 1 : s->terms > 0 ? own / s->terms : 0;
        rc = judge_loss(run, &p, scale * loss, err);
        if (rc == CLFCN_OK) {
            rc = judge_gradient(run, &p, scale, gradient_size(&p, s->terms), err);
        }
    }
    pixels_free(&p);
    return rc;
}

/* --- clipping --- */

static int read_results(struct clfcn_audit_run *run, float norm[2], struct clfcn_err *err)
{
    const size_t at =
        (size_t)run->tap.slot * CLFCN_STEP_RESULTS + (size_t)CLFCN_STEP_NORM;
    return clfcn_buffer_read(run->tap.net->dev, run->tap.net->results, at * sizeof(float),
                             2 * sizeof(float), norm, err);
}

int clfcn_audit_clip(struct clfcn_audit_run *run, struct clfcn_err *err)
{
    const struct clfcn_params *ps = &run->tap.net->params;
    const double limit = run->tap.net->options.clip_norm;
    const size_t count = ps->trained_end / sizeof(float);
    const struct clfcn_piece whole = clfcn_piece_whole(ps->grads, count);
    const float *before = clfcn_audit_kept(run, ps->grads);
    const int64_t one[] = { 1 }, all[] = { (int64_t)count };
    float *after = NULL, results[2] = { NAN, NAN };
    double norm = 0;
    struct clfcn_judge n, f, g;
    int rc = before ? clfcn_audit_fetch(run, &whole, &after, err) : CLFCN_OK;
    if (rc == CLFCN_OK) {
        rc = read_results(run, results, err);
    }
    clfcn_judge_begin(&n, run, "gradient norm", CLFCN_AUDIT_SUMMED, 1, one);
    clfcn_judge_begin(&f, run, "factor", CLFCN_AUDIT_ROUNDED, 1, one);
    clfcn_judge_begin(&g, run, "gradients", CLFCN_AUDIT_ROUNDED, 1, all);
    for (size_t i = 0; rc == CLFCN_OK && before && i < count; ++i) {
        const double want = (double)before[i] * results[1];
        norm += (double)before[i] * before[i];
        clfcn_judge_add(&g, i, after[i], want, fabs(want));
    }
    if (rc == CLFCN_OK && before) {
        const double factor = fmin(1, limit / (results[0] + 1e-6));
        clfcn_judge_add(&n, 0, results[0], sqrt(norm), sqrt(norm));
        clfcn_judge_add(&f, 0, results[1], factor, factor);
    }
    clfcn_judge_end(&n);
    clfcn_judge_end(&f);
    clfcn_judge_end(&g);
    return rc;
}

/* --- update --- */

int clfcn_audit_keep_update(struct clfcn_audit_run *run, struct clfcn_err *err)
{
    struct clfcn_net *net = run->tap.net;
    const struct clfcn_params *ps = &net->params;
    if (run->unit->what == CLFCN_AUDIT_CLIP) {
        const struct clfcn_piece grads =
            clfcn_piece_whole(ps->grads, ps->trained_end / sizeof(float));
        return clfcn_audit_keep(run, &grads, err);
    }
    const struct clfcn_op *op = net->graph.ops[run->unit->op];
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < op->param_count; ++i) {
        const struct clfcn_param *p = &op->params[i];
        const cl_mem mems[] = { p->value, p->states[0], p->states[1] };
        for (int k = 0; rc == CLFCN_OK && p->learned && k <= ps->state_count; ++k) {
            const struct clfcn_piece piece = clfcn_piece_whole(mems[k], p->count);
            rc = clfcn_audit_keep(run, &piece, err);
        }
    }
    return rc;
}

/* A parameter's value and its optimiser's states, before and after. */
struct update {
    const float *before[3], *after[3], *gradient;
    struct clfcn_judge judges[3];
    char names[3][128];
};

/* What belongs in elements first .. first+count-1, at most BLOCK. */
static void judge_block(struct clfcn_audit_run *run, struct update *u, size_t first,
                        size_t count, double room[4][BLOCK])
{
    const struct clfcn_net_hyper *h = run->tap.hyper;
    const int states = run->tap.net->params.state_count;
    const bool coupled = run->tap.net->options.optimizer != CLFCN_ADAMW;
    for (size_t i = 0; i < count; ++i) {
        for (int k = 0; k <= states; ++k) {
            room[k][i] = u->before[k][first + i];
        }
        room[3][i] = u->gradient[first + i];
    }
    clfcn_ref_optim(run->tap.net->options.optimizer, count, h->lr, h->momentum,
                    h->weight_decay, h->beta1, h->beta2, h->eps, h->update, room[0],
                    room[3], room[1], room[2]);
    for (size_t i = 0; i < count; ++i) {
        const size_t at = first + i;
        const double decay = coupled ? h->weight_decay * fabs(u->before[0][at]) : 0;
        const double g = fabs(u->gradient[at]) + decay;
        const double sizes[] = { 0, g, states > 1 ? g * g : 0 };
        for (int k = 0; k <= states; ++k) {
            clfcn_judge_add(&u->judges[k], at, u->after[k][at], room[k][i],
                            fabs(u->before[k][at]) + fabs(room[k][i]) + sizes[k]);
        }
    }
}

static int judge_update(struct clfcn_audit_run *run, const struct clfcn_op *op,
                        const struct clfcn_param *p, struct clfcn_err *err)
{
    const struct clfcn_net *net = run->tap.net;
    const cl_mem mems[] = { p->value, p->states[0], p->states[1] };
    const struct clfcn_piece gradient = clfcn_piece_whole(p->grad, p->count);
    struct update u;
    float *host = NULL;
    double(*room)[BLOCK] = calloc(4, sizeof(*room));
    int rc = room ? clfcn_audit_fetch(run, &gradient, &host, err) : clfcn_err_nomem(err);
    u.gradient = host;
    for (int k = 0; rc == CLFCN_OK && k <= net->params.state_count; ++k) {
        const struct clfcn_piece piece = clfcn_piece_whole(mems[k], p->count);
        snprintf(u.names[k], sizeof(u.names[k]), "%s%s.%s%s%s", k ? "optim." : "",
                 k ? clfcn_optim_state_name(net->options.optimizer, k - 1) : op->prefix,
                 k ? op->prefix : p->suffix, k ? "." : "", k ? p->suffix : "");
        clfcn_judge_begin(&u.judges[k], run, u.names[k], CLFCN_AUDIT_ROUNDED, p->ndim,
                          p->dims);
        u.before[k] = clfcn_audit_kept(run, mems[k]);
        rc = clfcn_audit_fetch(run, &piece, &host, err);
        u.after[k] = host;
    }
    for (size_t i = 0; rc == CLFCN_OK && u.before[0] && i < p->count; i += BLOCK) {
        judge_block(run, &u, i, p->count - i < BLOCK ? p->count - i : BLOCK, room);
    }
    for (int k = net->params.state_count; rc == CLFCN_OK && k >= 0; --k) {
        clfcn_judge_end(&u.judges[k]); /* what is made first is named first */
    }
    free(room);
    return rc;
}

int clfcn_audit_update(struct clfcn_audit_run *run, struct clfcn_err *err)
{
    const struct clfcn_op *op = run->tap.net->graph.ops[run->unit->op];
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < op->param_count; ++i) {
        rc =
            op->params[i].learned ? judge_update(run, op, &op->params[i], err) : CLFCN_OK;
    }
    return rc;
}
