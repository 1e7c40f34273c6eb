#include "diverge_impl.h"

#include "../device/prof.h"
#include "../util/flag.h"
#include "../util/rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One label in so many is CLFCN_IGNORE. */
enum { IGNORED = 16 };

/* A batch of noise. */
struct batch {
    float *images;
    uint8_t *labels;
    int64_t labelled;
};

/* Those of `clfcn train`. */
static const struct clfcn_net_hyper usual = {
    .lr = 1e-2, .momentum = 0.7, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8
};

static void draw(struct batch *b, const struct clfcn_net_desc *desc, uint64_t seed,
                 int step)
{
    const size_t pixels =
        (size_t)desc->batch * (size_t)desc->width * (size_t)desc->height;
    struct clfcn_rng rng;
    clfcn_rng_init(&rng, seed, "diverge", (uint64_t)step, 0);
    b->labelled = 0;
    for (size_t i = 0; i < 3 * pixels; ++i) {
        b->images[i] = (float)(4 * clfcn_rng_double(&rng) - 2);
    }
    for (size_t i = 0; i < pixels; ++i) {
        const bool ignored = clfcn_rng_below(&rng, IGNORED) == 0;
        b->labels[i] = ignored ? CLFCN_IGNORE
                               : (uint8_t)clfcn_rng_below(&rng, (uint32_t)desc->classes);
        b->labelled += !ignored;
    }
}

int clfcn_diverge_begin(struct clfcn_diverge_run *run, const char *layer,
                        const char *pass, struct clfcn_err *err)
{
    const struct clfcn_diverge_how *how = run->how;
    if (clfcn_flag_is_set(how->stop)) {
        return clfcn_err_set(err, CLFCN_EINTR, 0, "interrupted");
    }
    if (how->progress) {
        how->progress(how->user, run->step, layer, pass);
    }
    for (int s = 0; s < 2; ++s) {
        clfcn_ran_forget(run->net[s]->dev, &run->ran[s]);
    }
    return CLFCN_OK;
}

int clfcn_diverge_blame(int rc, int side, struct clfcn_err *err)
{
    if (rc < 0) {
        clfcn_err_note(err, "device %c", "AB"[side]);
    }
    return rc;
}

/* --- what is no op's --- */

static int check_images(struct clfcn_diverge_run *run, struct clfcn_err *err)
{
    const struct clfcn_graph *a = &run->net[0]->graph, *b = &run->net[1]->graph;
    struct clfcn_diverge_tensor t = {
        .layer = "input", .kind = "transfer", .pass = "upload", .name = "images", .op = -1
    };
    clfcn_diverge_place(&t, &a->values[0].tensor, &b->values[0].tensor);
    return clfcn_diverge_check(run, &t, err);
}

static int upload(struct clfcn_diverge_run *run, const struct batch *b,
                  struct clfcn_err *err)
{
    const struct clfcn_net_input in = { .images = b->images,
                                        .labels = b->labels,
                                        .labelled = b->labelled };
    int rc = clfcn_diverge_begin(run, "input", "upload", err);
    for (int s = 0; rc == CLFCN_OK && s < 2; ++s) {
        rc = clfcn_net_upload(run->net[s], 0, &in, err);
        if (rc == CLFCN_OK) {
            rc = clfcn_net_enter(run->net[s], 0, err);
        }
        clfcn_diverge_blame(rc, s, err);
    }
    return rc < 0 ? rc : check_images(run, err);
}

static int loss(struct clfcn_diverge_run *run, struct clfcn_err *err)
{
    struct clfcn_net *const *net = run->net;
    struct clfcn_diverge_step *step = &run->out->steps[run->step - 1];
    struct clfcn_diverge_tensor t = {
        .layer = "loss",
        .kind = clfcn_loss_name(net[0]->options.loss),
        .pass = "loss",
        .name = "loss",
        .op = -1,
        .ndim = 1,
        .dims = { 1 },
        .rigor = CLFCN_SUMMED,
        .mem = { net[0]->results, net[1]->results },
    };
    int rc = clfcn_diverge_begin(run, "loss", "loss", err);
    for (int s = 0; rc == CLFCN_OK && s < 2; ++s) {
        rc = clfcn_diverge_blame(clfcn_net_loss(net[s], 0, err), s, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_diverge_check(run, &t, err);
    }
    if (rc < 0) {
        return rc;
    }
    step->loss[0] = run->host[0][0];
    step->loss[1] = run->host[1][0];
    if (!isfinite(step->loss[0]) && !isfinite(step->loss[1]) && !run->out->found) {
        return clfcn_err_set(err, CLFCN_ENUMERIC, 0,
                             "the loss of step %d is not finite on either device",
                             run->step);
    }
    t.name = "logits gradient";
    clfcn_diverge_place(&t, net[0]->graph.values[net[0]->graph.logits].grad,
                        net[1]->graph.values[net[1]->graph.logits].grad);
    return clfcn_diverge_check(run, &t, err);
}

/* Parameters and optimiser state as they lie in the buffers, whose layouts may differ; of
 * an update, what it changes. */
static int check_tensors(struct clfcn_diverge_run *run, const char *pass,
                         enum clfcn_diverge_rigor rigor, struct clfcn_err *err)
{
    struct clfcn_net *const *net = run->net;
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < net[0]->tensor_count; ++i) {
        const struct clfcn_tensor_entry *e[] = { &net[0]->tensors[i],
                                                 &net[1]->tensors[i] };
        const bool skip = e[0]->place == CLFCN_ON_HOST ||
                          (rigor != CLFCN_SAME_BITS && !e[0]->param->learned);
        if (skip) {
            continue;
        }
        const bool value = e[0]->place == CLFCN_IN_VALUES;
        struct clfcn_diverge_tensor t = {
            .layer = "parameters",
            .kind = clfcn_optimizer_name(net[0]->options.optimizer),
            .pass = pass,
            .name = e[0]->name,
            .ndim = e[0]->param->ndim,
            .op = -1,
            .rigor = rigor,
            .offset = { e[0]->offset, e[1]->offset },
            .part = value && e[0]->param->learned ? CLFCN_PART_WEIGHTS : CLFCN_PART_NONE,
        };
        memcpy(t.dims, e[0]->param->dims, sizeof(t.dims));
        for (int s = 0; s < 2; ++s) {
            const struct clfcn_params *ps = &net[s]->params;
            t.mem[s] = value ? ps->values : ps->states[e[s]->state];
        }
        rc = clfcn_diverge_check(run, &t, err);
    }
    return rc;
}

static int update(struct clfcn_diverge_run *run, struct clfcn_err *err)
{
    struct clfcn_net_hyper hyper = usual;
    int rc = clfcn_diverge_begin(run, "parameters", "update", err);
    hyper.update = run->step;
    for (int s = 0; rc == CLFCN_OK && s < 2; ++s) {
        rc = clfcn_diverge_blame(clfcn_net_update(run->net[s], -1, 0, &hyper, err), s,
                                 err);
    }
    return rc < 0 ? rc : check_tensors(run, "update", CLFCN_ROUNDED, err);
}

/* --- steps --- */

static double ratio(double part, double whole)
{
    return part > 0.0 ? sqrt(part / whole) : 0.0;
}

static void close_step(struct clfcn_diverge_run *run)
{
    ++run->out->steps_done;
    struct clfcn_diverge_step *step = &run->out->steps[run->step - 1];
    step->gradient[0] = sqrt(run->gradient[0]);
    step->gradient[1] = sqrt(run->gradient[1]);
    step->gradient_apart = ratio(run->gradient_apart, run->gradient[0]);
    step->weights_apart = ratio(run->weights_apart, run->weights);
}

static int run_step(struct clfcn_diverge_run *run, const struct batch *batch,
                    struct clfcn_err *err)
{
    const struct clfcn_graph *graph = &run->net[0]->graph;
    int rc = upload(run, batch, err);
    for (int i = 0; rc == CLFCN_OK && i < graph->op_count; ++i) {
        rc = clfcn_diverge_forward(run, i, err);
    }
    if (rc == CLFCN_OK) {
        rc = loss(run, err);
    }
    for (int i = graph->op_count - 1; rc == CLFCN_OK && i >= 0; --i) {
        rc = graph->active[i] ? clfcn_diverge_backward(run, i, err) : CLFCN_OK;
    }
    if (rc == CLFCN_OK) {
        rc = update(run, err);
    }
    for (int s = 0; rc == CLFCN_OK && s < 2; ++s) {
        rc = clfcn_diverge_blame(clfcn_net_wait(run->net[s], 0, NULL, err), s, err);
    }
    return rc;
}

/* The initial weights must be the same bits; then step by step. */
static int run_steps(struct clfcn_diverge_run *run, struct batch *batch,
                     struct clfcn_err *err)
{
    int rc = clfcn_diverge_begin(run, "parameters", "start", err);
    if (rc == CLFCN_OK) {
        rc = check_tensors(run, "start", CLFCN_SAME_BITS, err);
    }
    const int first_row = run->row;
    while (rc == CLFCN_OK && run->step < run->how->steps) {
        ++run->step;
        run->row = first_row;
        run->gradient[0] = run->gradient[1] = run->gradient_apart = 0.0;
        run->weights = run->weights_apart = 0.0;
        draw(batch, &run->net[0]->desc, run->how->seed, run->step);
        rc = run_step(run, batch, err);
        if (rc == CLFCN_OK) {
            close_step(run);
        }
    }
    return rc;
}

static int create_nets(struct clfcn_diverge_run *run, struct clfcn_dev *const dev[2],
                       const struct clfcn_net_desc *desc,
                       const struct clfcn_net_options *options, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int s = 0; rc == CLFCN_OK && s < 2; ++s) {
        rc = clfcn_net_create(dev[s], desc, options, &run->net[s], err);
        if (rc == CLFCN_OK) {
            rc = clfcn_net_init(run->net[s], run->how->seed, err);
        }
        clfcn_diverge_blame(rc, s, err);
    }
    return rc;
}

int clfcn_diverge_run(struct clfcn_dev *const dev[2], const struct clfcn_net_desc *desc,
                      const struct clfcn_net_options *options,
                      const struct clfcn_diverge_how *how, struct clfcn_diverge *out,
                      struct clfcn_err *err)
{
    struct clfcn_diverge_run run = { .how = how, .out = out };
    *out = (struct clfcn_diverge){ .steps =
                                       calloc((size_t)how->steps, sizeof(*out->steps)) };
    int rc = create_nets(&run, dev, desc, options, err);
    const size_t pixels =
        (size_t)desc->batch * (size_t)desc->width * (size_t)desc->height;
    struct batch batch = { .images = rc < 0 ? NULL : calloc(pixels, 3 * sizeof(float)),
                           .labels = rc < 0 ? NULL : calloc(pixels, 1) };
    if (rc == CLFCN_OK && (!out->steps || !batch.images || !batch.labels)) {
        rc = clfcn_err_nomem(err);
    }
    if (rc == CLFCN_OK) {
        clfcn_ran_listen(dev[0], &run.ran[0]);
        clfcn_ran_listen(dev[1], &run.ran[1]);
        rc = run_steps(&run, &batch, err);
    }
    for (int s = 0; s < 2; ++s) {
        clfcn_net_destroy(&run.net[s]);
        clfcn_prof_listen(dev[s], NULL, NULL);
        free(run.host[s]);
    }
    free(run.before);
    free(batch.images);
    free(batch.labels);
    return rc;
}

void clfcn_diverge_free(struct clfcn_diverge *diverge)
{
    free(diverge->rows);
    free(diverge->steps);
    *diverge = (struct clfcn_diverge){ 0 };
}
