/* cmd_report.c - clfcn report: a run folder as one HTML page, and for TensorBoard. */
#include "../report/report.h"
#include "../report/tensorboard.h"
#include "options.h"

int cmd_report(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    const char *out = NULL, *tensorboard = NULL;
    struct cli_option options[] = {
        { .name = "out", .kind = CLI_STRING, .target = &out, .arg = "FILE",
          .dflt = "report.html in the run folder", .help = "where to write it" },
        CLI_OPT_TENSORBOARD(&tensorboard),
        { 0 },
    };
    struct cli_line line;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc != CLFCN_OK) {
        goto out;
    }
    const char *run = line.args[0];
    rc = clfcn_report_write(run, out, err);
    if (rc == CLFCN_OK && tensorboard) {
        rc = clfcn_tensorboard_write(run, tensorboard, err);
    }
    if (rc < 0) {
        goto out;
    }
    if (env->json) {
        rc = cli_print_json(json_pack("{ss ss* ss*}", "run", run, "out", out,
                                      "tensorboard", tensorboard),
                            err);
    } else if (!env->quiet) {
        printf("wrote %s%s\n", out ? out : run, out ? "" : "/report.html");
        if (tensorboard) {
            printf("wrote events; look at them with: tensorboard --logdir %s\n",
                   tensorboard);
        }
    }
out:
    cli_line_free(&line);
    return rc;
}
