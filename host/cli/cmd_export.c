/* cmd_export.c - clfcn export: a network's weights for other programs. */
#include "../data/resize.h"
#include "../net/onnx.h"
#include "../util/json.h"
#include "model.h"
#include <stdlib.h>
#include <string.h>

enum format { TORCH, SAFETENSORS, ONNX, FORMATS };

static const struct {
    const char *name, *endings[3];
} formats[FORMATS] = {
    [TORCH] = { "torch", { ".pth", ".pt" } },
    [SAFETENSORS] = { "safetensors", { ".safetensors" } },
    [ONNX] = { "onnx", { ".onnx" } },
};

static const char *format_name(int i)
{
    return i < FORMATS ? formats[i].name : NULL;
}

/* In the order of enum clfcn_dtype. */
static const char *dtype_name(int i)
{
    static const char *const names[] = { "f32", "f16", "bf16" };
    return i < CLFCN_ARRAY_LEN(names) ? names[i] : NULL;
}

struct export_job {
    const char *in, *out;
    enum format format;
    enum clfcn_dtype dtype;
    bool fold, any_size;
    struct cli_model_options model;
    int tensors;    /* written */
    uint64_t bytes; /* of the file */
};

/* --- what is asked for --- */

static bool ends_with(const char *s, const char *ending)
{
    const size_t n = strlen(s), m = strlen(ending);
    return n > m && strcmp(s + n - m, ending) == 0;
}

static int guess_format(const char *out, enum format *format, struct clfcn_err *err)
{
    for (int i = 0; i < FORMATS; ++i) {
        for (int j = 0; formats[i].endings[j]; ++j) {
            if (ends_with(out, formats[i].endings[j])) {
                *format = (enum format)i;
                return CLFCN_OK;
            }
        }
    }
    return clfcn_err_set(err, CLFCN_EINVAL, 0,
                         "--format is missing: torch, safetensors or onnx, which '%s' "
                         "does not say",
                         out);
}

static int settle_output(struct export_job *job, const struct cli_line *line,
                         const char *named, struct clfcn_err *err)
{
    if ((named != NULL) == (line->arg_count == 2)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             named ? "the output is there twice, '%s' and --out: leave "
                                     "one out"
                                   : "the output is missing: --out FILE%s",
                             named ? line->args[1] : "");
    }
    job->in = line->args[0];
    job->out = named ? named : line->args[1];
    return CLFCN_OK;
}

/* Options that say nothing in a format are refused. */
static int check_options(const struct export_job *job, const struct cli_option *options,
                         struct clfcn_err *err)
{
    static const char *const of_onnx[] = { "fold-batchnorm", "any-size", "arch",
                                           "backbone",       "size",     "classes" };
    for (; options->name; ++options) {
        bool onnx = false;
        for (int i = 0; i < CLFCN_ARRAY_LEN(of_onnx); ++i) {
            onnx = onnx || strcmp(options->name, of_onnx[i]) == 0;
        }
        const bool wrong =
            job->format == ONNX ? strcmp(options->name, "dtype") == 0 : onnx;
        if (options->raw && wrong) {
            return clfcn_err_set(err, CLFCN_EINVAL, 0,
                                 "--%s says nothing to --format %s: leave it out",
                                 options->name, format_name(job->format));
        }
    }
    return CLFCN_OK;
}

/* --- the formats --- */

static int export_weights(struct export_job *job, struct clfcn_err *err)
{
    struct clfcn_weights_file file = { 0 };
    struct clfcn_state_dict *sd = NULL;
    int rc = cli_input(clfcn_weights_open(job->in, &file, err), err);
    if (rc == CLFCN_OK) {
        rc = clfcn_state_dict_guess(&file, job->in, &sd, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_state_dict_check(sd, "'clfcn import --partial' takes what does", false,
                                    err);
    }
    if (rc == CLFCN_OK) {
        job->tensors = clfcn_state_dict_tensors(sd);
        rc = job->format == TORCH
                 ? clfcn_state_dict_save_torch(sd, job->dtype, job->out, err)
                 : clfcn_state_dict_save(sd, job->dtype, job->out, err);
    }
    clfcn_state_dict_destroy(&sd);
    clfcn_weights_close(&file);
    return rc;
}

/* As JSON text, to be freed by the caller; NULL if memory is exhausted. */
static char *class_names(const struct clfcn_classes *classes)
{
    json_t *list = json_array();
    for (int c = 0; c < classes->count; ++c) {
        clfcn_json_append(&list, json_string(classes->list[c].name));
    }
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

static char *numbers(const float *x)
{
    json_t *list = json_pack("[f, f, f]", x[0], x[1], x[2]);
    char *text = json_dumps(list, JSON_COMPACT | JSON_REAL_PRECISION(6));
    json_decref(list);
    return text;
}

static int save_onnx(struct export_job *job, const struct cli_model *model,
                     const struct clfcn_state_dict *sd, struct clfcn_err *err)
{
    char *classes = class_names(&model->classes), *mean = numbers(clfcn_imagenet_mean),
         *std = numbers(clfcn_imagenet_std), size[32];
    snprintf(size, sizeof(size), "%dx%d", model->desc.width, model->desc.height);
    const struct clfcn_onnx_property properties[] = {
        { "classes", classes }, { "channels", "RGB" }, { "range", "[0,1]" },
        { "mean", mean },       { "std", std },        { "size", size },
    };
    const struct clfcn_onnx_options options = {
        .fold_batchnorm = job->fold,
        .any_size = job->any_size,
        .properties = properties,
        .property_count = CLFCN_ARRAY_LEN(properties),
    };
    const int rc = classes && mean && std ? clfcn_onnx_save(sd, &model->desc, &options,
                                                            job->out, &job->tensors, err)
                                          : clfcn_err_nomem(err);
    free(classes);
    free(mean);
    free(std);
    return rc;
}

static int export_onnx(struct export_job *job, struct clfcn_err *err)
{
    struct cli_model model = { 0 };
    struct clfcn_state_dict *sd = NULL;
    int rc = cli_model_open(&model, job->in, &job->model, NULL, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_state_dict_create(&model.file, job->in, model.desc.backbone,
                                     model.desc.classes, &sd, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_state_dict_check(
            sd, "check --arch, --backbone and the number of classes", false, err);
    }
    if (rc == CLFCN_OK) {
        rc = save_onnx(job, &model, sd, err);
    }
    clfcn_state_dict_destroy(&sd);
    cli_model_close(&model);
    return rc;
}

/* --- the command --- */

static int measure(struct export_job *job, struct clfcn_err *err)
{
    struct clfcn_file_reader file = { 0 };
    const int rc = clfcn_reader_open(&file, job->out, err);
    job->bytes = (size_t)file.size;
    clfcn_reader_close(&file);
    return rc;
}

static int report(struct cli_env *env, const struct export_job *job,
                  struct clfcn_err *err)
{
    char size[CLI_BYTES_LEN];
    if (env->json) {
        return cli_print_json(json_pack("{ss ss si sI}", "path", job->out, "format",
                                        format_name(job->format), "tensors", job->tensors,
                                        "bytes", (json_int_t)job->bytes),
                              err);
    }
    printf("%s: %s, %d tensors, %s\n", job->out, format_name(job->format), job->tensors,
           cli_format_bytes(job->bytes, size));
    return CLFCN_OK;
}

int cmd_export(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    struct export_job job = { .format = FORMATS };
    const char *named = NULL;
    struct cli_option options[] = {
        { .name = "format", .kind = CLI_CHOICE, .target = &job.format,
          .choice = format_name, .dflt = "as OUT's name ends",
          .help = "torch: what torch.load() gives to load_state_dict(); safetensors: the "
                  "same, without what a run needs to go on; onnx: the whole network" },
        { .name = "out", .kind = CLI_STRING, .target = &named, .arg = "FILE",
          .help = "in place of OUT" },
        { .name = "dtype", .kind = CLI_CHOICE, .target = &job.dtype, .choice = dtype_name,
          .help = "of torch and safetensors: floats are rounded to nearest, ties to even" },
        { .name = "fold-batchnorm", .kind = CLI_FLAG, .target = &job.fold,
          .help = "of onnx: no BatchNormalization, but what is left of it once its "
                  "neighbours' weights have taken what they can" },
        { .name = "any-size", .kind = CLI_FLAG, .target = &job.any_size,
          .help = "of onnx: leave height and width open, for multiples of 32" },
        { .name = "arch", .kind = CLI_STRING, .target = &job.model.arch,
          .help = "of onnx: head of the network (a bare weights file needs it)" },
        { .name = "backbone", .kind = CLI_STRING, .target = &job.model.backbone,
          .help = "of onnx: its backbone (a bare weights file needs it)" },
        { .name = "size", .kind = CLI_SIZE, .target = &job.model.width,
          .height = &job.model.height, .dflt = "as trained",
          .help = "of onnx: width x height of its input, multiples of 32 (a bare weights "
                  "file needs it)" },
        { .name = "classes", .kind = CLI_STRING, .target = &job.model.classes,
          .arg = "FILE",
          .help = "of onnx: classes.txt (a bare weights file needs it)" },
        { 0 },
    };
    struct cli_line line;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc != CLFCN_OK) {
        goto out;
    }
    rc = settle_output(&job, &line, named, err);
    if (rc == CLFCN_OK && job.format == FORMATS) {
        rc = guess_format(job.out, &job.format, err);
    }
    if (rc == CLFCN_OK) {
        rc = check_options(&job, options, err);
    }
    if (rc == CLFCN_OK) {
        rc = job.format == ONNX ? export_onnx(&job, err) : export_weights(&job, err);
    }
    if (rc == CLFCN_OK) {
        rc = measure(&job, err);
    }
    if (rc == CLFCN_OK) {
        rc = report(env, &job, err);
    }
out:
    cli_line_free(&line);
    return rc;
}
