/* cmd_compare.c - clfcn compare: what clfcn bench measured, side by side. */
#include "../report/compare.h"
#include "../train/runlog.h"
#include "../util/file.h"
#include "options.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *verdict(enum clfcn_verdict v)
{
    return v == CLFCN_UNKNOWN ? "unverified" : v == CLFCN_RIGHT ? "correct" : "WRONG";
}

/* --- JSON: an object a run --- */

/* null if either was not measured. */
static json_t *ratio_to_json(const struct clfcn_bench_time *base,
                             const struct clfcn_bench_time *other)
{
    const struct clfcn_compare_ratio r = clfcn_compare_ratio(base, other);
    if (isnan(r.value)) {
        return json_null();
    }
    return json_pack("{sf sf sf sb}", "times_as_fast", r.value, "low", r.low, "high",
                     r.high, "differs", r.differs);
}

static int print_json(const struct clfcn_compare *c, const struct clfcn_compare_group *g,
                      int index, struct clfcn_err *err)
{
    const struct clfcn_bench_run *r = &c->runs[index];
    char title[512], name[] = { r->letter, '\0' }, base[] = { '\0', '\0' };
    clfcn_compare_title(r, title, sizeof(title));
    if (r->failure) {
        return cli_print_json(json_pack("{ss ss ss ss ss}", "run", name, "file", r->file,
                                        "device", r->device, "of", title, "error",
                                        r->failure),
                              err);
    }
    const struct clfcn_bench_run *b = &c->runs[g->base];
    base[0] = b->letter;
    return cli_print_json(
        json_pack("{ss ss ss ss so so so so sf so sb ss so so}", "run", name, "file",
                  r->file, "device", r->device, "of", title, "train_step_ms",
                  clfcn_json_number(r->train.ms), "train_images_per_s",
                  clfcn_json_number(1e3 * r->batch / r->train.ms), "infer_ms",
                  clfcn_json_number(r->infer.ms), "infer_images_per_s",
                  clfcn_json_number(1e3 * r->batch / r->infer.ms), "device_bytes",
                  r->device_bytes, "correct",
                  r->correct == CLFCN_UNKNOWN ? json_null()
                                              : json_boolean(r->correct == CLFCN_RIGHT),
                  "noisy", r->noisy, "against", base, "train",
                  ratio_to_json(&b->train, &r->train), "infer",
                  ratio_to_json(&b->infer, &r->infer)),
        err);
}

static int print_left_out_json(const struct clfcn_compare *c, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int i = 0; i < c->left_out_count && rc == CLFCN_OK; ++i) {
        const struct clfcn_bench_run *r = &c->runs[c->left_out[i]];
        char title[512];
        clfcn_compare_title(r, title, sizeof(title));
        rc = cli_print_json(json_pack("{so ss ss ss sb}", "run", json_null(), "file",
                                      r->file, "device", r->device, "of", title,
                                      "left_out", true),
                            err);
    }
    return rc;
}

/* --- text --- */

/* "1.84x (1.71-1.98)", "1/231x (1/280-1/190)", or that nothing can be said. */
static const char *ratio_cell(const struct clfcn_bench_time *base,
                              const struct clfcn_bench_time *other, char buf[40])
{
    const struct clfcn_compare_ratio r = clfcn_compare_ratio(base, other);
    const bool slow = r.value < 0.1;
    const char *one = slow ? "1/" : "";
    char value[CLFCN_NUMBER_LEN], low[CLFCN_NUMBER_LEN], high[CLFCN_NUMBER_LEN];
    if (r.differs) {
        snprintf(buf, 40, "%s%sx (%s%s-%s%s)", one,
                 clfcn_format_number(slow ? 1 / r.value : r.value, 3, value), one,
                 clfcn_format_number(slow ? 1 / r.low : r.low, 3, low), one,
                 clfcn_format_number(slow ? 1 / r.high : r.high, 3, high));
    } else {
        snprintf(buf, 40, "%s", isnan(r.value) ? "" : "no difference");
    }
    return buf;
}

/* "92.23 ms +- 1.2%", or "-" if it was not measured. */
static const char *time_cell(const struct clfcn_bench_time *t, char buf[48])
{
    char ms[CLFCN_NUMBER_LEN];
    if (isnan(t->ms)) {
        return "-";
    }
    snprintf(buf, 48, "%s ms +-%4.1f%%", clfcn_format_number(t->ms, 4, ms),
             100 * t->unsure);
    return buf;
}

static void print_run(const struct clfcn_compare *c, const struct clfcn_compare_group *g,
                      int index)
{
    const struct clfcn_bench_run *r = &c->runs[index];
    char bytes[CLI_BYTES_LEN], train[40] = "", infer[40] = "", rate[CLFCN_NUMBER_LEN];
    char train_ms[48], infer_ms[48];
    if (r->failure) {
        printf("%c  failed: %s\n", r->letter, r->failure);
        return;
    }
    if (index != g->base) {
        ratio_cell(&c->runs[g->base].train, &r->train, train);
        ratio_cell(&c->runs[g->base].infer, &r->infer, infer);
    }
    printf("%c  %20s %9s %20s %10s  %-10s %-22s %-22s%s\n", r->letter,
           time_cell(&r->train, train_ms),
           isnan(r->train.ms)
               ? "-"
               : clfcn_format_number(1e3 * r->batch / r->train.ms, 4, rate),
           time_cell(&r->infer, infer_ms),
           cli_format_bytes((uint64_t)r->device_bytes, bytes), verdict(r->correct), train,
           infer, r->noisy ? " noisy" : "");
    for (size_t i = 0; i < json_array_size(r->lacking); ++i) {
        printf("%c  not measured: %s\n", r->letter,
               json_string_value(json_array_get(r->lacking, i)));
    }
}

static void print_group(const struct clfcn_compare *c,
                        const struct clfcn_compare_group *g)
{
    char title[512], base[2][24] = { "", "" };
    clfcn_compare_title(&c->runs[g->runs[0]], title, sizeof(title));
    printf("%s\n", title);
    for (int i = 0; i < g->count; ++i) {
        const struct clfcn_bench_run *r = &c->runs[g->runs[i]];
        printf("%c  %s, in %s\n", r->letter, r->device, r->file);
    }
    if (g->base >= 0 && g->count > 1) {
        snprintf(base[0], sizeof(base[0]), "step against %c", c->runs[g->base].letter);
        snprintf(base[1], sizeof(base[1]), "inference against %c",
                 c->runs[g->base].letter);
    }
    printf("\n   %20s %9s %20s %10s  %-10s %-22s %s\n", "training step", "images/s",
           "inference", "memory", "results", base[0], base[1]);
    for (int i = 0; i < g->count; ++i) {
        print_run(c, g, g->runs[i]);
    }
    printf("\n");
}

static void print_left_out(const struct clfcn_compare *c)
{
    char title[512];
    for (int i = 0; i < c->left_out_count; ++i) {
        const struct clfcn_bench_run *r = &c->runs[c->left_out[i]];
        clfcn_compare_title(r, title, sizeof(title));
        printf("left out, as no other run is like it: %s on %s, in %s\n", title,
               r->device, r->file);
    }
}

static int print(const struct cli_env *env, const struct clfcn_compare *c,
                 struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int g = 0; g < c->group_count && rc == CLFCN_OK; ++g) {
        if (!env->json) {
            print_group(c, &c->groups[g]);
        }
        for (int i = 0; i < c->groups[g].count && env->json && rc == CLFCN_OK; ++i) {
            rc = print_json(c, &c->groups[g], c->groups[g].runs[i], err);
        }
    }
    if (rc < 0) {
        return rc;
    }
    if (env->json) {
        return print_left_out_json(c, err);
    }
    print_left_out(c);
    return CLFCN_OK;
}

static int write_page(const struct cli_env *env, const struct clfcn_compare *c,
                      const char *path, struct clfcn_err *err)
{
    struct clfcn_strbuf page = { 0 };
    clfcn_compare_page(&page, c);
    const int rc = page.failed ? clfcn_err_nomem(err)
                               : clfcn_file_write(path, page.str, page.len, err);
    clfcn_strbuf_free(&page);
    if (rc == CLFCN_OK && !env->json && !env->quiet) {
        printf("wrote %s\n", path);
    }
    return rc;
}

/* "5%" or "5" into 0.05. */
static int parse_percent(const char *text, double *out, struct clfcn_err *err)
{
    char *end;
    const double v = strtod(text, &end);
    end += *end == '%';
    if (end == text || *end || !(v >= 0 && v <= 1000)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--fail-if-slower %s: not a percentage, such as 5%%", text);
    }
    *out = v / 100;
    return CLFCN_OK;
}

int cmd_compare(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    const char *out = NULL, *percent = NULL;
    struct cli_option options[] = {
        { .name = "out",
          .kind = CLI_STRING,
          .target = &out,
          .arg = "FILE",
          .help = "write an HTML page too: charts, rooflines, every layer" },
        { .name = "fail-if-slower",
          .kind = CLI_STRING,
          .target = &percent,
          .arg = "5%",
          .help = "exit with 1 if a later file is slower than the first by more, beyond "
                  "noise; or failed, or is wrong" },
        { 0 },
    };
    struct clfcn_compare *c = calloc(1, sizeof(*c));
    struct cli_line line;
    double limit = 0;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc == CLFCN_OK && !c) {
        rc = clfcn_err_nomem(err);
    }
    if (rc == CLFCN_OK && percent) {
        rc = parse_percent(percent, &limit, err);
    }
    if (rc != CLFCN_OK) {
        goto out;
    }
    rc = cli_input(clfcn_compare_open(c, line.args, line.arg_count, err), err);
    if (rc == CLFCN_OK) {
        rc = print(env, c, err);
    }
    if (rc == CLFCN_OK && out) {
        rc = write_page(env, c, out, err);
    }
    if (rc == CLFCN_OK && percent) {
        rc = clfcn_compare_slower(c, limit, err);
    }
    clfcn_compare_close(c);
out:
    free(c);
    cli_line_free(&line);
    return rc;
}
