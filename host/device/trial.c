/* trial.c - drivers tried by clfcn-probe, a process for each.
 *
 * The program reports line by line (host/cli/probe_main.c): "path FILE", where the
 * library was found; "while DOING", what it is about to do; "idle WHY" or "broken WHY",
 * what is wrong with the driver; and last "done". A driver that ends the process early is
 * betrayed by the last DOING. */
#include "../util/child.h"
#include "../util/log.h"
#include "../util/path.h"
#include "../util/temp.h"
#include "driver.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One driver's process and what belongs to it. */
struct trial {
    struct clfcn_icd_view view;
    char seconds[32];
    const char *argv[4], *env[3];
};

/* How long a driver may take. */
static double time_limit(void)
{
    static const double usual = 10;
    const char *text = getenv("CLFCN_PROBE_SECONDS");
    if (!text || !*text) {
        return usual;
    }
    char *end;
    const double seconds = strtod(text, &end);
    if (*end || !(seconds > 0 && seconds <= 86400)) {
        clfcn_warn("CLFCN_PROBE_SECONDS=%s is no number of seconds above 0; it is taken "
                   "for %g",
                   text, usual);
        return usual;
    }
    return seconds;
}

/* clfcn-probe: where the environment says, beside the running program, which is where a
 * build has it, or where it is installed. A new string, or NULL. */
static char *find_program(void)
{
    const char *own = getenv("CLFCN_PROBE");
    if (own && *own) {
        return strdup(own);
    }
    char *program = clfcn_path_of_program(), *beside = NULL;
    if (program) {
        program[clfcn_path_base(program) - program] = '\0';
        beside = clfcn_path_join(program, "clfcn-probe");
        free(program);
    }
    if (beside && clfcn_path_exists(beside)) {
        return beside;
    }
    free(beside);
    return strdup(CLFCN_LIBEXECDIR "/clfcn-probe");
}

/* The lines of a report, taken apart; the strings lie in it. */
struct report {
    const char *path, *doing, *idle, *broken;
    bool done;
};

/* The text after a line's first word, if it is that one, else keep. */
static const char *text_after(const char *line, const char *word, const char *keep)
{
    const size_t len = strlen(word);
    return strncmp(line, word, len) == 0 && line[len] == ' ' ? line + len + 1 : keep;
}

static struct report read_report(char *text)
{
    struct report report = { 0 };
    char *rest = text;
    for (char *line; (line = strtok_r(rest, "\n", &rest));) {
        report.path = text_after(line, "path", report.path);
        report.doing = text_after(line, "while", report.doing);
        report.idle = text_after(line, "idle", report.idle);
        report.broken = text_after(line, "broken", report.broken);
        report.done = report.done || strcmp(line, "done") == 0;
    }
    return report;
}

/* Say in why what became of a process that did not come to its end. */
static void blame(struct clfcn_driver *driver, const struct clfcn_child *child,
                  const char *doing, double limit)
{
    char name[64], *why = driver->why;
    const size_t n = sizeof(driver->why);
    driver->state = CLFCN_DRIVER_BROKEN;
    if (child->end == CLFCN_CHILD_LATE) {
        driver->late = true;
        snprintf(why, n, "did not answer within %g s while %s", limit, doing);
    } else if (child->end == CLFCN_CHILD_KILLED) {
        clfcn_signal_name(child->code, name, sizeof(name));
        snprintf(why, n, "crashed with %s while %s", name, doing);
    } else {
        snprintf(why, n, "ended the whole process while %s", doing);
    }
}

static void judge(struct clfcn_driver *driver, const struct clfcn_child *child,
                  double limit)
{
    char none[1] = "";
    const struct report report = read_report(child->out.str ? child->out.str : none);
    driver->path = report.path ? strdup(report.path) : NULL;
    if (child->end == CLFCN_CHILD_UNSTARTED) {
        clfcn_debug("OpenCL driver %s is not tried beforehand: cannot start %s: %s",
                    driver->icd.library, child->argv[0], strerror(child->code));
    } else if (report.broken) {
        driver->state = CLFCN_DRIVER_BROKEN;
        snprintf(driver->why, sizeof(driver->why), "%s", report.broken);
    } else if (report.done) {
        driver->state = report.idle ? CLFCN_DRIVER_IDLE : CLFCN_DRIVER_SOUND;
        snprintf(driver->why, sizeof(driver->why), "%s", report.idle ? report.idle : "");
    } else if (report.doing) {
        blame(driver, child, report.doing, limit);
    } else {
        clfcn_debug("OpenCL driver %s is not tried beforehand: %s reports nothing",
                    driver->icd.library, child->argv[0]);
    }
}

/* Prepare one process: its loader will see the one library. */
static int prepare(struct trial *trial, struct clfcn_child *child, const char *program,
                   const struct clfcn_driver *driver, const char *temp, int number,
                   double limit, struct clfcn_err *err)
{
    char name[16];
    const struct clfcn_icd *icd = &driver->icd;
    snprintf(name, sizeof(name), "%d", number);
    snprintf(trial->seconds, sizeof(trial->seconds), "%g", ceil(limit));
    trial->argv[0] = program;
    trial->argv[1] = icd->library;
    trial->argv[2] = trial->seconds;
    child->argv = trial->argv;
    child->env = trial->env;
    const int rc = clfcn_icd_view_create(&trial->view, temp, name, &icd, 1, err);
    trial->env[0] = trial->view.vendors;
    trial->env[1] = trial->view.filenames;
    return rc;
}

/* What clfcn_drivers_try() does when it has what it needs. */
static int try_all(struct trial *trials, struct clfcn_child *children,
                   const char *program, const char *temp,
                   struct clfcn_driver *const *drivers, int count, struct clfcn_err *err)
{
    const double limit = time_limit();
    for (int i = 0; i < count; ++i) {
        const int rc =
            prepare(&trials[i], &children[i], program, drivers[i], temp, i, limit, err);
        if (rc < 0) {
            return rc;
        }
    }
    clfcn_children_run(children, count, limit);
    for (int i = 0; i < count; ++i) {
        judge(drivers[i], &children[i], limit);
    }
    return CLFCN_OK;
}

void clfcn_drivers_try(struct clfcn_driver *const *drivers, int count)
{
    struct clfcn_err err;
    struct trial *trials = calloc((size_t)count, sizeof(*trials));
    struct clfcn_child *children = calloc((size_t)count, sizeof(*children));
    char *program = find_program();
    struct clfcn_temp temp = { 0 };
    int rc = CLFCN_OK;
    if (!trials || !children || !program) {
        rc = clfcn_err_nomem(&err);
        goto out;
    }
    rc = clfcn_temp_make(&temp, &err);
    if (rc == CLFCN_OK) {
        rc = try_all(trials, children, program, temp.path, drivers, count, &err);
    }
    for (int i = 0; i < count; ++i) {
        clfcn_strbuf_free(&children[i].out);
        clfcn_icd_view_destroy(&trials[i].view);
    }
    clfcn_temp_remove(&temp);
out:
    if (rc < 0) {
        clfcn_debug("OpenCL drivers are not tried beforehand: %s", err.msg);
    }
    free(program);
    free(children);
    free(trials);
}
