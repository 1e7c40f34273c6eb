/* cmd_info.c - clfcn info: what a checkpoint or weights file holds; or a run folder,
 * named by itself or by a file in it; or a file of 'clfcn bench' or a certificate of
 * 'clfcn selftest', whose names end in .json or .jsonl. */
#include "../train/checkpoint.h"
#include "../train/config.h"
#include "../train/runlog.h"
#include "../util/json.h"
#include "../util/path.h"
#include "findings.h"
#include "info.h"
#include "options.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *dtype_name(enum clfcn_dtype t)
{
    static const char *const names[] = { "F32", "F16", "BF16", "F64", "I64" };
    return (int)t < CLFCN_ARRAY_LEN(names) ? names[t] : "other";
}

static bool is_optimizer_state(const struct clfcn_weights_tensor *t)
{
    return strncmp(t->name, "optim.", 6) == 0;
}

/* What training changes: neither optimiser state nor running statistics. */
static bool is_parameter(const struct clfcn_weights_tensor *t)
{
    return !is_optimizer_state(t) && t->dtype != CLFCN_I64 &&
           !strstr(t->name, ".running_");
}

static uint64_t parameter_count(const struct clfcn_weights_file *f)
{
    uint64_t n = 0;
    for (int i = 0; i < f->count; ++i) {
        n += is_parameter(&f->tensors[i]) ? f->tensors[i].count : 0;
    }
    return n;
}

static json_t *tensors_to_json(const struct clfcn_weights_file *f)
{
    json_t *list = json_array();
    for (int i = 0; i < f->count; ++i) {
        const struct clfcn_weights_tensor *t = &f->tensors[i];
        json_t *dims = json_array();
        for (int d = 0; d < t->ndim; ++d) {
            clfcn_json_append(&dims, json_integer(t->dims[d]));
        }
        clfcn_json_append(&list, json_pack("{ss ss so sI}", "name", t->name, "dtype",
                                           dtype_name(t->dtype), "shape", dims, "bytes",
                                           (json_int_t)t->bytes));
    }
    return list;
}

/* null for a bare weights file. */
static json_t *network_to_json(const struct clfcn_checkpoint_info *info)
{
    if (!info->has_metadata) {
        return json_null();
    }
    json_t *classes = json_array();
    for (int c = 0; c < info->classes.count; ++c) {
        clfcn_json_append(&classes, json_string(info->classes.list[c].name));
    }
    return json_pack(
        "{ss ss si si si so si sI so si so}", "arch", clfcn_arch_name(info->net.arch),
        "backbone", clfcn_backbone_name(info->net.backbone), "width", info->net.width,
        "height", info->net.height, "batch", info->net.batch, "classes", classes, "epoch",
        info->state.epoch, "step", (json_int_t)info->state.step, "best_mean_iou",
        clfcn_json_number(info->state.best_mean_iou), "best_epoch",
        info->state.best_epoch, "config", clfcn_config_to_json(&info->config));
}

static void print_network(const struct clfcn_checkpoint_info *info)
{
    if (!info->has_metadata) {
        printf("bare weights: the file does not describe its network\n");
        return;
    }
    printf("network     %s on %s, %dx%d, batch %d\n", clfcn_arch_name(info->net.arch),
           clfcn_backbone_name(info->net.backbone), info->net.width, info->net.height,
           info->net.batch);
    printf("classes     ");
    for (int c = 0; c < info->classes.count; ++c) {
        printf("%s%s", c ? ", " : "", info->classes.list[c].name);
    }
    printf("\ntrained     %d epochs, %" PRId64 " steps, %s, %s, seed %" PRIu64 "\n",
           info->state.epoch, info->state.step, clfcn_loss_name(info->config.loss),
           clfcn_optimizer_name(info->config.optimizer), info->config.seed);
    if (info->state.best_mean_iou >= 0) { /* false for NaN, which is none yet */
        printf("best        mean IoU %.4f after epoch %d\n", info->state.best_mean_iou,
               info->state.best_epoch);
    }
}

static void print_text(const struct clfcn_weights_file *f,
                       const struct clfcn_checkpoint_info *info)
{
    char size[CLI_BYTES_LEN];
    print_network(info);
    printf("file        %s, %d tensors, %" PRIu64 " parameters\n\n",
           cli_format_bytes(f->size, size), f->count, parameter_count(f));
    for (int i = 0; i < f->count; ++i) {
        const struct clfcn_weights_tensor *t = &f->tensors[i];
        printf("%-48s %-5s ", t->name, dtype_name(t->dtype));
        for (int d = 0; d < t->ndim; ++d) {
            printf("%s%" PRId64, d ? "x" : "", t->dims[d]);
        }
        printf("%s\n", t->ndim ? "" : "scalar");
    }
}

static bool ends_in(const char *path, const char *end)
{
    const size_t n = strlen(path), m = strlen(end);
    return n >= m && strcmp(path + n - m, end) == 0;
}

/* The folder of a run, where path is one or a file in one; a new string. NULL: it is
 * something else, or memory is exhausted. */
static char *run_of(const char *path)
{
    const char *base = clfcn_path_base(path);
    if (clfcn_path_is_dir(path)) {
        return strdup(path);
    }
    if (strcmp(base, "config.json") != 0 && strcmp(base, "log.jsonl") != 0) {
        return NULL;
    }
    return base == path ? strdup(".") : strndup(path, (size_t)(base - path));
}

static int show_weights(const struct cli_env *env, const char *path,
                        struct clfcn_err *err)
{
    struct clfcn_weights_file file = { 0 };
    struct clfcn_checkpoint_info info = { 0 };
    int rc = cli_input(clfcn_weights_open(path, &file, err), err);
    if (rc == CLFCN_OK) {
        rc = clfcn_checkpoint_read_info(&file, path, &info, err);
    }
    if (rc == CLFCN_OK && env->json) {
        rc = cli_print_json(
            json_pack("{ss sI sI so so}", "file", path, "bytes", (json_int_t)file.size,
                      "parameters", (json_int_t)parameter_count(&file), "network",
                      network_to_json(&info), "tensors", tensors_to_json(&file)),
            err);
    } else if (rc == CLFCN_OK) {
        print_text(&file, &info);
    }
    clfcn_checkpoint_info_free(&info);
    clfcn_weights_close(&file);
    return rc;
}

int cmd_info(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    struct cli_option options[] = { { 0 } };
    struct cli_line line;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc == CLFCN_OK) {
        const char *path = line.args[0];
        char *run = run_of(path);
        const bool json = ends_in(path, ".json") || ends_in(path, ".jsonl");
        rc = run                               ? cli_info_run(env, run, err)
             : json && cli_info_is_bench(path) ? cli_info_bench(env, path, err)
             : json                            ? cli_info_certificate(env, path, err)
                                               : show_weights(env, path, err);
        free(run);
    }
    cli_line_free(&line);
    return rc;
}
