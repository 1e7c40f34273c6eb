/* main.c - clfcn, the command: the table of subcommands, exit status, the last error. */
#include "../util/nearest.h"
#include "../util/path.h"
#include "../util/strbuf.h"
#include "complete.h"
#include "manual.h"
#include "options.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct cli_command commands[] = {
    { "devices", "[options]", "list OpenCL devices and whether they are usable",
      0, 0, true, cmd_devices },
    { "train", "[options]", "train a network, or go on with a run",
      0, 0, true, cmd_train },
    { "eval", "CKPT --data DIR", "measure a network on pictures with masks",
      1, 1, true, cmd_eval },
    { "predict", "CKPT IMAGE|DIR... --out DIR", "draw masks for pictures",
      2, -1, true, cmd_predict },
    { "bench", "[--device all] [options]", "time training and inference, layer by layer",
      0, 0, true, cmd_bench },
    { "compare", "BENCH.json... [--out PAGE.html]", "lay what bench measured side by side",
      1, -1, false, cmd_compare },
    { "tune", "[options]", "measure which algorithms are fastest on a device",
      0, 0, true, cmd_tune },
    { "selftest", "[options]", "test whether a device computes what it should",
      0, 0, true, cmd_selftest },
    { "plan", "[options]", "say how much device memory a network takes",
      0, 0, true, cmd_plan },
    { "diverge", "--device A --device B [options]",
      "train on two devices and find where they part", 0, 0, false, cmd_diverge },
    { "data", "DIR|LIST|demo",
      "examine a data set, preview augmentation, or write the built-in set",
      1, 1, false, cmd_data },
    { "report", "RUN", "write a run folder's report as one HTML page",
      1, 1, false, cmd_report },
    { "import", "IN OUT.safetensors [--partial]",
      "turn weights that PyTorch saved into safetensors", 2, 2, false, cmd_import },
    { "export", "CKPT OUT [--format torch|safetensors|onnx]",
      "write weights for PyTorch or as an ONNX model", 1, 2, false, cmd_export },
    { "info", "FILE|RUN", "show what a checkpoint, weights, a bench file or a run holds",
      1, 1, false, cmd_info },
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void usage(void)
{
    printf("clfcn %s - train fully convolutional networks on any OpenCL device\n\n",
           clfcn_version());
    cli_heading("Usage:");
    printf("  clfcn COMMAND [options]\n\n");
    cli_heading("Commands:");
    for (int i = 0; i < COMMANDS; ++i) {
        printf("  %-9s %s\n", commands[i].name, commands[i].help);
    }
    printf(
        "\n'clfcn COMMAND --help' lists a command's options; 'man clfcn-COMMAND' tells\n"
        "more; 'clfcn --version' says the version.\n");
}

static const struct cli_command *find_command(const char *name,
                                              struct clfcn_nearest *near)
{
    for (int i = 0; i < COMMANDS; ++i) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
        clfcn_nearest_offer(near, commands[i].name);
    }
    return NULL;
}

/* The exit status of the contract. */
static int exit_status(int rc)
{
    switch (rc) {
    case CLFCN_OK:
    case CLI_HELPED:
        return 0;
    case CLFCN_EINVAL:
        return 2;
    case CLFCN_ENODEV:
        return 3;
    case CLFCN_EDATA:
        return 4;
    case CLFCN_EINTR:
        return 130;
    default:
        return 1;
    }
}

/* A checkpoint of the run in a folder, or NULL. To be freed. */
static char *checkpoint_in(const char *folder)
{
    static const char *const names[] = { "best", "last" };
    for (int i = 0; i < 2; ++i) {
        struct clfcn_strbuf path = { 0 };
        clfcn_strbuf_add(&path, "%s/checkpoints/%s.safetensors", folder, names[i]);
        if (!path.failed && clfcn_path_exists(path.str)) {
            return path.str;
        }
        clfcn_strbuf_free(&path);
    }
    return NULL;
}

/* Where the error is that a path on the line does not exist, and one that is much like it
 * does, or that it is a run's folder in place of its checkpoint: say so. */
static void suggest_path(struct clfcn_err *err, int argc, char **argv)
{
    const bool missing = err->native == ENOENT, folder = err->native == EISDIR;
    for (int i = 1; i < argc && (missing || folder); ++i) {
        const char *value = argv[i][0] == '-' ? strchr(argv[i], '=') : argv[i];
        value = value && *value == '=' ? value + 1 : value;
        if (!value || !*value || !strstr(err->msg, value)) {
            continue;
        }
        char *near = folder ? checkpoint_in(value) : clfcn_nearest_path(value);
        if (near) {
            const size_t n = strlen(err->msg);
            snprintf(err->msg + n, sizeof(err->msg) - n, "; did you mean '%s'?", near);
            free(near);
            return;
        }
    }
}

/* Let a command print its options as env->help does. */
static int show_options(struct cli_env *env, const struct cli_command *command,
                        struct clfcn_err *err)
{
    char name[32], help[] = "--help";
    snprintf(name, sizeof(name), "%s", command->name);
    char *argv[] = { name, help, NULL };
    env->command = command;
    return command->run(env, 2, argv, err);
}

static int print_completion(struct cli_env *env, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    env->help = cli_complete_command;
    cli_complete_begin(commands, COMMANDS);
    for (int i = 0; i < COMMANDS && rc >= 0; ++i) {
        rc = show_options(env, &commands[i], err);
    }
    cli_complete_end();
    return rc;
}

static int print_manual(struct cli_env *env, const char *name, struct clfcn_err *err)
{
    if (!name) {
        cli_manual_program(commands, COMMANDS);
        return CLFCN_OK;
    }
    struct clfcn_nearest near = { .word = name };
    const struct cli_command *command = find_command(name, &near);
    if (!command) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--man: there is no command '%s'; see 'clfcn --help'", name);
    }
    env->help = cli_manual_command;
    return show_options(env, command, err);
}

/* What begins with dashes in a command's place. */
static int run_option(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    const char *option = argv[1], *value = argc > 2 ? argv[2] : NULL;
    if (strcmp(option, "--version") == 0) {
        printf("clfcn %s\n", clfcn_version());
        return CLFCN_OK;
    }
    if (strcmp(option, "--help") == 0 || strcmp(option, "-h") == 0) {
        usage();
        return CLFCN_OK;
    }
    if (strcmp(option, "--man") == 0) {
        return print_manual(env, value, err);
    }
    if (strcmp(option, "--completion") == 0) {
        return value && strcmp(value, "bash") == 0
                   ? print_completion(env, err)
                   : clfcn_err_set(err, CLFCN_EINVAL, 0,
                                   "--completion: say for which shell: bash is known");
    }
    return clfcn_err_set(err, CLFCN_EINVAL, 0,
                         "unknown option %s before a command; see 'clfcn --help'",
                         option);
}

static int run(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    if (argc < 2) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "no command given, such as train; see 'clfcn --help'");
    }
    if (argv[1][0] == '-') {
        return run_option(env, argc, argv, err);
    }
    struct clfcn_nearest near = { .word = argv[1] };
    const struct cli_command *command = find_command(argv[1], &near);
    if (!command && near.best) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "unknown command '%s'; did you mean '%s'?", argv[1],
                             near.best);
    }
    if (!command) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "unknown command '%s'; see 'clfcn --help'", argv[1]);
    }
    env->command = command;
    const int rc = command->run(env, argc - 1, argv + 1, err);
    if (rc < 0) {
        suggest_path(err, argc, argv);
    }
    return rc;
}

/* A full disk under stdout must not pass for success. */
static int close_stdout(int status)
{
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == 0) {
        fprintf(stderr, "clfcn: standard output: %s\n", strerror(errno));
        return 1;
    }
    return status;
}

int main(int argc, char **argv)
{
    struct cli_env env = { .device = "auto",
                           .help = cli_help_command,
                           .max_kernel_ms = CLI_KERNEL_MS_DEFAULT };
    struct clfcn_err err = { 0 };
    cli_screen_init(&env.screen);
    const int rc = run(&env, argc, argv, &err);
    if (rc < 0 && !env.told) {
        cli_print_error(&env, &err);
    }
    clfcn_log_set(CLFCN_LOG_ERROR, NULL, NULL);
    cli_screen_finish(&env.screen);
    return close_stdout(exit_status(rc));
}
