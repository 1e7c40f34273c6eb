/* predictor_open.c - a predictor from a file: a checkpoint, which describes itself, or
 * bare weights. */
#include "predictor.h"
#include "../net/weights_match.h"
#include "../util/strbuf.h"
#include "checkpoint.h"

/* Classes that nobody named: "0", "1", ... */
static int number_classes(int count, struct clfcn_classes *out, struct clfcn_err *err)
{
    struct clfcn_strbuf text = { 0 };
    for (int c = 0; c < count; ++c) {
        clfcn_strbuf_add(&text, "%d %d\n", c, c);
    }
    const int rc = text.failed ? clfcn_err_nomem(err)
                               : clfcn_classes_parse(text.str, "classes", out, err);
    clfcn_strbuf_free(&text);
    return rc;
}

static int describe_bare(const struct clfcn_weights_file *f, const char *path,
                         const struct clfcn_predict_options *o,
                         struct clfcn_net_desc *desc, struct clfcn_classes *classes,
                         struct clfcn_err *err)
{
    if (!clfcn_weights_match_one(f, "classifier.weight")) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "%s has no tensor 'classifier.weight': not a whole network",
                             path);
    }
    *desc = o->net;
    desc->batch = desc->batch ? desc->batch : 4;
    int rc = clfcn_net_check_desc(desc, err);
    if (rc < 0) {
        clfcn_err_note(err, "%s does not describe its network, the options must", path);
        return rc;
    }
    rc = o->classes ? clfcn_classes_read(o->classes, classes, err)
                    : number_classes(desc->classes, classes, err);
    if (rc == CLFCN_OK && classes->count != desc->classes) {
        rc =
            clfcn_err_set(err, CLFCN_EINVAL, 0, "%s names %d classes, the network has %d",
                          o->classes, classes->count, desc->classes);
    }
    return rc;
}

static int describe(const struct clfcn_weights_file *f, const char *path,
                    struct clfcn_predict_options *o, struct clfcn_net_desc *desc,
                    struct clfcn_classes *classes, struct clfcn_err *err)
{
    struct clfcn_checkpoint_info info;
    int rc = clfcn_checkpoint_read_info(f, path, &info, err);
    if (rc < 0) {
        return rc;
    }
    if (!info.has_metadata) {
        return describe_bare(f, path, o, desc, classes, err);
    }
    *desc = info.net;
    desc->width = o->net.width ? o->net.width : desc->width;
    desc->height = o->net.height ? o->net.height : desc->height;
    desc->batch = o->net.batch ? o->net.batch : desc->batch;
    o->loss = info.config.loss;
    o->resize = info.config.resize;
    rc = clfcn_net_check_desc(desc, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_classes_copy(&info.classes, classes, err);
    }
    clfcn_checkpoint_info_free(&info);
    return rc;
}

int clfcn_predictor_create(struct clfcn_dev *dev, const char *path,
                           const struct clfcn_predict_options *options,
                           struct clfcn_predictor **out, struct clfcn_err *err)
{
    struct clfcn_predict_options o = { 0 };
    struct clfcn_weights_file file = { 0 };
    struct clfcn_classes classes = { 0 };
    struct clfcn_net_desc desc;
    struct clfcn_net *net = NULL;
    *out = NULL;
    if (options) {
        o = *options;
    }
    int rc = clfcn_weights_open(path, &file, err);
    if (rc == CLFCN_OK) {
        rc = describe(&file, path, &o, &desc, &classes, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_predict_check(&o, &desc, err);
    }
    if (rc == CLFCN_OK) {
        const struct clfcn_net_options how = {
            .gemm = o.gemm,
            .workspace_bytes = o.workspace_bytes,
        };
        rc = clfcn_net_create(dev, &desc, &how, &net, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_net_read_file(net, &file, path, false, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_predictor_wrap(&net, &classes, &o, out, err);
    }
    clfcn_net_destroy(&net);
    clfcn_classes_free(&classes);
    clfcn_weights_close(&file);
    return rc;
}
