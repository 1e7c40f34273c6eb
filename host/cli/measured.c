#include "measured.h"

#include "../report/bench_file.h"
#include "../report/history.h"
#include "../train/config.h"
#include "../util/path.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Backward pass over both, by the layers; NaN if one of them was not measured. */
static double backward_share(const struct clfcn_bench_run *run)
{
    double forward = 0.0, backward = 0.0;
    for (int i = 0; i < run->layer_count; ++i) {
        forward += run->layers[i].forward_ms;
        backward += isnan(run->layers[i].backward_ms) ? 0.0 : run->layers[i].backward_ms;
    }
    return forward > 0 && backward > 0 ? backward / (forward + backward) : NAN;
}

static int take_bench(const struct clfcn_bench_run *run, struct cli_measured *out,
                      struct clfcn_err *err)
{
    *out = (struct cli_measured){
        .desc = { .width = run->width,
                  .height = run->height,
                  .batch = run->batch,
                  .classes = run->classes },
        .ms = run->train.ms,
        .backward_share = backward_share(run),
    };
    int rc = clfcn_arch_parse(run->arch, &out->desc.arch, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_backbone_parse(run->backbone, &out->desc.backbone, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_loss_parse(run->loss, &out->loss, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_optimizer_parse(run->optimizer, &out->optimizer, err);
    }
    return rc;
}

static int read_bench(const char *path, struct cli_measured *out, struct clfcn_err *err)
{
    struct clfcn_bench_run *runs = calloc(CLFCN_BENCH_RUNS, sizeof(*runs));
    int count = 0;
    if (!runs) {
        return clfcn_err_nomem(err);
    }
    int rc = cli_input(clfcn_bench_file_read(path, runs, &count, err), err);
    if (rc == CLFCN_OK && count != 1) {
        rc = clfcn_err_set(err, CLFCN_EDATA, 0,
                           "%s: of %d networks or devices; give a file of one", path,
                           count);
    }
    if (rc == CLFCN_OK && !runs[0].failure) {
        rc = take_bench(&runs[0], out, err);
    }
    for (int i = 0; i < count; ++i) {
        clfcn_bench_run_free(&runs[i]);
    }
    free(runs);
    return rc;
}

static int take_run(const struct clfcn_history *h, struct cli_measured *out,
                    struct clfcn_err *err)
{
    struct clfcn_train_config config = { 0 };
    if (json_array_size(json_object_get(h->start, "ranks")) > 1) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "%s: of several ranks; give the run of one", h->dir);
    }
    const int rc = clfcn_config_from_json(h->config, &config, err);
    if (rc < 0) {
        return rc;
    }
    double ms[CLFCN_HISTORY_STRETCHES];
    int count = 0;
    for (int i = 0; i < h->stretch_count; ++i) {
        const double mean = clfcn_history_mean(&h->stretches[i].ms);
        if (isfinite(mean)) {
            ms[count++] = mean;
        }
    }
    *out = (struct cli_measured){
        .desc = { .arch = config.arch,
                  .backbone = config.backbone,
                  .width = config.width,
                  .height = config.height,
                  .batch = config.batch,
                  .classes = h->classes.count },
        .loss = config.loss,
        .optimizer = config.optimizer,
        .freeze_backbone = config.freeze_backbone,
        .ms = count > 0 ? cli_median(ms, count) : NAN,
        .backward_share = NAN,
    };
    return CLFCN_OK;
}

static int read_run(const char *dir, struct cli_measured *out, struct clfcn_err *err)
{
    struct clfcn_history *h = malloc(sizeof(*h));
    if (!h) {
        return clfcn_err_nomem(err);
    }
    int rc = cli_input(clfcn_history_read(h, dir, err), err);
    if (rc == CLFCN_OK) {
        rc = take_run(h, out, err);
    }
    clfcn_history_close(h);
    free(h);
    return rc;
}

int cli_measured_read(const char *path, struct cli_measured *out, struct clfcn_err *err)
{
    *out = (struct cli_measured){ .ms = NAN };
    int rc =
        clfcn_path_is_dir(path) ? read_run(path, out, err) : read_bench(path, out, err);
    if (rc == CLFCN_EINVAL) { /* names that this version does not know */
        rc = clfcn_err_set(err, CLFCN_EDATA, 0, "%s: of a network unknown here", path);
    }
    if (rc == CLFCN_OK && !(out->ms > 0)) {
        rc =
            clfcn_err_set(err, CLFCN_EDATA, 0, "%s: no training step was measured", path);
    }
    if (rc == CLFCN_OK && clfcn_net_check_desc(&out->desc, NULL) < 0) {
        rc = clfcn_err_set(err, CLFCN_EDATA, 0, "%s: of a network that cannot be", path);
    }
    return rc;
}

static struct cli_option *find(struct cli_option *options, const char *name)
{
    while (strcmp(options->name, name) != 0) {
        ++options;
    }
    return options;
}

/* theirs holds what the option's target would. */
static int other(const struct cli_option *o, void *theirs, int *height, const char *path,
                 struct clfcn_err *err)
{
    struct cli_option was = *o;
    char text[64];
    was.target = theirs;
    was.height = height;
    cli_value_text(&was, text, sizeof(text));
    return clfcn_err_set(err, CLFCN_EINVAL, 0, "--%s %s: %s was measured with %s",
                         o->name, o->raw, path, text);
}

/* An option of kind CLI_INT or CLI_CHOICE. */
static int adopt(struct cli_option *options, const char *name, int theirs,
                 const char *path, struct clfcn_err *err)
{
    struct cli_option *o = find(options, name);
    if (!o->raw) {
        memcpy(o->target, &theirs, sizeof(theirs));
    }
    return memcmp(o->target, &theirs, sizeof(theirs)) == 0
               ? CLFCN_OK
               : other(o, &theirs, NULL, path, err);
}

static int adopt_size(struct cli_option *options, int width, int height, const char *path,
                      struct clfcn_err *err)
{
    struct cli_option *o = find(options, "size");
    int *mine = o->target;
    if (!o->raw) {
        *mine = width;
        *o->height = height;
    }
    return *mine == width && *o->height == height ? CLFCN_OK
                                                  : other(o, &width, &height, path, err);
}

/* A flag can be given, but not taken back. */
static int adopt_frozen(struct cli_option *options, bool theirs, const char *path,
                        struct clfcn_err *err)
{
    struct cli_option *o = find(options, "freeze-backbone");
    if (o->raw && !theirs) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "--%s: %s was measured without",
                             o->name, path);
    }
    *(bool *)o->target = theirs;
    return CLFCN_OK;
}

int cli_measured_adopt(const struct cli_measured *measured, const char *path,
                       struct cli_option *options, struct clfcn_err *err)
{
    const struct clfcn_net_desc *desc = &measured->desc;
    const struct {
        const char *option;
        int value;
    } values[] = {
        { "arch", (int)desc->arch },
        { "backbone", (int)desc->backbone },
        { "classes", desc->classes },
        { "loss", (int)measured->loss },
        { "optimizer", (int)measured->optimizer },
    };
    struct cli_option *batch = find(options, "batch");
    if (!batch->raw) {
        *(int *)batch->target = desc->batch;
    }
    int rc = adopt_size(options, desc->width, desc->height, path, err);
    for (int i = 0; i < CLFCN_ARRAY_LEN(values) && rc == CLFCN_OK; ++i) {
        rc = adopt(options, values[i].option, values[i].value, path, err);
    }
    return rc == CLFCN_OK ? adopt_frozen(options, measured->freeze_backbone, path, err)
                          : rc;
}
