/* cmd_train.c - clfcn train: a new run, or on with one that was stopped. */
#include "../comm/comm.h"
#include "../train/config.h"
#include "../util/path.h"
#include "../util/sys.h"
#include "begun.h"
#include "job.h"
#include "options.h"
#include "profile.h"
#include "supervise.h"
#include "train_view.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* "runs/20261122-204400"; "runs/20261122-204400-2" if there is that one, because another
 * run was started in the same second, or the clock was set back. */
static void default_out(char *buf, size_t n)
{
    enum { MOST = 100 };
    time_t now = time(NULL);
    char stem[48];
    const struct tm *tm = localtime(&now);
    if (!tm || strftime(stem, sizeof(stem), "runs/%Y%m%d-%H%M%S", tm) == 0) {
        snprintf(stem, sizeof(stem), "runs/run");
    }
    snprintf(buf, n, "%s", stem);
    for (int i = 2; i <= MOST && clfcn_path_exists(buf); ++i) {
        snprintf(buf, n, "%s-%d", stem, i);
    }
}

/* With --resume, only what does not change the run's meaning may be given. */
static int check_resume_options(const struct cli_option *options, struct clfcn_err *err)
{
    for (const struct cli_option *o = options; o->name; ++o) {
        if (o->raw && !o->resume) {
            return clfcn_err_set(
                err, CLFCN_EINVAL, 0,
                "--%s cannot be given with --resume: the run goes on as it was "
                "begun",
                o->name);
        }
    }
    return CLFCN_OK;
}

static bool is_given(const struct cli_option *options, const char *name)
{
    for (const struct cli_option *o = options; o->name; ++o) {
        if (strcmp(o->name, name) == 0) {
            return o->raw;
        }
    }
    return false;
}

/* Find out about bad inputs before a device is opened and kernels are built. The set
 * itself is wanted for its class names. */
static int check_inputs(const struct clfcn_train_config *config,
                        struct clfcn_dataset **set, struct clfcn_err *err)
{
    const struct cli_data from = { config->data,  config->format,  config->images,
                                   config->masks, config->classes, config->ignore };
    int rc = cli_dataset_open(&from, set, err);
    if (rc < 0) {
        return rc;
    }
    if (config->val) {
        struct clfcn_dataset *val = NULL;
        const struct cli_data val_from = { .data = config->val,
                                           .ignore = config->ignore };
        rc = cli_dataset_open(&val_from, &val, err);
        clfcn_dataset_destroy(&val);
        if (rc < 0) {
            clfcn_err_note(err, "--val");
            return rc;
        }
    }
    if (config->init) {
        struct clfcn_weights_file file = { 0 };
        rc = cli_input(clfcn_weights_open(config->init, &file, err), err);
        clfcn_weights_close(&file);
        if (rc < 0) {
            clfcn_err_note(err, "--init");
        }
    }
    return rc;
}

/* Say what is about to happen. */
static void announce(struct cli_env *env, const struct clfcn_train_config *config,
                     const struct clfcn_dataset *set)
{
    enum { NAMED = 12 }; /* a long list of classes helps nobody */
    int classes = clfcn_dataset_classes(set);
    cli_screen_print(&env->screen, stderr, "data: %s (%s), %d pictures, ",
                     clfcn_dataset_format(set), clfcn_dataset_why(set),
                     clfcn_dataset_size(set));
    if (config->val) {
        cli_screen_print(&env->screen, stderr, "validation on %s", config->val);
    } else if (clfcn_config_split(config, set) == CLFCN_OWN_SPLIT) {
        cli_screen_print(&env->screen, stderr, "the set's own train and val");
    } else if (config->val_fraction > 0) {
        cli_screen_print(&env->screen, stderr, "%g of them for validation",
                         config->val_fraction);
    } else {
        cli_screen_print(&env->screen, stderr, "no validation");
    }
    cli_screen_print(&env->screen, stderr, ", %d classes", classes);
    for (int c = 0; c < classes && classes <= NAMED; ++c) {
        cli_screen_print(&env->screen, stderr, "%s %s", c ? "," : ":",
                         clfcn_dataset_class_name(set, c));
    }
    cli_screen_print(&env->screen, stderr, "\nrun: %s\n", config->out);
}

/* Called by the thread that watches. */
static void on_hung(void *user, const char *message)
{
    const struct train_view *view = user;
    char advice[512];
    snprintf(advice, sizeof(advice), "go on with clfcn train --resume %s", view->run);
    cli_supervise_hung(view->env, message, advice);
}

static int train(struct train_view *view, const struct clfcn_train_config *config,
                 bool resume, const struct clfcn_dataset *set, struct clfcn_dev *dev,
                 struct clfcn_err *err)
{
    struct cli_env *env = view->env;
    clfcn_interrupt_install();
    const struct clfcn_train_callbacks callbacks = {
        .event = train_view_event,
        .progress = train_view_progress,
        .stop = clfcn_interrupt_flag(),
        .pause = view->dashboard.server
                     ? clfcn_dashboard_pause_flag(view->dashboard.server)
                     : NULL,
        .hung = on_hung,
        .restarted = view->restarted,
        .user = view,
    };
    bool talk = !env->quiet && !env->json;
    if (talk) {
        announce(env, config, set);
    }
    int rc = clfcn_train(dev, config, resume, &callbacks, err);
    cli_screen_clear(&env->screen);
    if ((rc == CLFCN_OK || rc == CLFCN_EINTR) && cli_job_leads(env)) {
        train_view_report(view);
    }
    if (rc == CLFCN_EINTR) {
        clfcn_err_set(err, rc, 0,
                      "interrupted: state saved, go on with clfcn train --resume %s",
                      config->out);
    } else if (rc == CLFCN_OK && talk) {
        cli_screen_print(&env->screen, stdout, "done: %s, see %s/report.html\n",
                         config->out, config->out);
    }
    return rc;
}

/* What only one of several ranks does. */
static int start_view(struct train_view *view, const struct clfcn_train_config *config,
                      struct clfcn_err *err)
{
    int rc = view->tensorboard_dir
                 ? clfcn_tensorboard_open(view->tensorboard_dir, config->out,
                                          &view->tensorboard, err)
                 : CLFCN_OK;
    return rc < 0 ? rc
                  : train_dashboard_start(&view->dashboard, view->env, config->out, err);
}

static int run(struct train_view *view, struct clfcn_train_config *config, bool resume,
               struct clfcn_err *err)
{
    struct cli_env *env = view->env;
    struct clfcn_dataset *set = NULL;
    struct clfcn_dev *dev = NULL;
    config->comm = env->comm;
    view->run = config->out;
    view->epochs = config->epochs;
    view->last_plain = clfcn_clock();
    int rc = clfcn_config_check(config, err);
    if (rc == CLFCN_OK) {
        rc = check_inputs(config, &set, err);
    }
    if (rc == CLFCN_OK && cli_job_leads(env)) {
        rc = start_view(view, config, err);
    }
    rc = clfcn_comm_agree(env->comm, rc, err);
    if (rc == CLFCN_OK) {
        rc = cli_device_open(env, &dev, err);
    }
    if (rc == CLFCN_OK) {
        rc = cli_profile_start(env, dev, err);
    }
    rc = clfcn_comm_agree(env->comm, rc, err);
    if (rc == CLFCN_OK) {
        view->classes = clfcn_dataset_get_classes(set);
        rc = train(view, config, resume, set, dev, err);
    }
    train_view_finish(view);
    clfcn_dev_close(&dev);
    clfcn_dataset_destroy(&set);
    return cli_profile_finish(env, rc, err);
}

/* On with the run in dir: config is where line's options point. */
static int go_on(struct train_view *view, struct cli_line *line, const char *dir,
                 struct clfcn_train_config *config, struct clfcn_err *err)
{
    struct cli_begun begun = { 0 };
    int rc = check_resume_options(line->options, err);
    if (rc == CLFCN_OK) {
        rc = cli_begun_read(dir, &begun, err);
    }
    if (rc == CLFCN_OK) {
        *config = begun.config;
        rc = cli_line_apply(line, err); /* over what the checkpoint says */
    }
    rc = clfcn_comm_agree(view->env->comm, rc, err);
    if (rc == CLFCN_OK) {
        rc = run(view, config, true, err);
    }
    cli_begun_free(&begun);
    return rc;
}

/* What is done in a process of its own. */
struct work {
    struct train_view *view;
    struct cli_line *line;
    const char *resume;                /* folder; NULL: a new run */
    struct clfcn_train_config *config; /* where line's options point */
};

/* Whether there is a run in dir that can be gone on with. */
static bool has_begun(const char *dir)
{
    char *config = clfcn_path_join(dir, "config.json");
    const bool begun = config && clfcn_path_exists(config);
    free(config);
    return begun;
}

static int work(void *user, const char *restarted, struct clfcn_err *err)
{
    struct work *w = user;
    w->view->restarted = restarted;
    if (w->resume) {
        return go_on(w->view, w->line, w->resume, w->config, err);
    }
    const bool again = restarted && has_begun(w->config->out);
    return run(w->view, w->config, again, err);
}

static int check_restarts(const struct cli_env *env, int restarts, struct clfcn_err *err)
{
    if (restarts < 0) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "--max-restarts %d: at least 0",
                             restarts);
    }
    return restarts == 0 || !env->comm
               ? CLFCN_OK
               : clfcn_err_set(err, CLFCN_EINVAL, 0,
                               "--max-restarts: not among several ranks, which their "
                               "launcher ends together: start them again with --resume");
}

/* Whether all ranks go the same way from here; rc is how the reading of options ended. */
static int same_way(struct cli_env *env, int rc, const char *resume, const char *out,
                    struct clfcn_err *err)
{
    int same = clfcn_comm_agree(env->comm, rc == CLI_HELPED ? CLFCN_OK : rc, err);
    if (same == CLFCN_OK) {
        same = cli_job_same(env, "help", rc == CLI_HELPED ? "it" : NULL, err);
    }
    if (same == CLFCN_OK) {
        same = cli_job_same(env, "resume", resume, err);
    }
    if (same == CLFCN_OK) {
        same = cli_job_same(env, "out", out, err);
    }
    return same == CLFCN_OK ? rc : same;
}

static int train_or_resume(struct cli_env *env, int argc, char **argv,
                           struct clfcn_err *err)
{
    struct clfcn_train_config config;
    const char *resume = NULL, *list = NULL;
    char out_name[64] = "";
    int restarts = 0;
    struct train_view view = { .env = env };
    clfcn_train_defaults(&config);
    struct cli_option options[] = {
        CLI_GROUP_ROW("Data"),
        CLI_DATA_ROWS(&config),
        CLI_OPT_LIST(&list),
        { .name = "val",
          .kind = CLI_STRING,
          .target = &config.val,
          .arg = "DIR",
          .help = "validation set, in place of a part of the data" },
        { .name = "val-fraction",
          .kind = CLI_DOUBLE,
          .target = &config.val_fraction,
          .dflt = "the set's own split, else 0.1",
          .help = "part of the data kept for validation; 0: no validation" },
        CLI_GROUP_ROW("Network"),
        CLI_OPT_ARCH(&config.arch),
        CLI_OPT_BACKBONE(&config.backbone),
        CLI_OPT_SIZE(&config.width, &config.height),
        CLI_OPT_BATCH(&config.batch),
        CLI_GROUP_ROW("Training"),
        { .name = "epochs",
          .kind = CLI_INT,
          .target = &config.epochs,
          .resume = true,
          .help = "passes over the data" },
        { .name = "max-steps",
          .kind = CLI_INT64,
          .target = &config.max_steps,
          .resume = true,
          .dflt = "no limit",
          .help = "stop after so many steps; 0 only writes the initial checkpoint" },
        CLI_OPT_LOSS(&config.loss),
        { .name = "focal-gamma",
          .kind = CLI_DOUBLE,
          .target = &config.focal_gamma,
          .help = "focal: exponent; the more, the less easy pixels count" },
        { .name = "class-weights",
          .kind = CLI_STRING,
          .target = &config.class_weights,
          .arg = "none|auto|W,W,...",
          .dflt = "none",
          .help = "how much each class counts in the loss; auto: rare ones more" },
        CLI_OPT_OPTIMIZER(&config.optimizer),
        { .name = "lr",
          .kind = CLI_DOUBLE,
          .target = &config.lr,
          .help = "learning rate" },
        { .name = "momentum",
          .kind = CLI_DOUBLE,
          .target = &config.momentum,
          .help = "momentum of sgd" },
        { .name = "weight-decay",
          .kind = CLI_DOUBLE,
          .target = &config.weight_decay,
          .help = "L2 penalty (adamw: decoupled decay)" },
        CLI_OPT_CLIP_GRAD(&config.clip_grad),
        { .name = "beta1",
          .kind = CLI_DOUBLE,
          .target = &config.beta1,
          .help = "decay of adam's and adamw's first moment" },
        { .name = "beta2",
          .kind = CLI_DOUBLE,
          .target = &config.beta2,
          .help = "decay of their second moment" },
        { .name = "eps",
          .kind = CLI_DOUBLE,
          .target = &config.eps,
          .help = "what keeps their division finite" },
        { .name = "warmup",
          .kind = CLI_INT,
          .target = &config.warmup,
          .arg = "STEPS",
          .help = "steps over which the learning rate rises to its policy's" },
        { .name = "lr-policy",
          .kind = CLI_CHOICE,
          .target = &config.lr_policy,
          .choice = cli_choice_lr_policy,
          .help = "how the learning rate changes" },
        { .name = "lr-step",
          .kind = CLI_INT,
          .target = &config.lr_step,
          .help = "step: epochs between two drops" },
        { .name = "lr-gamma",
          .kind = CLI_DOUBLE,
          .target = &config.lr_gamma,
          .help = "step: factor of a drop" },
        { .name = "lr-power",
          .kind = CLI_DOUBLE,
          .target = &config.lr_power,
          .help = "poly: exponent" },
        { .name = "seed",
          .kind = CLI_UINT64,
          .target = &config.seed,
          .help = "of weights, split, order and augmentation" },
        { .name = "init",
          .kind = CLI_STRING,
          .target = &config.init,
          .arg = "FILE",
          .help =
              "weights to start from, safetensors or PyTorch's: a network, or a VGG" },
        { .name = "partial",
          .kind = CLI_FLAG,
          .target = &config.partial,
          .help = "take what matches of --init, and warn of the rest" },
        { .name = "freeze-backbone",
          .kind = CLI_FLAG,
          .target = &config.freeze_backbone,
          .help = "train the decoder only" },
        CLI_OPT_AUGMENT(&config.augment, NULL),
        CLI_OPT_RESIZE(&config.resize),
        { .name = "no-shuffle",
          .kind = CLI_UNFLAG,
          .target = &config.shuffle,
          .help = "take the files in natural order of their names" },
        { .name = "early-stop",
          .kind = CLI_INT,
          .target = &config.early_stop,
          .resume = true,
          .help = "end after so many epochs without a better mean IoU; 0: never" },
        CLI_GROUP_ROW("Saving and watching"),
        { .name = "save-every",
          .kind = CLI_INT,
          .target = &config.save_every,
          .resume = true,
          .help = "epochs between numbered checkpoints; 0: none" },
        { .name = "save-steps",
          .kind = CLI_INT,
          .target = &config.save_steps,
          .resume = true,
          .help = "steps between writes of the last checkpoint; 0: at each epoch's end" },
        { .name = "verify-every",
          .kind = CLI_INT,
          .target = &config.verify_every,
          .resume = true,
          .arg = "STEPS",
          .help = "steps between those of which a random layer is recomputed in float64, "
                  "to stop when the device computes wrongly; 0: never" },
        { .name = "out",
          .kind = CLI_STRING,
          .target = &config.out,
          .arg = "DIR",
          .dflt = "runs/DATE-TIME",
          .help = "run folder to create" },
        { .name = "resume",
          .kind = CLI_STRING,
          .target = &resume,
          .arg = "DIR",
          .resume = true,
          .help = "go on with the run in DIR, bit for bit" },
        { .name = "max-restarts",
          .kind = CLI_INT,
          .target = &restarts,
          .resume = true,
          .help =
              "go on in a new process, so often, when the device or its driver fails" },
        TRAIN_DASHBOARD_ROWS(&view.dashboard),
        CLI_OPT_TENSORBOARD(&view.tensorboard_dir),
        CLI_GROUP_ROW("Several ranks (mpirun, srun)"),
        { .name = "balance",
          .kind = CLI_STRING,
          .target = &config.balance,
          .resume = true,
          .arg = "auto|equal|A:B:...",
          .dflt = "auto",
          .help = "how they share a batch: by measured speed, alike, or so" },
        { .name = "sync-bn",
          .kind = CLI_CHOICE,
          .target = &config.sync_bn,
          .choice = cli_choice_sync_bn,
          .help = "batch norm over all their images; auto: if one has fewer than 8" },
        { .name = "exchange",
          .kind = CLI_CHOICE,
          .target = &config.exchange,
          .resume = true,
          .choice = cli_choice_wire,
          .help = "how gradients travel" },
        CLI_GROUP_ROW("Device and machine"),
        CLI_OPT_GEMM(&config.gemm),
        { .name = "workers",
          .kind = CLI_INT,
          .target = &config.workers,
          .resume = true,
          .dflt = "by processors",
          .help = "threads that load pictures" },
        { .name = "cache-mem",
          .kind = CLI_BYTES,
          .target = &config.cache_bytes,
          .resume = true,
          .help = "host memory for decoded pictures" },
        CLI_OPT_WORKSPACE(&config.workspace_bytes),
        CLI_OPT_MEM(&config.mem_bytes),
        { .name = "pause-on-battery",
          .kind = CLI_FLAG,
          .resume = true,
          .target = &config.pause_on_battery,
          .help = "wait while the machine runs on battery" },
        { .name = "max-temp",
          .kind = CLI_DOUBLE,
          .target = &config.max_celsius,
          .resume = true,
          .arg = "C",
          .dflt = "no limit",
          .help = "wait while a sensor shows more degrees Celsius; 0: no limit" },
        CLI_OPT_KERNEL_MS(env),
        CLI_OPT_PROFILE(env),
        { 0 },
    };
    struct cli_line line;
    int rc = cli_line_parse(&line, env, options, argc, argv, err);
    if (rc == CLFCN_OK) {
        rc = cli_line_apply(&line, err);
    }
    if (rc == CLFCN_OK) {
        config.own_split = !is_given(options, "val-fraction");
        rc = cli_data_take_list(list, &config.data, &config.format, err);
    }
    if (rc == CLFCN_OK) {
        rc = check_restarts(env, restarts, err);
    }
    rc = same_way(env, rc, resume, config.out, err);
    if (rc == CLFCN_OK && !resume && !config.out) {
        default_out(out_name, sizeof(out_name));
        config.out = out_name;
        rc = clfcn_comm_broadcast(env->comm, out_name, sizeof(out_name), err);
    }
    if (rc == CLFCN_OK) {
        env->profile.path = cli_job_leads(env) ? env->profile.path : NULL;
        view.dashboard.wanted = is_given(options, "dashboard");
        rc = cli_supervise(env, restarts, work,
                           &(struct work){ &view, &line, resume, &config }, err);
    }
    cli_line_free(&line);
    return rc;
}

int cmd_train(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    int rc = cli_job_open(env, err);
    if (rc == CLFCN_OK) {
        rc = train_or_resume(env, argc, argv, err);
    }
    return cli_job_close(env, rc, err);
}
