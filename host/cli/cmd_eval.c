/* cmd_eval.c - clfcn eval: the metrics of a trained network on a data set. */
#include "../train/config.h"
#include "../train/evaluate.h"
#include "../train/runlog.h"
#include "../util/json.h"
#include "../util/sys.h"
#include "model.h"
#include "profile.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum split { SPLIT_ALL, SPLIT_VAL, SPLIT_TRAIN };

static const char *split_name(int i)
{
    static const char *const names[] = { "all", "val", "train" };
    return i < CLFCN_ARRAY_LEN(names) ? names[i] : NULL;
}

/* The items of split, as the checkpoint's run had it. Free *items with free(). */
static int choose_items(const struct cli_model *model, const struct clfcn_dataset *set,
                        enum split split, int **items, int *count, struct clfcn_err *err)
{
    int n = clfcn_dataset_size(set);
    if (split != SPLIT_ALL) {
        const struct clfcn_train_config *run = &model->info.config;
        if (!model->info.has_metadata) {
            return clfcn_err_set(err, CLFCN_EINVAL, 0,
                                 "--split %s: a bare weights file records no split",
                                 split_name(split));
        }
        if (run->val) {
            return clfcn_err_set(
                err, CLFCN_EINVAL, 0,
                "--split %s: the run validated on a set of its own; name it "
                "with --data %s",
                split_name(split), run->val);
        }
        int *train = NULL, *val = NULL, trains = 0, vals = 0;
        int rc = clfcn_dataset_split(set, clfcn_config_split(run, set), run->seed, &train,
                                     &trains, &val, &vals, err);
        if (rc < 0) {
            return rc;
        }
        bool want_val = split == SPLIT_VAL;
        *items = want_val ? val : train;
        *count = want_val ? vals : trains;
        free(want_val ? train : val);
        if (*count == 0) {
            return clfcn_err_set(err, CLFCN_EDATA, 0, "--split %s: the run left it empty",
                                 split_name(split));
        }
        return CLFCN_OK;
    }
    int *all = calloc((size_t)n + 1, sizeof(*all));
    if (!all) {
        return clfcn_err_nomem(err);
    }
    for (int i = 0; i < n; ++i) {
        all[i] = i;
    }
    *items = all;
    *count = n;
    return CLFCN_OK;
}

static json_t *result_to_json(const struct clfcn_eval_result *r,
                              const struct clfcn_classes *k)
{
    json_t *iou = json_object(), *confusion = json_array();
    const struct clfcn_confusion *m = &r->confusion;
    for (int c = 0; c < k->count; ++c) {
        clfcn_json_set(&iou, k->list[c].name, clfcn_json_number(r->metrics.iou[c]));
        json_t *row = json_array();
        for (int p = 0; p < k->count; ++p) {
            clfcn_json_append(&row,
                              json_integer((json_int_t)m->counts[c * m->classes + p]));
        }
        clfcn_json_append(&confusion, row);
    }
    return json_pack("{so so so so so so si}", "pixel_acc",
                     clfcn_json_number(r->metrics.pixel_acc), "mean_acc",
                     clfcn_json_number(r->metrics.mean_acc), "mean_iou",
                     clfcn_json_number(r->metrics.mean_iou), "fw_iou",
                     clfcn_json_number(r->metrics.fw_iou), "iou", iou, "confusion",
                     confusion, "images", r->images);
}

/* A measure of a class, or that there was nothing to measure. */
static void print_measure(int width, double x)
{
    if (isnan(x)) {
        printf(" %*s", width, "-");
    } else {
        printf(" %*.4f", width, x);
    }
}

static void print_text(const struct clfcn_eval_result *r, const struct clfcn_classes *k)
{
    const struct clfcn_confusion *m = &r->confusion;
    uint64_t all = 0;
    for (int i = 0; i < m->classes * m->classes; ++i) {
        all += m->counts[i];
    }
    printf("images               %d in %.1f s\n", r->images, r->seconds);
    printf("loss                 %.6f\n", r->loss);
    printf("pixel accuracy       %.4f\n", r->metrics.pixel_acc);
    printf("mean accuracy        %.4f\n", r->metrics.mean_acc);
    printf("mean IoU             %.4f\n", r->metrics.mean_iou);
    printf("frequency-wtd. IoU   %.4f\n\n", r->metrics.fw_iou);
    printf("%-24s %8s %9s %13s\n", "class", "IoU", "accuracy", "% of pixels");
    for (int c = 0; c < k->count; ++c) {
        uint64_t of_class = 0;
        for (int p = 0; p < m->classes; ++p) {
            of_class += m->counts[c * m->classes + p];
        }
        printf("%-24s", k->list[c].name);
        print_measure(8, r->metrics.iou[c]);
        print_measure(9, r->metrics.acc[c]);
        printf(" %13.2f\n", all ? 100.0 * (double)of_class / (double)all : 0);
    }
}

static void show_progress(void *user, int done, int total)
{
    struct cli_env *env = user;
    if (env->screen.terminal && !env->quiet && !env->json) {
        char text[64];
        snprintf(text, sizeof(text), "image %d/%d", done, total);
        cli_screen_live(&env->screen, text);
    }
}

/* Everything after the inputs are settled: build, measure, print. */
static int measure(struct cli_env *env, struct cli_model *model, const char *path,
                   const struct cli_model_options *how, const struct clfcn_dataset *set,
                   const int *items, int count, struct clfcn_err *err)
{
    struct clfcn_dev *dev = NULL;
    struct clfcn_net *net = NULL;
    struct clfcn_loader *loader = NULL;
    struct clfcn_eval_result result = { 0 };
    int rc = cli_device_open(env, &dev, err);
    if (rc == CLFCN_OK) {
        rc = cli_profile_start(env, dev, err);
    }
    if (rc < 0) {
        goto out;
    }
    rc = cli_model_build(model, path, how, count, dev, &net, err);
    if (rc < 0) {
        goto out;
    }
    const struct clfcn_loader_desc load = {
        .set = set,
        .items = items,
        .item_count = count,
        .width = model->desc.width,
        .height = model->desc.height,
        .batch = model->desc.batch,
        .resize = model->resize,
    };
    rc = clfcn_loader_create(&load, &loader, err);
    if (rc < 0) {
        goto out;
    }
    clfcn_interrupt_install();
    const struct clfcn_eval_options options = {
        .loss = clfcn_checkpoint_loss(&model->info.config, &model->info.state),
        .progress = show_progress,
        .stop = clfcn_interrupt_flag(),
        .user = env,
    };
    rc = cli_input(clfcn_evaluate(NULL, net, set, loader, &options, &result, err), err);
    cli_screen_clear(&env->screen);
    if (rc < 0) {
        goto out;
    }
    if (env->json) {
        rc = cli_print_json(result_to_json(&result, &model->classes), err);
    } else {
        print_text(&result, &model->classes);
    }
out:
    clfcn_confusion_finish(&result.confusion);
    clfcn_loader_destroy(&loader);
    clfcn_net_destroy(&net);
    clfcn_dev_close(&dev);
    return cli_profile_finish(env, rc, err);
}

int cmd_eval(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    struct cli_data from = { 0 };
    struct cli_model_options how = { 0 };
    const char *list = NULL;
    enum split split = SPLIT_ALL;
    struct cli_option options[] = {
        CLI_DATA_ROWS(&from),
        CLI_OPT_LIST(&list),
        { .name = "split", .kind = CLI_CHOICE, .target = &split, .choice = split_name,
          .help = "which part of the data, as the training run split it" },
        CLI_MODEL_ROWS(&how),
        CLI_OPT_KERNEL_MS(env),
        CLI_OPT_PROFILE(env),
        { 0 },
    };
    struct cli_line line;
    struct cli_model model = { 0 };
    struct clfcn_dataset *set = NULL;
    int *items = NULL, count = 0;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc != CLFCN_OK) {
        goto out;
    }
    rc = cli_data_take_list(list, &from.data, &from.format, err);
    if (rc < 0) {
        goto out;
    }
    const char *path = line.args[0];
    /* --classes beside --data says what a bare weights file was trained on. */
    struct cli_data open = from;
    if (from.data && !from.images && !from.masks) {
        how.classes = from.classes;
        open.classes = NULL;
    }
    rc = cli_dataset_open(&open, &set, err);
    if (rc < 0) {
        goto out;
    }
    rc = cli_model_open(&model, path, &how, clfcn_dataset_get_classes(set), err);
    if (rc < 0) {
        goto out;
    }
    if (!from.ignore && model.info.config.ignore) {
        rc = clfcn_dataset_ignore(set, model.info.config.ignore, err);
        if (rc < 0) {
            clfcn_err_note(err, "as in the run of %s", path);
            goto out;
        }
    }
    rc = choose_items(&model, set, split, &items, &count, err);
    if (rc < 0) {
        goto out;
    }
    rc = measure(env, &model, path, &how, set, items, count, err);
out:
    free(items);
    clfcn_dataset_destroy(&set);
    cli_model_close(&model);
    cli_line_free(&line);
    return rc;
}
