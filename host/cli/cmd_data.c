/* cmd_data.c - clfcn data: whether a data set is sound, and what is in it; or the
 * built-in set as files. */
#include "data_view.h"
#include "options.h"
#include <stdlib.h>
#include <string.h>

/* Tell what in the set cannot be trained on: one line each, the last is left in *err.
 * Returns CLFCN_EDATA if there is any. */
static int judge(struct cli_env *env, const struct clfcn_survey *s, struct clfcn_err *err)
{
    struct clfcn_err last = { 0 };
    for (int i = 0; i < s->count; ++i) {
        if (s->items[i].rc < 0) {
            cli_note_broken(env, &last, &s->items[i].err);
        }
    }
    if (s->unknown_masks > 0) {
        struct clfcn_err unknown;
        char value[CLFCN_VALUE_LEN], more[48] = "";
        const struct clfcn_unknown *first = &s->items[s->first_unknown].unknown;
        if (s->unknown_masks > 1) {
            snprintf(more, sizeof(more), " (and %d more masks)", s->unknown_masks - 1);
        }
        clfcn_err_set(&unknown, CLFCN_EDATA, 0,
                      "%s%s: value %s is of no class; give it to one in classes.txt, or "
                      "to 'ignore'",
                      clfcn_dataset_item_mask(s->set, s->first_unknown), more,
                      clfcn_value_text(&first->list[0], value));
        cli_note_broken(env, &last, &unknown);
    }
    if (last.code < 0) {
        *err = last;
    }
    return last.code;
}

static int examine_set(struct cli_env *env, const char *name, const char *format,
                       const char *sheet, struct clfcn_err *err)
{
    struct clfcn_dataset *set = NULL;
    struct clfcn_survey s = { 0 };
    int rc = cli_input(clfcn_dataset_open_as(name, format, &set, err), err);
    if (rc == CLFCN_OK) {
        rc = clfcn_survey_run(set, &s, err);
    }
    if (rc == CLFCN_OK && sheet) {
        rc = clfcn_survey_draw(&s, sheet, err);
    }
    if (rc == CLFCN_OK && env->json) {
        rc = cli_survey_print_json(&s, name, err);
    } else if (rc == CLFCN_OK) {
        cli_survey_print(&s, name);
    }
    if (rc == CLFCN_OK) {
        rc = judge(env, &s, err);
    }
    clfcn_survey_free(&s);
    clfcn_dataset_destroy(&set);
    return rc;
}

static int write_demo(struct cli_env *env, const char *name, const char *dir, int count,
                      struct clfcn_err *err)
{
    if (strcmp(name, "demo") != 0) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "--write is for the built-in set: clfcn data demo --write DIR");
    }
    if (count < 1) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "--count %d: must be at least 1",
                             count);
    }
    int rc = clfcn_demo_write(dir, count, err);
    if (rc < 0) {
        return rc;
    }
    if (env->json) {
        return cli_print_json(json_pack("{ss si}", "written", dir, "images", count), err);
    }
    if (!env->quiet) {
        printf("wrote %d pictures with masks to %s\n", count, dir);
    }
    return CLFCN_OK;
}

int cmd_data(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    const char *dir = NULL, *format = NULL, *sheet = NULL;
    int count = CLFCN_DEMO_COUNT;
    struct cli_option options[] = {
        { .name = "count", .kind = CLI_INT, .target = &count,
          .help = "how many of its pictures to write" },
        CLI_OPT_FORMAT(&format),
        { .name = "sheet", .kind = CLI_STRING, .target = &sheet, .arg = "FILE",
          .help = "draw pictures with their masks, to look at, into a PNG file" },
        { .name = "write", .kind = CLI_STRING, .target = &dir, .arg = "DIR",
          .help = "write the built-in set there, as images/, masks/ and classes.txt" },
        { 0 },
    };
    struct cli_line line;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc == CLFCN_OK && options[0].raw && !dir) {
        rc = clfcn_err_set(err, CLFCN_EINVAL, 0, "--count goes with --write");
    }
    if (rc == CLFCN_OK && dir && (format || sheet)) {
        rc = clfcn_err_set(err, CLFCN_EINVAL, 0,
                           "--write only writes: leave out --format and --sheet");
    }
    if (rc == CLFCN_OK) {
        rc = dir ? write_demo(env, line.args[0], dir, count, err)
                 : examine_set(env, line.args[0], format, sheet, err);
    }
    cli_line_free(&line);
    return rc;
}
