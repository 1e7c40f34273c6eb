/* run_folder.c - a run's folder: taken into use, resumed from. */
#include "../comm/comm.h"
#include "../util/json.h"
#include "../util/path.h"
#include "config.h"
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int clfcn_run_path(const struct clfcn_run *run, const char *name, char **out,
                   struct clfcn_err *err)
{
    *out = clfcn_path_join(run->config.out, name);
    return *out != NULL ? CLFCN_OK : clfcn_err_nomem(err);
}

/* Whether the folder holds name. */
static int folder_holds(const struct clfcn_run *run, const char *name, bool *holds,
                        struct clfcn_err *err)
{
    char *path;
    int rc = clfcn_run_path(run, name, &path, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_path_find(path, holds, err);
    }
    free(path);
    return rc;
}

static int make_folder(const struct clfcn_run *run, const char *name,
                       struct clfcn_err *err)
{
    char *path;
    int rc = clfcn_run_path(run, name, &path, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_path_mkdir(path, 0777, err);
    }
    free(path);
    return rc;
}

static int refuse_existing_run(const struct clfcn_run *run, struct clfcn_err *err)
{
    bool has_checkpoint = false, has_log = false;
    int rc = folder_holds(run, "checkpoints/last.safetensors", &has_checkpoint, err);
    if (rc == CLFCN_OK) {
        rc = folder_holds(run, "log.jsonl", &has_log, err);
    }
    if (rc == CLFCN_OK && (has_checkpoint || has_log)) {
        rc = clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "%s holds a run already: go on with --resume %s, or choose another "
            "--out",
            run->config.out, run->config.out);
    }
    return rc;
}

/* Configuration and position from an open checkpoint. */
static int read_checkpoint(struct clfcn_run *run, const char *path, struct clfcn_err *err)
{
    int rc = clfcn_weights_open(path, &run->last, err);
    if (rc < 0) {
        return rc;
    }
    rc = clfcn_checkpoint_read_info(&run->last, path, &run->info, err);
    if (rc < 0) {
        return rc;
    }
    if (!run->info.has_metadata) {
        return clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "%s: bare weights, nothing to resume: start from them with --init", path);
    }
    run->config = run->info.config;
    run->state = run->info.state;
    run->resumed = true;
    return CLFCN_OK;
}

/* Configuration of a run that was killed before its first checkpoint; it starts anew. */
static int read_config_file(struct clfcn_run *run, const char *path,
                            struct clfcn_err *err)
{
    bool found = false;
    int rc = clfcn_path_find(path, &found, err);
    if (rc < 0) {
        return rc;
    }
    if (!found || !clfcn_path_is_file(path)) {
        return clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "%s holds no run to resume (no checkpoints/last.safetensors): "
            "start one with --out",
            run->config.out);
    }
    char *text;
    size_t size;
    rc = clfcn_file_read(path, (size_t)1 << 20, &text, &size, err);
    if (rc < 0) {
        return rc;
    }
    json_error_t error;
    run->config_json = clfcn_json_read(text, size, 0, &error, &rc, err);
    free(text);
    if (rc == CLFCN_ENOMEM) {
        return rc;
    }
    if (run->config_json == NULL) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "%s:%d: %s", path, error.line,
                             error.text);
    }
    rc = clfcn_config_from_json(run->config_json, &run->config, err);
    if (rc < 0) {
        clfcn_err_note(err, "%s", path);
    }
    return rc;
}

/* Read the run that the folder holds; requested gives what may change from session to
 * session. */
static int read_run(struct clfcn_run *run, const struct clfcn_train_config *requested,
                    struct clfcn_err *err)
{
    char *last = NULL, *config = NULL;
    int rc = clfcn_run_path(run, "checkpoints/last.safetensors", &last, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_run_path(run, "config.json", &config, err);
    }
    bool has_checkpoint = false;
    if (rc == CLFCN_OK) {
        rc = clfcn_path_find(last, &has_checkpoint, err);
    }
    if (rc == CLFCN_OK) {
        rc = has_checkpoint ? read_checkpoint(run, last, err)
                            : read_config_file(run, config, err);
    }
    free(last);
    free(config);
    run->config.out = requested->out;
    run->config.set = requested->set;
    run->config.val_set = requested->val_set;
    run->config.epochs = requested->epochs;
    run->config.max_steps = requested->max_steps;
    run->config.early_stop = requested->early_stop;
    run->config.save_every = requested->save_every;
    run->config.save_steps = requested->save_steps;
    run->config.verify_every = requested->verify_every;
    run->config.gemm = requested->gemm;
    run->config.workers = requested->workers;
    run->config.cache_bytes = requested->cache_bytes;
    run->config.workspace_bytes = requested->workspace_bytes;
    run->config.mem_bytes = requested->mem_bytes;
    run->config.balance = requested->balance;
    run->config.exchange = requested->exchange;
    run->config.comm = requested->comm;
    run->config.pause_on_battery = requested->pause_on_battery;
    run->config.max_celsius = requested->max_celsius;
    return rc;
}

/* Lock the folder, and remove what a killed process may have left half written. */
static int take_folder(struct clfcn_run *run, struct clfcn_err *err)
{
    int rc = clfcn_lock_acquire(&run->lock, run->config.out, err);
    if (rc < 0) {
        return rc;
    }
    static const char *const subfolders[] = { ".", "checkpoints", "samples" };
    for (size_t i = 0; rc == CLFCN_OK && i < sizeof(subfolders) / sizeof(subfolders[0]);
         ++i) {
        char *path;
        rc = clfcn_run_path(run, subfolders[i], &path, err);
        if (rc == CLFCN_OK) {
            clfcn_atomic_sweep(path);
        }
        free(path);
    }
    return rc;
}

/* Make the folder and what lies in it. */
static int make_folders(struct clfcn_run *run, struct clfcn_err *err)
{
    int rc = make_folder(run, "checkpoints", err);
    return rc < 0 ? rc : make_folder(run, "samples", err);
}

/* The part of the one that writes. */
static int open_to_write(struct clfcn_run *run, const struct clfcn_train_config *config,
                         bool resume, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    if (resume && !clfcn_path_is_dir(config->out)) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "cannot resume: there is no folder %s",
                             config->out);
    }
    if (!resume) {
        rc = clfcn_path_mkdir(config->out, 0777, err);
    }
    if (rc == CLFCN_OK) {
        rc = take_folder(run, err);
    }
    if (rc == CLFCN_OK) {
        rc = resume ? read_run(run, config, err) : refuse_existing_run(run, err);
    }
    return rc < 0 ? rc : make_folders(run, err);
}

int clfcn_run_open_folder(struct clfcn_run *run, const struct clfcn_train_config *config,
                          bool resume, struct clfcn_err *err)
{
    const bool writes = clfcn_comm_rank(config->comm) == 0;
    run->config = *config;
    int rc = CLFCN_OK;
    if (config->out == NULL) {
        rc = clfcn_err_set(err, CLFCN_EINVAL, 0, "no run folder: give --out DIR");
    } else if (!resume) {
        rc = clfcn_config_check(config, err);
    }
    rc = clfcn_comm_agree(config->comm, rc, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_run_same_config(run, resume, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (writes) {
        rc = open_to_write(run, config, resume, err);
    }
    rc = clfcn_comm_agree(config->comm, rc, err);
    if (rc == CLFCN_OK && resume && !writes) {
        rc = read_run(run, config, err);
    }
    if (rc == CLFCN_OK && resume) {
        rc = clfcn_config_check(&run->config, err);
    }
    return clfcn_comm_agree(config->comm, rc, err);
}

int clfcn_run_write_config(const struct clfcn_run *run, struct clfcn_err *err)
{
    json_t *json = clfcn_config_to_json(&run->config);
    char *classes = clfcn_classes_to_text(clfcn_dataset_get_classes(run->set));
    char *text = NULL, *path = NULL;
    int rc = CLFCN_ENOMEM;
    if (json != NULL && classes != NULL &&
        json_object_set_new(json, "classes-text", json_string(classes)) == 0) {
        text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
        rc = text != NULL ? clfcn_run_path(run, "config.json", &path, err) : CLFCN_ENOMEM;
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_file_write(path, text, strlen(text), err);
    } else {
        rc = clfcn_err_nomem(err);
    }
    free(path);
    free(text);
    free(classes);
    json_decref(json);
    return rc;
}
