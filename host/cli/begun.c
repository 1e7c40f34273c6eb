#include "begun.h"

#include "../util/json.h"
#include "../util/file.h"
#include "../util/path.h"
#include "cli.h"
#include <stdlib.h>

static int read_checkpoint(const char *path, struct cli_begun *begun,
                           struct clfcn_err *err)
{
    struct clfcn_weights_file file = { 0 };
    int rc = cli_input(clfcn_weights_open(path, &file, err), err);
    if (rc == CLFCN_OK) {
        rc = clfcn_checkpoint_read_info(&file, path, &begun->info, err);
    }
    if (rc == CLFCN_OK && !begun->info.has_metadata) {
        rc = clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "%s: bare weights cannot be resumed; start from them with --init", path);
    }
    clfcn_weights_close(&file);
    begun->config = begun->info.config;
    return rc;
}

/* Of a run that was killed before its first checkpoint. */
static int read_config_file(const char *path, struct cli_begun *begun,
                            struct clfcn_err *err)
{
    char *text = NULL;
    size_t size = 0;
    json_error_t where;
    int rc = cli_input(clfcn_file_read(path, (size_t)1 << 20, &text, &size, err), err);
    if (rc < 0) {
        return rc;
    }
    begun->json = clfcn_json_read(text, size, 0, &where, &rc, err);
    free(text);
    if (rc == CLFCN_ENOMEM) {
        return rc;
    }
    if (!begun->json) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "%s:%d: %s", path, where.line,
                             where.text);
    }
    rc = clfcn_config_from_json(begun->json, &begun->config, err);
    if (rc < 0) {
        clfcn_err_note(err, "%s", path);
    }
    return rc;
}

int cli_begun_read(const char *dir, struct cli_begun *begun, struct clfcn_err *err)
{
    char *last = clfcn_path_join(dir, "checkpoints/last.safetensors");
    char *config = clfcn_path_join(dir, "config.json");
    int rc = last && config ? CLFCN_OK : clfcn_err_nomem(err);
    bool has_config = false, has_last = false;
    if (rc == CLFCN_OK) {
        rc = clfcn_path_find(config, &has_config, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_path_find(last, &has_last, err);
    }
    if (rc == CLFCN_OK) {
        rc = has_config && clfcn_path_is_file(config) && !has_last
                 ? read_config_file(config, begun, err)
                 : read_checkpoint(last, begun, err);
    }
    if (rc < 0) {
        clfcn_err_note(err, "cannot resume %s", dir);
    }
    begun->config.out = dir;
    free(last);
    free(config);
    return rc;
}

void cli_begun_free(struct cli_begun *begun)
{
    clfcn_checkpoint_info_free(&begun->info);
    json_decref(begun->json);
}
