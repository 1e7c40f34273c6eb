/* model.c - a trained network as a command's argument. */
#include "model.h"
#include "../data/resize.h"
#include "../net/weights_match.h"
#include <string.h>

static int same_classes(const struct clfcn_classes *holds,
                        const struct clfcn_classes *given, const char *path,
                        const char *what, struct clfcn_err *err)
{
    if (holds->count != given->count) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "%s holds %d classes, %s %d", path,
                             holds->count, what, given->count);
    }
    for (int c = 0; c < holds->count; ++c) {
        if (strcmp(holds->list[c].name, given->list[c].name) != 0) {
            return clfcn_err_set(
                err, CLFCN_EDATA, 0,
                "class %d of %s is '%s', of %s '%s': not the same classes", c, path,
                holds->list[c].name, what, given->list[c].name);
        }
    }
    return CLFCN_OK;
}

/* Take arch and backbone from the options, where given, into desc. */
static int parse_names(const struct cli_model_options *o, struct clfcn_net_desc *desc,
                       struct clfcn_err *err)
{
    int rc = o->arch ? clfcn_arch_parse(o->arch, &desc->arch, err) : CLFCN_OK;
    if (rc < 0) {
        clfcn_err_note(err, "--arch");
        return rc;
    }
    rc = o->backbone ? clfcn_backbone_parse(o->backbone, &desc->backbone, err) : CLFCN_OK;
    if (rc < 0) {
        clfcn_err_note(err, "--backbone");
    }
    return rc;
}

/* What the option says, else what the checkpoint was trained with. */
static int choose_resize(struct cli_model *m, const struct cli_model_options *o,
                         struct clfcn_err *err)
{
    m->resize = m->info.has_metadata ? m->info.config.resize : CLFCN_RESIZE_BILINEAR;
    const int rc = o->resize ? clfcn_resize_parse(o->resize, &m->resize, err) : CLFCN_OK;
    if (rc < 0) {
        clfcn_err_note(err, "--resize");
    }
    return rc;
}

/* A checkpoint describes itself: options may repeat that, and change size and batch. */
static int describe_checkpoint(struct cli_model *m, const char *path,
                               const struct cli_model_options *o,
                               const struct clfcn_classes *given, const char *what,
                               struct clfcn_err *err)
{
    const struct clfcn_net_desc *holds = &m->info.net;
    m->desc = *holds;
    int rc = parse_names(o, &m->desc, err);
    if (rc < 0) {
        return rc;
    }
    if (m->desc.arch != holds->arch || m->desc.backbone != holds->backbone) {
        return clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "%s holds %s on %s, not %s on %s: leave --arch and --backbone out", path,
            clfcn_arch_name(holds->arch), clfcn_backbone_name(holds->backbone),
            clfcn_arch_name(m->desc.arch), clfcn_backbone_name(m->desc.backbone));
    }
    rc = given ? same_classes(&m->info.classes, given, path, what, err) : CLFCN_OK;
    if (rc < 0) {
        return rc;
    }
    return clfcn_classes_copy(&m->info.classes, &m->classes, err);
}

static int describe_bare(struct cli_model *m, const char *path,
                         const struct cli_model_options *o,
                         const struct clfcn_classes *given, struct clfcn_err *err)
{
    if (!o->arch || !o->backbone || !o->width || !given) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "%s has no description of its network: give --arch, --backbone, "
            "--size and --classes",
            path);
    }
    if (!clfcn_weights_match_one(&m->file, "classifier.weight")) {
        return clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "%s has no tensor 'classifier.weight': not a whole network; a "
            "backbone alone serves 'clfcn train --init'",
            path);
    }
    m->desc = (struct clfcn_net_desc){ .classes = given->count, .batch = 4 };
    int rc = parse_names(o, &m->desc, err);
    return rc < 0 ? rc : clfcn_classes_copy(given, &m->classes, err);
}

int cli_model_open(struct cli_model *model, const char *path,
                   const struct cli_model_options *options,
                   const struct clfcn_classes *dataset_classes, struct clfcn_err *err)
{
    struct clfcn_classes listed = { 0 };
    const struct clfcn_classes *given = dataset_classes;
    const char *what = "the data set";
    *model = (struct cli_model){ 0 };
    int rc = cli_input(clfcn_weights_open(path, &model->file, err), err);
    if (rc < 0) {
        goto out;
    }
    rc = clfcn_checkpoint_read_info(&model->file, path, &model->info, err);
    if (rc < 0) {
        goto out;
    }
    if (options->classes) {
        rc = cli_input(clfcn_classes_read(options->classes, &listed, err), err);
        if (rc == CLFCN_OK && given) {
            rc = same_classes(&listed, given, options->classes, "the data set", err);
        }
        if (rc < 0) {
            goto out;
        }
    }
    if (!given && options->classes) {
        given = &listed;
        what = options->classes;
    }
    rc = model->info.has_metadata
             ? describe_checkpoint(model, path, options, given, what, err)
             : describe_bare(model, path, options, given, err);
    if (rc < 0) {
        goto out;
    }
    if (options->width) {
        model->desc.width = options->width;
        model->desc.height = options->height;
    }
    if (options->batch) {
        model->desc.batch = options->batch;
    }
    rc = choose_resize(model, options, err);
    if (rc < 0) {
        goto out;
    }
    rc = clfcn_net_check_desc(&model->desc, err);
out:
    clfcn_classes_free(&listed);
    if (rc < 0) {
        cli_model_close(model);
    }
    return rc;
}

void cli_model_close(struct cli_model *model)
{
    clfcn_classes_free(&model->classes);
    clfcn_checkpoint_info_free(&model->info);
    clfcn_weights_close(&model->file);
    *model = (struct cli_model){ 0 };
}

int cli_model_build(struct cli_model *model, const char *path,
                    const struct cli_model_options *options, int images,
                    struct clfcn_dev *dev, struct clfcn_net **net, struct clfcn_err *err)
{
    const struct clfcn_net_options how = {
        .gemm = options->gemm,
        .workspace_bytes = options->workspace_bytes,
    };
    if (images < model->desc.batch) {
        model->desc.batch = images;
    }
    int rc = clfcn_net_create(dev, &model->desc, &how, net, err);
    if (rc < 0) {
        return rc;
    }
    rc = cli_input(clfcn_net_read_file(*net, &model->file, path, false, err), err);
    if (rc < 0) {
        clfcn_net_destroy(net);
    }
    return rc;
}
