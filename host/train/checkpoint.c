/* checkpoint.c - a run's configuration, classes and position as metadata of a weights
 * file. */
#include "checkpoint.h"
#include "../util/json.h"
#include "config.h"
#include "runlog.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { METADATA_VERSION = 1 };

json_t *clfcn_class_weights_to_json(const struct clfcn_train_state *s)
{
    json_t *array = json_array();
    for (int c = 0; array != NULL && c < s->class_weight_count; ++c) {
        if (json_array_append_new(array, json_real((double)s->class_weights[c])) < 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

/* Absent in the files of older versions. */
static int weights_from_json(const json_t *array, struct clfcn_train_state *s,
                             struct clfcn_err *err)
{
    const size_t count = json_array_size(array);
    bool good = count <= CLFCN_MAX_CLASSES;
    float most = 0;
    for (size_t c = 0; good && c < count; ++c) {
        const float w = (float)json_number_value(json_array_get(array, c));
        s->class_weights[c] = w;
        good = isfinite(w) && w >= 0;
        most = w > most ? w : most;
    }
    s->class_weight_count = (int)count;
    return good && (count == 0 || most > 0)
               ? CLFCN_OK
               : clfcn_err_set(err, CLFCN_EDATA, 0,
                               "damaged training state: class weights");
}

/* What json_unpack_ex() found wrong with part. */
static int damaged(const char *part, const json_error_t *error, struct clfcn_err *err)
{
    return json_error_code(error) == json_error_out_of_memory
               ? clfcn_err_nomem(err)
               : clfcn_err_set(err, CLFCN_EDATA, 0, "damaged %s: %s", part, error->text);
}

static json_t *state_to_json(const struct clfcn_train_state *s)
{
    return json_pack(
        "{s:i, s:i, s:I, s:f, s:f, s:f, s:o, s:o, s:i, s:o, s:I, s:o}", "epoch", s->epoch,
        "epoch-step", s->epoch_step, "step", (json_int_t)s->step, "epoch-loss-sum",
        s->epoch_loss_sum, "epoch-seconds", s->epoch_seconds, "epoch-wait", s->epoch_wait,
        "best-mean-iou", clfcn_json_number(s->best_mean_iou), "best-train-loss",
        clfcn_json_number(s->best_train_loss), "best-epoch", s->best_epoch, "data-hash",
        json_sprintf("%016" PRIx64, s->data_hash), "log-bytes", (json_int_t)s->log_bytes,
        "class-weights", clfcn_class_weights_to_json(s));
}

static double number_or_nan(const json_t *value)
{
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static int state_from_json(json_t *json, struct clfcn_train_state *s,
                           struct clfcn_err *err)
{
    json_int_t step, log_bytes;
    json_t *best_mean_iou, *best_train_loss;
    const char *data_hash;
    json_error_t error;
    if (json_unpack_ex(
            json, &error, 0, "{s:i, s:i, s:I, s:F, s:F, s:F, s:o, s:o, s:i, s:s, s:I}",
            "epoch", &s->epoch, "epoch-step", &s->epoch_step, "step", &step,
            "epoch-loss-sum", &s->epoch_loss_sum, "epoch-seconds", &s->epoch_seconds,
            "epoch-wait", &s->epoch_wait, "best-mean-iou", &best_mean_iou,
            "best-train-loss", &best_train_loss, "best-epoch", &s->best_epoch,
            "data-hash", &data_hash, "log-bytes", &log_bytes) != 0) {
        return damaged("training state", &error, err);
    }
    s->step = step;
    s->log_bytes = (uint64_t)log_bytes;
    s->best_mean_iou = number_or_nan(best_mean_iou);
    s->best_train_loss = number_or_nan(best_train_loss);
    s->data_hash = strtoull(data_hash, NULL, 16);
    if (s->epoch < 0 || s->epoch_step < 0 || step < 0 || log_bytes < 0) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "damaged training state: negative counts");
    }
    return weights_from_json(json_object_get(json, "class-weights"), s, err);
}

int clfcn_checkpoint_write(struct clfcn_net *net, const char *path,
                           const struct clfcn_train_config *config,
                           const struct clfcn_classes *classes,
                           const struct clfcn_train_state *state, json_t *ranks,
                           struct clfcn_st_writer **out, struct clfcn_err *err)
{
    char *text = clfcn_classes_to_text(classes), *metadata = NULL;
    *out = NULL;
    json_t *json = json_pack("{s:i, s:s, s:s, s:o, s:o, s:o, s:o*}", "version",
                             (int)METADATA_VERSION, "program", clfcn_version(), "classes",
                             text != NULL ? text : "", "config",
                             clfcn_config_to_json(config), "state", state_to_json(state),
                             "tuning", clfcn_net_tuning_to_json(net), "ranks", ranks);
    if (json != NULL && text != NULL) {
        metadata = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17));
    }
    int rc = metadata != NULL ? clfcn_net_write_file(net, path, true, metadata, out, err)
                              : clfcn_err_nomem(err);
    free(metadata);
    json_decref(json);
    free(text);
    return rc;
}

struct clfcn_loss_how clfcn_checkpoint_loss(const struct clfcn_train_config *config,
                                            const struct clfcn_train_state *state)
{
    return (struct clfcn_loss_how){
        .kind = config->loss,
        .weights = state->class_weight_count > 0 ? state->class_weights : NULL,
        .gamma = config->focal_gamma,
    };
}

/* Fill out from its json. */
static int read_metadata(struct clfcn_checkpoint_info *out, const char *name,
                         struct clfcn_err *err)
{
    int version;
    const char *classes;
    json_t *config, *state;
    json_error_t error;
    if (json_unpack_ex(out->json, &error, 0, "{s:i, s:s, s:o, s:o}", "version", &version,
                       "classes", &classes, "config", &config, "state", &state) != 0) {
        const int rc = damaged("metadata", &error, err);
        clfcn_err_note(err, "%s", name);
        return rc;
    }
    if (version != METADATA_VERSION) {
        return clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "%s: written by another version of clfcn (metadata version %d, this "
            "one reads %d)",
            name, version, METADATA_VERSION);
    }
    int rc = clfcn_config_from_json(config, &out->config, err);
    CLFCN_CHECK(rc, out, err, "%s: damaged metadata", name);
    rc = state_from_json(state, &out->state, err);
    CLFCN_CHECK(rc, out, err, "%s: damaged metadata", name);
    rc = clfcn_classes_parse(classes, name, &out->classes, err);
    CLFCN_CHECK(rc, out, err, "%s: damaged metadata", name);
    const int weights = out->state.class_weight_count;
    if (weights != 0 && weights != out->classes.count) {
        rc = clfcn_err_set(err, CLFCN_EDATA, 0, "%d class weights for %d classes",
                           weights, out->classes.count);
    }
    CLFCN_CHECK(rc, out, err, "%s: damaged metadata", name);
    out->net = (struct clfcn_net_desc){
        .arch = out->config.arch,
        .backbone = out->config.backbone,
        .classes = out->classes.count,
        .width = out->config.width,
        .height = out->config.height,
        .batch = out->config.batch,
    };
    rc = clfcn_net_check_desc(&out->net, err);
    CLFCN_CHECK(rc, out, err, "%s: damaged metadata", name);
    return CLFCN_OK;
out:
    if (rc == CLFCN_EINVAL &&
        err != NULL) { /* not the caller's argument but the file is bad */
        err->code = CLFCN_EDATA;
    }
    return rc == CLFCN_EINVAL ? CLFCN_EDATA : rc;
}

int clfcn_checkpoint_read_info(const struct clfcn_weights_file *f, const char *name,
                               struct clfcn_checkpoint_info *out, struct clfcn_err *err)
{
    memset(out, 0, sizeof(*out));
    if (f->metadata == NULL) {
        return CLFCN_OK;
    }
    json_error_t error;
    int rc;
    out->json = clfcn_json_read(f->metadata, strlen(f->metadata), 0, &error, &rc, err);
    if (rc == CLFCN_ENOMEM) {
        return rc;
    }
    if (out->json == NULL) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "%s: damaged metadata: %s", name,
                             error.text);
    }
    rc = read_metadata(out, name, err);
    if (rc < 0) {
        clfcn_checkpoint_info_free(out);
        return rc;
    }
    out->has_metadata = true;
    return CLFCN_OK;
}

void clfcn_checkpoint_info_free(struct clfcn_checkpoint_info *info)
{
    if (info == NULL) {
        return;
    }
    clfcn_classes_free(&info->classes);
    json_decref(info->json);
    memset(info, 0, sizeof(*info));
}
