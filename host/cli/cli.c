/* cli.c - what every subcommand shares: messages, devices, inputs, output. */
#include "cli.h"
#include "../comm/comm.h"
#include "../util/sys.h"
#include "job.h"
#include "profile.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

static void log_line(void *user, enum clfcn_log_level level, const char *msg)
{
    struct cli_env *env = user;
    static const struct {
        enum clfcn_term_style style;
        const char *text;
    } prefix[] = {
        [CLFCN_LOG_ERROR] = { CLFCN_TERM_RED, "clfcn: error: " },
        [CLFCN_LOG_WARN] = { CLFCN_TERM_YELLOW, "clfcn: warning: " },
        [CLFCN_LOG_INFO] = { CLFCN_TERM_PLAIN, "" },
        [CLFCN_LOG_DEBUG] = { CLFCN_TERM_PLAIN, "debug: " },
    };
    char rank[32] = "";
    if (!cli_job_leads(env)) {
        snprintf(rank, sizeof(rank), "rank %d: ", clfcn_comm_rank(env->comm));
    }
    cli_screen_print(&env->screen, stderr, "%s%s%s%s%s\n", rank,
                     clfcn_term_style(stderr, prefix[level].style), prefix[level].text,
                     clfcn_term_style(stderr, CLFCN_TERM_PLAIN), msg);
}

void cli_log_start(struct cli_env *env)
{
    enum clfcn_log_level level = env->verbose ? CLFCN_LOG_DEBUG
                                 : env->quiet ? CLFCN_LOG_WARN
                                              : CLFCN_LOG_INFO;
    env->quiet = env->quiet || !cli_job_leads(env);
    clfcn_log_set(level, cli_job_leads(env) || env->verbose ? log_line : NULL, env);
}

static int check_options(struct cli_env *env, struct clfcn_err *err)
{
    const double ms = env->max_kernel_ms;
    if (!(ms >= 0) && ms != CLI_KERNEL_MS_DEFAULT) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--max-kernel-ms must be at least 0, not %g", ms);
    }
    return cli_profile_check(env, err);
}

int cli_device_open(struct cli_env *env, struct clfcn_dev **dev, struct clfcn_err *err)
{
    *dev = NULL;
    int rc = check_options(env, err);
    if (env->comm) {
        rc = cli_job_device_open(env, rc, dev, err);
    } else if (rc == CLFCN_OK) {
        rc = clfcn_dev_open(env->device, dev, err);
    }
    if (rc == CLFCN_OK && env->max_kernel_ms >= 0) {
        rc = clfcn_dev_limit_kernels(*dev, env->max_kernel_ms, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (!env->quiet && !env->json) {
        char text[512];
        clfcn_dev_describe(clfcn_dev_get_info(*dev), text, sizeof(text));
        cli_screen_print(
            &env->screen, stderr,
            "device: %s%s%s; choose another with --device, see 'clfcn devices'\n", text,
            (*dev)->part[0] ? ", " : "", (*dev)->part);
    }
    return CLFCN_OK;
}

void cli_print_error(struct cli_env *env, const struct clfcn_err *err)
{
    cli_screen_print(&env->screen, stderr, "%sclfcn:%s %s%s%s\n",
                     clfcn_term_style(stderr, CLFCN_TERM_RED),
                     clfcn_term_style(stderr, CLFCN_TERM_PLAIN),
                     env->command ? env->command->name : "", env->command ? ": " : "",
                     err->msg);
}

int cli_input(int rc, struct clfcn_err *err)
{
    if (rc == CLFCN_EIO) {
        rc = CLFCN_EDATA;
        err->code = rc;
    }
    return rc;
}

void cli_note_broken(struct cli_env *env, struct clfcn_err *noted,
                     const struct clfcn_err *err)
{
    if (noted->code < 0) {
        cli_print_error(env, noted);
    }
    *noted = *err;
    noted->code = CLFCN_EDATA;
}

int cli_data_take_list(const char *list, const char **data, const char **format,
                       struct clfcn_err *err)
{
    if (!list) {
        return CLFCN_OK;
    }
    if (*data || *format) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--list names the whole set: leave out --data and --format");
    }
    *data = list;
    *format = "list";
    return CLFCN_OK;
}

static int open_data(const struct cli_data *from, struct clfcn_dataset **out,
                     struct clfcn_err *err)
{
    bool paths = from->images || from->masks || from->classes;
    if (from->data && paths) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "give either --data or --images, --masks and --classes");
    }
    if (from->data) {
        return cli_input(clfcn_dataset_open_as(from->data, from->format, out, err), err);
    }
    if (from->format) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--format says what --data is: give both");
    }
    if (!from->images || !from->masks || !from->classes) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "no data: give --data DIR (or --data demo), or all of --images, "
            "--masks and --classes");
    }
    return cli_input(
        clfcn_dataset_open_paths(from->images, from->masks, from->classes, out, err),
        err);
}

int cli_dataset_open(const struct cli_data *from, struct clfcn_dataset **out,
                     struct clfcn_err *err)
{
    *out = NULL;
    int rc = open_data(from, out, err);
    if (rc == CLFCN_OK && from->ignore) {
        rc = clfcn_dataset_ignore(*out, from->ignore, err);
    }
    if (rc < 0) {
        clfcn_dataset_destroy(out);
    }
    return rc;
}

void cli_heading(const char *fmt, ...)
{
    va_list args;
    fputs(clfcn_term_style(stdout, CLFCN_TERM_BOLD), stdout);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    puts(clfcn_term_style(stdout, CLFCN_TERM_PLAIN));
}

int cli_print_json(json_t *object, struct clfcn_err *err)
{
    if (!object) {
        return clfcn_err_nomem(err);
    }
    errno = 0;
    int failed = json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(10));
    json_decref(object);
    if (failed || putchar('\n') == EOF || fflush(stdout) != 0) {
        return clfcn_err_errno(err, errno ? errno : ENOMEM, "standard output");
    }
    return CLFCN_OK;
}

const char *cli_format_bytes(uint64_t bytes, char buf[CLI_BYTES_LEN])
{
    static const char *const unit[] = { "KiB", "MiB", "GiB", "TiB" };
    if (bytes < 1024) {
        snprintf(buf, CLI_BYTES_LEN, "%u B", (unsigned)bytes);
        return buf;
    }
    double v = (double)bytes / 1024;
    int u = 0;
    while (v >= 1000 && u < 3) {
        v /= 1024;
        ++u;
    }
    snprintf(buf, CLI_BYTES_LEN, v < 10 ? "%.2f %s" : "%.1f %s", v, unit[u]);
    return buf;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double cli_median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof(*v), by_value);
    return (v[(n - 1) / 2] + v[n / 2]) / 2;
}
