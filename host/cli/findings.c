/* findings.c - what self-tests found, as a table and as JSON; a certificate's file. */
#include "findings.h"
#include "../ops/stored.h"
#include "../train/runlog.h"
#include "../util/json.h"

static void print_row(const struct clfcn_finding *f)
{
    char verdict[200];
    snprintf(verdict, sizeof(verdict), "%s%s", f->correct ? "ok" : "WRONG: ", f->why);
    printf("%-34s %-15s %5d %9.1e %7.0e %9.1f  %-28s %s\n", f->subject, f->pass, f->tests,
           f->error, f->bound, f->ms, f->at, verdict);
}

void cli_findings_print(const struct clfcn_certificate *c)
{
    cli_heading("%-34s %-15s %5s %9s %7s %9s  %-28s %s", "kernel", "pass", "tests",
                "error", "bound", "ms", "worst at", "verdict");
    for (int i = 0; i < c->count; ++i) {
        print_row(&c->list[i]);
    }
}

json_t *cli_finding_to_json(const struct clfcn_finding *f)
{
    return json_pack("{ss ss si so sf sb sf ss ss}", "kernel", f->subject, "pass",
                     f->pass, "tests", f->tests, "error", clfcn_json_number(f->error),
                     "bound", f->bound, "correct", (int)f->correct, "ms", f->ms, "at",
                     f->at, "reason", f->why);
}

int cli_findings_wrong(const struct clfcn_certificate *c)
{
    int wrong = 0;
    for (int i = 0; i < c->count; ++i) {
        wrong += !c->list[i].correct;
    }
    return wrong;
}

/* When it was written; certificates of earlier versions do not say. */
static const char *date_of(const json_t *origin)
{
    const char *s = json_string_value(json_object_get(origin, "date"));
    return s && clfcn_is_one_line(s) ? s : "?";
}

static void print_text(const struct clfcn_certificate *c, const json_t *origin)
{
    printf("device      %s\n", clfcn_stored_origin(origin, "device"));
    printf("platform    %s, %s\n", clfcn_stored_origin(origin, "platform"),
           clfcn_stored_origin(origin, "platform version"));
    printf("driver      %s\n", clfcn_stored_origin(origin, "driver"));
    printf("tested      %s, by clfcn %s with CLBlast %s\n", date_of(origin),
           clfcn_stored_origin(origin, "clfcn"), clfcn_stored_origin(origin, "CLBlast"));
    printf("correct     %d of %d\n\n", c->count - cli_findings_wrong(c), c->count);
    cli_findings_print(c);
}

static int print_json(const char *path, const struct clfcn_certificate *c,
                      const json_t *origin, struct clfcn_err *err)
{
    json_t *list = json_array();
    for (int i = 0; i < c->count; ++i) {
        clfcn_json_append(&list, cli_finding_to_json(&c->list[i]));
    }
    return cli_print_json(
        json_pack("{ss ss ss ss ss si si so}", "file", path, "date", date_of(origin),
                  "device", clfcn_stored_origin(origin, "device"), "platform",
                  clfcn_stored_origin(origin, "platform"), "driver",
                  clfcn_stored_origin(origin, "driver"), "kernels", c->count, "wrong",
                  cli_findings_wrong(c), "findings", list),
        err);
}

int cli_info_certificate(const struct cli_env *env, const char *path,
                         struct clfcn_err *err)
{
    struct clfcn_certificate c;
    json_t *origin = NULL;
    int rc = cli_input(clfcn_certificate_read(path, &c, &origin, err), err);
    if (rc == CLFCN_OK && env->json) {
        rc = print_json(path, &c, origin, err);
    } else if (rc == CLFCN_OK) {
        print_text(&c, origin);
    }
    clfcn_certificate_free(&c);
    json_decref(origin);
    return rc;
}
