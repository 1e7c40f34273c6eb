/* cmd_report.c - clfcn report: a run folder as one HTML page. */
#include "../report/report.h"
#include "options.h"

int cmd_report(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    const char *out = NULL;
    struct cli_option options[] = {
        { .name = "out", .kind = CLI_STRING, .target = &out, .arg = "FILE",
          .dflt = "report.html in the run folder", .help = "where to write it" },
        { 0 },
    };
    struct cli_line line;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc != CLFCN_OK) {
        goto out;
    }
    const char *run = line.args[0];
    rc = clfcn_report_write(run, out, err);
    if (rc < 0) {
        goto out;
    }
    if (env->json) {
        rc = cli_print_json(json_pack("{ss ss*}", "run", run, "out", out), err);
    } else if (!env->quiet) {
        printf("wrote %s%s\n", out ? out : run, out ? "" : "/report.html");
    }
out:
    cli_line_free(&line);
    return rc;
}
