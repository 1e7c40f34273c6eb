/* cmd_diverge.c - clfcn diverge: the same training steps on two devices, and where they
 * part. */
#include "../net/tune.h"
#include "../util/strbuf.h"
#include "../util/sys.h"
#include "diverge.h"
#include "options.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STEPS = 100000 };

/* What an algorithm may be off by to be chosen at all (ops/tuner.c): thirty times what
 * two right compilers differ by. And what flipped decisions of ReLUs and poolings hardly
 * do to a gradient within three steps. */
static const double ISOLATED_TOLERANCE = 1e-4, FREE_TOLERANCE = 1e-1;

/* The command line, in quotes where a shell needs them; a new string. */
static int quote_command(int argc, char **argv, char **out, struct clfcn_err *err)
{
    struct clfcn_strbuf s = { 0 };
    clfcn_strbuf_add(&s, "clfcn");
    for (int i = 0; i < argc; ++i) {
        const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                            "0123456789-_=./,:+@%";
        if (argv[i][0] && argv[i][strspn(argv[i], plain)] == '\0') {
            clfcn_strbuf_add(&s, " %s", argv[i]);
            continue;
        }
        clfcn_strbuf_add(&s, " '");
        for (const char *c = argv[i]; *c; ++c) {
            if (*c == '\'') {
                clfcn_strbuf_add(&s, "'\\''");
            } else {
                clfcn_strbuf_add_bytes(&s, c, 1);
            }
        }
        clfcn_strbuf_add(&s, "'");
    }
    if (s.failed) {
        clfcn_strbuf_free(&s);
        return clfcn_err_nomem(err);
    }
    *out = s.str;
    return CLFCN_OK;
}

/* What is under way, on the terminal's live line. */
struct view {
    struct cli_env *env;
    int steps;
};

static void show_progress(void *user, int step, const char *layer, const char *pass)
{
    const struct view *view = user;
    char text[120];
    snprintf(text, sizeof(text), "step %d/%d: %s, %s", step, view->steps, layer, pass);
    cli_screen_live(&view->env->screen, text);
}

static int open_devices(struct cli_env *env, struct cli_diverge *d, struct clfcn_err *err)
{
    for (int s = 0; s < 2; ++s) {
        const int rc = clfcn_dev_open(d->spec[s], &d->dev[s], err);
        if (rc < 0) {
            clfcn_err_note(err, "--device %s", d->spec[s]);
            return rc;
        }
        if (!env->quiet && !env->json) {
            char text[512];
            clfcn_dev_describe(&d->dev[s]->info, text, sizeof(text));
            cli_screen_print(&env->screen, stderr, "device %c: %s\n", "AB"[s], text);
        }
    }
    return CLFCN_OK;
}

/* What a difference that was found makes of the command: a failure, in one line. */
static int verdict(const struct cli_diverge *d, struct clfcn_err *err)
{
    const struct clfcn_diverge *r = &d->result;
    if (!r->found) {
        return CLFCN_OK;
    }
    const struct clfcn_diverge_row *row = &r->rows[r->first.row];
    char text[CLI_DIVERGE_WHAT];
    return clfcn_err_set(
        err, CLFCN_ENUMERIC, 0,
        "the devices part at step %d, layer '%s', %s: %.2g apart, tolerance %.2g",
        r->first.step, row->layer, cli_diverge_what(row, text),
        r->first.difference.relative, row->tolerance);
}

static int print(const struct cli_env *env, const struct cli_diverge *d,
                 struct clfcn_err *err)
{
    if (env->json) {
        return cli_diverge_print_json(d, err);
    }
    cli_diverge_print_text(d);
    return CLFCN_OK;
}

static int compare(struct cli_env *env, struct cli_diverge *d, struct clfcn_err *err)
{
    struct view view = { env, d->how.steps };
    clfcn_interrupt_install();
    d->how.stop = clfcn_interrupt_flag();
    if (env->screen.terminal && !env->json && !env->quiet) {
        d->how.progress = show_progress;
        d->how.user = &view;
    }
    int rc = open_devices(env, d, err);
    for (int s = 0; rc == CLFCN_OK && s < 2; ++s) {
        clfcn_tune_first(d->dev[s], &d->desc, &d->net, d->how.stop);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_diverge_run(d->dev, &d->desc, &d->net, &d->how, &d->result, err);
    }
    cli_screen_clear(&env->screen);
    if (d->result.row_count > 0) { /* also of a run that was cut short */
        struct clfcn_err print_err;
        const int printed = print(env, d, &print_err);
        if (rc == CLFCN_OK && printed < 0) {
            rc = printed;
            *err = print_err;
        }
    }
    if (rc == CLFCN_OK) {
        rc = verdict(d, err);
    }
    clfcn_diverge_free(&d->result);
    clfcn_dev_close(&d->dev[1]);
    clfcn_dev_close(&d->dev[0]);
    return rc;
}

static int check_options(struct cli_diverge *d, struct clfcn_err *err)
{
    if (!d->spec[0] || !d->spec[1]) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "give --device twice: the two devices to compare, which may "
                             "be the same; see 'clfcn devices'");
    }
    if (d->how.steps < 1 || d->how.steps > MAX_STEPS) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "--steps %d: must be 1 to %d",
                             d->how.steps, MAX_STEPS);
    }
    if (isnan(d->how.tolerance)) {
        d->how.tolerance = d->how.free_running ? FREE_TOLERANCE : ISOLATED_TOLERANCE;
    }
    if (d->how.tolerance < 0) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "--tolerance %g: must be 0 or more",
                             d->how.tolerance);
    }
    return clfcn_net_check_desc(&d->desc, err);
}

int cmd_diverge(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    struct cli_diverge d = {
        .desc = CLI_REFERENCE_NET,
        .net = { .training = true, .focal_gamma = 2 },
        .how = { .steps = 3, .tolerance = NAN },
    };
    struct cli_option options[] = {
        { .name = "device",
          .kind = CLI_PAIR,
          .target = d.spec,
          .arg = "SPEC",
          .help =
              "given twice, A and B: auto, cpu, gpu, a number from 'clfcn devices', or "
              "part of a name" },
        { .name = "steps",
          .kind = CLI_INT,
          .target = &d.how.steps,
          .help = "training steps to compare" },
        { .name = "free",
          .kind = CLI_FLAG,
          .target = &d.how.free_running,
          .help = "let both run on by themselves, and show how the difference grows, "
                  "instead of giving B what A made after every pass" },
        { .name = "tolerance",
          .kind = CLI_DOUBLE,
          .target = &d.how.tolerance,
          .help = "largest difference in the relative 2-norm",
          .dflt = "1e-4, with --free 0.1" },
        CLI_OPT_ARCH(&d.desc.arch),
        CLI_OPT_BACKBONE(&d.desc.backbone),
        CLI_OPT_SIZE(&d.desc.width, &d.desc.height),
        CLI_OPT_BATCH(&d.desc.batch),
        CLI_OPT_CLASSES(&d.desc.classes),
        CLI_OPT_LOSS(&d.net.loss),
        CLI_OPT_OPTIMIZER(&d.net.optimizer),
        CLI_OPT_GEMM(&d.net.gemm),
        CLI_OPT_WORKSPACE(&d.net.workspace_bytes),
        { .name = "seed",
          .kind = CLI_UINT64,
          .target = &d.how.seed,
          .help = "of the weights and of the pictures, which are noise" },
        { 0 },
    };
    struct cli_line line;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc == CLFCN_OK) {
        rc = check_options(&d, err);
    }
    if (rc == CLFCN_OK) {
        rc = quote_command(argc, argv, &d.command, err);
    }
    if (rc == CLFCN_OK) {
        rc = compare(env, &d, err);
    }
    free(d.command);
    cli_line_free(&line);
    return rc;
}
