/* cmd_tune.c - clfcn tune: measure a network's convolutions, keep the winners, show them.
 */
#include "../net/tune.h"
#include "../train/runlog.h"
#include "../util/json.h"
#include "../util/strbuf.h"
#include "../util/sys.h"
#include "options.h"
#include <math.h>

struct tune {
    struct clfcn_net_desc desc;
    struct clfcn_net_options how;
    double budget;
    bool show;
    struct cli_env *env;
    struct clfcn_tuning tuning;
};

static void progress(void *user, const struct clfcn_tune_row *row, int done)
{
    struct tune *t = user;
    char text[256];
    if (t->env->screen.terminal && !t->env->json && !t->env->quiet) {
        snprintf(text, sizeof(text), "tuning %d/%d: %s of %s", done + 1, t->tuning.count,
                 clfcn_pass_name(row->pass), row->layers);
        cli_screen_live(&t->env->screen, text);
    }
}

/* The choice of this call, one stored before, or none. */
static const char *source(const struct clfcn_tune_row *row)
{
    const bool now = row->measured && row->result.best >= 0;
    return now ? "measured" : row->stored ? "stored" : "default";
}

static double gflops(const struct clfcn_tune_row *row)
{
    return row->choice.ms > 0 ? row->flop / row->choice.ms / 1e6 : NAN;
}

/* Of the device's peak, 1 being all of it. Algorithms that save multiplications may reach
 * more. */
static double share_of_peak(const struct tune *t, const struct clfcn_tune_row *row)
{
    const double peak = t->tuning.choices.peak_gflops;
    return row->stored && peak > 0 ? gflops(row) / peak : NAN;
}

static json_t *others_to_json(const struct clfcn_tune_row *row)
{
    json_t *list = json_array();
    for (int i = 0; i < row->result.count; ++i) {
        const struct clfcn_tuner_trial *t = &row->result.trials[i];
        if (i != row->result.best) {
            clfcn_json_append(
                &list, json_pack("{ss so so ss}", "algorithm", t->name, "ms",
                                 clfcn_json_number(t->ms >= 0 ? t->ms : NAN), "error",
                                 clfcn_json_number(t->error), "reason", t->why));
        }
    }
    return list;
}

static int print_json(const struct tune *t, const struct clfcn_tune_row *row,
                      struct clfcn_err *err)
{
    const struct clfcn_conv_shape *s = &row->shape;
    return cli_print_json(
        json_pack("{ss ss si si si si si si sb ss ss so so so so so ss}", "layers",
                  row->layers, "pass", clfcn_pass_name(row->pass), "in", s->in, "out",
                  s->out, "kernel", s->kernel, "n", s->n, "h", s->h, "w", s->w,
                  "transposed", (int)s->transposed, "algorithm",
                  row->stored ? row->choice.algorithm : row->usual, "source", source(row),
                  "ms", clfcn_json_number(row->stored ? row->choice.ms : NAN), "gflops",
                  clfcn_json_number(gflops(row)), "of_peak",
                  clfcn_json_number(share_of_peak(t, row)), "error",
                  clfcn_json_number(row->stored ? row->choice.error : NAN), "others",
                  others_to_json(row), "reason", row->why),
        err);
}

/* "im2col+native 3.21, im2col+clblast: does not build": the losers, or why there are
 * none. */
static void describe_others(const struct clfcn_tune_row *row, struct clfcn_strbuf *sb)
{
    if (!row->stored) {
        clfcn_strbuf_add(sb, "the default, not measured");
    }
    if (row->why[0]) {
        clfcn_strbuf_add(sb, "%s%s", sb->len ? ": " : "", row->why);
    }
    for (int i = 0; i < row->result.count; ++i) {
        const struct clfcn_tuner_trial *t = &row->result.trials[i];
        const char *comma = sb->len ? ", " : "";
        if (i != row->result.best && t->correct) {
            clfcn_strbuf_add(sb, "%s%s %.2f", comma, t->name, t->ms);
        } else if (i != row->result.best) {
            clfcn_strbuf_add(sb, "%s%s: %s", comma, t->name, t->why);
        }
    }
}

static int print_row(const struct tune *t, const struct clfcn_tune_row *row,
                     struct clfcn_err *err)
{
    struct clfcn_strbuf others = { 0 };
    char ms[16] = "-", speed[16] = "-", share[16] = "-";
    describe_others(row, &others);
    if (others.failed) {
        return clfcn_err_nomem(err);
    }
    if (row->stored) {
        snprintf(ms, sizeof(ms), "%.2f", row->choice.ms);
        snprintf(speed, sizeof(speed), "%.1f", gflops(row));
    }
    if (!isnan(share_of_peak(t, row))) {
        snprintf(share, sizeof(share), "%.0f", 100 * share_of_peak(t, row));
    }
    printf("%-24s %-15s %-24s %9s %8s %9s%s%s\n", row->layers, clfcn_pass_name(row->pass),
           row->stored ? row->choice.algorithm : row->usual, ms, speed, share,
           others.str ? "  " : "", others.str ? others.str : "");
    clfcn_strbuf_free(&others);
    return CLFCN_OK;
}

static int print(const struct tune *t, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    if (!t->env->json) {
        cli_heading("%-24s %-15s %-24s %9s %8s %9s  %s", "layers", "pass", "algorithm",
                    "ms", "GFLOP/s", "% of peak", "others, ms");
    }
    for (int i = 0; rc == CLFCN_OK && i < t->tuning.count; ++i) {
        rc = t->env->json ? print_json(t, &t->tuning.rows[i], err)
                          : print_row(t, &t->tuning.rows[i], err);
    }
    return rc;
}

static int measure(struct tune *t, struct clfcn_err *err)
{
    const struct clfcn_tune_how how = { .budget = t->budget,
                                        .stop = clfcn_interrupt_flag(),
                                        .progress = progress,
                                        .user = t };
    clfcn_interrupt_install();
    const int rc = clfcn_tuning_measure(&t->tuning, &how, err);
    cli_screen_clear(&t->env->screen);
    if (rc == CLFCN_EINTR) {
        clfcn_err_set(err, rc, 0, "interrupted; what was measured by then is stored");
    }
    return rc;
}

static int run(struct tune *t, struct clfcn_err *err)
{
    struct clfcn_dev *dev = NULL;
    int rc = cli_device_open(t->env, &dev, err);
    if (rc < 0) {
        return rc;
    }
    rc = clfcn_tuning_open(dev, &t->desc, &t->how,
                           t->show ? CLFCN_LOG_WARN : CLFCN_LOG_DEBUG, &t->tuning, err);
    if (rc == CLFCN_OK && !t->show) {
        rc = measure(t, err);
    }
    if (rc == CLFCN_OK) {
        rc = print(t, err);
    }
    clfcn_tuning_close(&t->tuning);
    clfcn_dev_close(&dev);
    return rc;
}

int cmd_tune(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    struct tune t = {
        .desc = CLI_REFERENCE_NET,
        .how = { .training = true },
        .budget = 60,
        .env = env,
    };
    struct cli_option options[] = {
        CLI_OPT_ARCH(&t.desc.arch),
        CLI_OPT_BACKBONE(&t.desc.backbone),
        CLI_OPT_SIZE(&t.desc.width, &t.desc.height),
        CLI_OPT_BATCH(&t.desc.batch),
        CLI_OPT_CLASSES(&t.desc.classes),
        { .name = "freeze-backbone",
          .kind = CLI_FLAG,
          .target = &t.how.freeze_backbone,
          .help = "for training the decoder only" },
        { .name = "inference",
          .kind = CLI_UNFLAG,
          .target = &t.how.training,
          .help = "for eval and predict instead of training" },
        { .name = "budget",
          .kind = CLI_DOUBLE,
          .target = &t.budget,
          .arg = "SECONDS",
          .help = "time to spend, compiling included; the heaviest layers come first" },
        { .name = "show",
          .kind = CLI_FLAG,
          .target = &t.show,
          .help = "print what is stored for the network, and measure nothing" },
        CLI_OPT_GEMM(&t.how.gemm),
        CLI_OPT_WORKSPACE(&t.how.workspace_bytes),
        { 0 },
    };
    struct cli_line line;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc == CLFCN_OK && !(t.budget > 0)) {
        rc = clfcn_err_set(err, CLFCN_EINVAL, 0, "--budget %g: must be more than 0",
                           t.budget);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_net_check_desc(&t.desc, err);
    }
    if (rc == CLFCN_OK) {
        rc = run(&t, err);
    }
    cli_line_free(&line);
    return rc;
}
