/* main.c - clfcn, the command: the table of subcommands, exit status, the last error. */
#include "options.h"
#include "../util/nearest.h"
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
      "examine a data set, preview augmentation, or write the built-in set", 1, 1, false,
      cmd_data },
    { "report", "RUN", "write a run folder's report as one HTML page",
      1, 1, false, cmd_report },
    { "import", "IN OUT.safetensors [--partial]",
      "turn weights that PyTorch saved into safetensors", 2, 2, false, cmd_import },
    { "info", "FILE", "show what a checkpoint, weights file or certificate holds",
      1, 1, false, cmd_info },
};

static void usage(void)
{
    printf("clfcn %s - train fully convolutional networks on any OpenCL device\n\n"
           "Usage: clfcn COMMAND [options]\n\n",
           clfcn_version());
    for (int i = 0; i < (int)(sizeof(commands) / sizeof(commands[0])); ++i) {
        printf("  %-9s %s\n", commands[i].name, commands[i].help);
    }
    printf(
        "\n'clfcn COMMAND --help' lists a command's options; 'clfcn --version' says the "
        "version.\n");
}

static const struct cli_command *find_command(const char *name, struct clfcn_nearest *near)
{
    for (int i = 0; i < (int)(sizeof(commands) / sizeof(commands[0])); ++i) {
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

static int unknown_command(const char *name, const struct clfcn_nearest *near)
{
    if (near->best) {
        fprintf(stderr, "clfcn: unknown command '%s'; did you mean '%s'?\n", name,
                near->best);
    } else {
        fprintf(stderr, "clfcn: unknown command '%s'; see 'clfcn --help'\n", name);
    }
    return 2;
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
    if (argc < 2) {
        fprintf(stderr, "clfcn: no command given, such as train; see 'clfcn --help'\n");
        return 2;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("clfcn %s\n", clfcn_version());
        return close_stdout(0);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage();
        return close_stdout(0);
    }
    struct clfcn_nearest near = { .word = argv[1] };
    struct cli_env env = { .command = find_command(argv[1], &near),
                           .device = "auto",
                           .max_kernel_ms = CLI_KERNEL_MS_DEFAULT };
    if (!env.command) {
        return unknown_command(argv[1], &near);
    }
    cli_screen_init(&env.screen);
    struct clfcn_err err = { 0 };
    int rc = env.command->run(&env, argc - 1, argv + 1, &err);
    if (rc < 0) {
        cli_screen_print(&env.screen, stderr, "clfcn: %s: %s\n", env.command->name,
                         err.msg);
    }
    clfcn_log_set(CLFCN_LOG_ERROR, NULL, NULL);
    cli_screen_finish(&env.screen);
    return close_stdout(exit_status(rc));
}
