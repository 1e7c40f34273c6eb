/* cmd_predict.c - clfcn predict: masks for pictures. */
#include "../train/predictor.h"
#include "../util/sys.h"
#include "model.h"
#include "predict.h"
#include "profile.h"
#include <limits.h>
#include <string.h>

/* What the command line asks for. */
struct ask {
    struct cli_model_options model;
    struct clfcn_predict_options predict;
    struct cli_results_how results;
    const char *loss;
    bool recursive;
};

static const char *choice_mode(int i)
{
    return clfcn_predict_mode_name((enum clfcn_predict_mode)i);
}

/* Whether an option was given, whatever its value. */
static bool is_given(const struct cli_option *options, const char *name)
{
    for (; options->name; ++options) {
        if (strcmp(options->name, name) == 0) {
            return options->raw != NULL;
        }
    }
    return false;
}

/* What does not depend on the network. */
static int check(struct ask *a, const struct cli_option *options, struct clfcn_err *err)
{
    const struct cli_results_how *r = &a->results;
    struct clfcn_predict_options *p = &a->predict;
    if (!r->out) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--out is missing: the folder for the masks");
    }
    if (!r->overlay && (r->legend || is_given(options, "alpha"))) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "%s is about overlays: add --overlay",
                             r->legend ? "--legend" : "--alpha");
    }
    if (!(r->alpha >= 0 && r->alpha <= 1)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "--alpha must be 0 to 1, not %g",
                             r->alpha);
    }
    if (r->logits && p->mode != CLFCN_PREDICT_RESIZE) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--logits are of the whole picture at the network's size: "
                             "leave --mode tiles out, or take --probs");
    }
    if (is_given(options, "scale") && p->scale <= 0) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "--scale must be more than 0, not %g",
                             p->scale);
    }
    if (is_given(options, "overlap")) {
        if (p->overlap < 0) {
            return clfcn_err_set(err, CLFCN_EINVAL, 0,
                                 "--overlap must be 0 or more pixels, not %d",
                                 p->overlap);
        }
        p->overlap = p->overlap == 0 ? -1 : p->overlap;
    }
    return CLFCN_OK;
}

/* The loss that the network was trained with. */
static int settle_loss(struct ask *a, const struct cli_model *model, const char *path,
                       struct clfcn_err *err)
{
    const int rc = a->loss ? clfcn_loss_parse(a->loss, &a->predict.loss, err) : CLFCN_OK;
    if (rc < 0) {
        clfcn_err_note(err, "--loss");
        return rc;
    }
    if (!model->info.has_metadata) {
        return CLFCN_OK;
    }
    const enum clfcn_loss trained = model->info.config.loss;
    if (a->loss && a->predict.loss != trained) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "%s was trained with %s, not %s: leave --loss out", path,
                             clfcn_loss_name(trained), a->loss);
    }
    a->predict.loss = trained;
    return CLFCN_OK;
}

/* The pictures, and that no two results get the same name. */
static int gather(const struct ask *a, const struct cli_line *line,
                  struct cli_inputs *inputs, struct clfcn_err *err)
{
    const struct cli_results_how *r = &a->results;
    const char *extra[CLFCN_MAX_CLASSES + 1];
    int count = 0;
    if (r->overlay) {
        extra[count++] = "overlay";
    }
    for (int c = 0; r->prob_maps && c < r->classes->count; ++c) {
        extra[count++] = r->map_names[c];
    }
    const struct cli_inputs_ask ask = {
        .paths = line->args + 1,
        .count = line->arg_count - 1,
        .recursive = a->recursive,
        .out = r->out,
        .extra = extra,
        .extra_count = count,
    };
    return cli_inputs_gather(inputs, &ask, err);
}

/* Images that the network sees in all, if that is known: it needs no larger batch. */
static int images_in_all(const struct ask *a, const struct cli_inputs *inputs)
{
    return a->predict.mode == CLFCN_PREDICT_TILES            ? INT_MAX
           : a->predict.flip && inputs->count <= INT_MAX / 2 ? 2 * inputs->count
                                                             : inputs->count;
}

/* Settle what is to be done before a device is asked for. */
static int prepare(struct ask *a, const struct cli_line *line, struct cli_model *model,
                   struct cli_inputs *inputs, struct clfcn_err *err)
{
    const char *path = line->args[0];
    int rc = cli_model_open(model, path, &a->model, NULL, err);
    if (rc == CLFCN_OK) {
        rc = settle_loss(a, model, path, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_predict_check(&a->predict, &model->desc, err);
    }
    if (rc < 0) {
        return rc;
    }
    a->predict.resize = model->resize;
    a->results.classes = &model->classes;
    a->results.net_width = model->desc.width;
    a->results.net_height = model->desc.height;
    a->results.map_names = cli_results_map_names(&model->classes);
    if (!a->results.map_names) {
        return clfcn_err_nomem(err);
    }
    return gather(a, line, inputs, err);
}

static int predict(struct ask *a, struct cli_env *env, const char *path,
                   struct cli_model *model, const struct cli_inputs *inputs,
                   struct clfcn_dev *dev, struct clfcn_err *err)
{
    struct clfcn_net *net = NULL;
    struct clfcn_predictor *predictor = NULL;
    int rc =
        cli_model_build(model, path, &a->model, images_in_all(a, inputs), dev, &net, err);
    if (rc == CLFCN_OK) {
        rc = cli_inputs_make_folders(inputs, a->results.out, err);
    }
    if (rc == CLFCN_OK) {
        clfcn_interrupt_install();
        a->predict.stop = clfcn_interrupt_flag();
        rc = clfcn_predictor_wrap(&net, &model->classes, &a->predict, &predictor, err);
    }
    if (rc == CLFCN_OK) {
        const struct cli_predict job = {
            .env = env,
            .predictor = predictor,
            .inputs = inputs,
            .results = a->results,
            .stop = a->predict.stop,
        };
        rc = cli_predict_run(&job, err);
    }
    clfcn_predictor_destroy(&predictor);
    clfcn_net_destroy(&net);
    return rc;
}

int cmd_predict(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    struct ask ask = { .results.alpha = 0.5 };
    struct cli_option options[] = {
        { .name = "out", .kind = CLI_STRING, .target = &ask.results.out, .arg = "DIR",
          .help = "folder for NAME.png: class numbers with the classes' colours as "
                  "palette, at the picture's size" },
        { .name = "recursive", .kind = CLI_FLAG, .target = &ask.recursive,
          .help = "also the pictures in folders within folders; names keep the path" },
        { .name = "mode", .kind = CLI_CHOICE, .target = &ask.predict.mode,
          .choice = choice_mode,
          .help = "resize: the whole picture at the network's size; tiles: cut into "
                  "overlapping pieces of that size" },
        { .name = "scale", .kind = CLI_DOUBLE, .target = &ask.predict.scale, .arg = "F",
          .dflt = "1", .help = "with tiles: resize pictures by this first" },
        { .name = "overlap", .kind = CLI_INT, .target = &ask.predict.overlap,
          .arg = "PIXELS", .dflt = "a quarter of the tile",
          .help = "with tiles: what neighbours share at least" },
        { .name = "flip", .kind = CLI_FLAG, .target = &ask.predict.flip,
          .help = "mean over the picture and its mirror image; takes twice the time" },
        { .name = "overlay", .kind = CLI_FLAG, .target = &ask.results.overlay,
          .help = "also NAME.overlay.png: the picture under the classes' colours" },
        { .name = "alpha", .kind = CLI_DOUBLE, .target = &ask.results.alpha, .arg = "A",
          .help = "strength of the overlay's colours, 0 to 1" },
        { .name = "legend", .kind = CLI_FLAG, .target = &ask.results.legend,
          .help = "name the colours below the overlay, which becomes higher" },
        { .name = "probs", .kind = CLI_FLAG, .target = &ask.results.probs,
          .help = "also NAME.probs.npy: float32 [class][height][width], probabilities "
                  "at the picture's size" },
        { .name = "prob-maps", .kind = CLI_FLAG, .target = &ask.results.prob_maps,
          .help = "also NAME.probs.CLASS.png: the same as gray pictures, 255 for 1" },
        { .name = "logits", .kind = CLI_FLAG, .target = &ask.results.logits,
          .help = "also NAME.npy: float32 [class][height][width] at the network's size" },
        CLI_MODEL_ROWS(&ask.model),
        { .name = "classes", .kind = CLI_STRING, .target = &ask.model.classes,
          .arg = "FILE", .help = "classes.txt (a bare weights file needs it)" },
        { .name = "loss", .kind = CLI_STRING, .target = &ask.loss, .arg = "NAME",
          .dflt = "as trained, else bce",
          .help = "that a bare weights file was trained with: tells how logits become "
                  "probabilities" },
        CLI_OPT_KERNEL_MS(env),
        CLI_OPT_PROFILE(env),
        { 0 },
    };
    struct cli_line line;
    struct cli_model model = { 0 };
    struct cli_inputs inputs = { 0 };
    struct clfcn_dev *dev = NULL;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc == CLFCN_OK) {
        rc = check(&ask, options, err);
    }
    if (rc == CLFCN_OK) {
        rc = prepare(&ask, &line, &model, &inputs, err);
    }
    if (rc != CLFCN_OK) {
        goto out;
    }
    rc = cli_device_open(env, &dev, err);
    if (rc == CLFCN_OK) {
        rc = cli_profile_start(env, dev, err);
    }
    if (rc == CLFCN_OK) {
        rc = predict(&ask, env, line.args[0], &model, &inputs, dev, err);
    }
out:
    clfcn_dev_close(&dev);
    rc = cli_profile_finish(env, rc, err);
    cli_results_free_names(ask.results.map_names, model.classes.count);
    cli_inputs_free(&inputs);
    cli_model_close(&model);
    cli_line_free(&line);
    return rc;
}
