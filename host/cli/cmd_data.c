/* cmd_data.c - clfcn data: whether a data set is sound, and what is in it; what training
 * makes of it; or the built-in set as files. */
#include "../data/preview.h"
#include "../net/net.h"
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

static int examine_set(struct cli_env *env, const struct cli_data *from,
                       const char *sheet, struct clfcn_err *err)
{
    const char *name = from->data;
    struct clfcn_dataset *set = NULL;
    struct clfcn_survey s = { 0 };
    int rc = cli_dataset_open(from, &set, err);
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

/* What --preview takes, beside a set. */
struct preview {
    const char *path;
    struct clfcn_loader_desc desc;
    int pictures;
};

static int check_preview(const struct preview *p, struct clfcn_err *err)
{
    const struct clfcn_net_desc net = {
        .classes = 1, .width = p->desc.width, .height = p->desc.height, .batch = 1
    };
    if (p->pictures < 1 || p->pictures > CLFCN_PREVIEW_MAX) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "--samples %d: must be 1 to %d",
                             p->pictures, CLFCN_PREVIEW_MAX);
    }
    return clfcn_net_check_desc(&net, err);
}

static int preview_set(struct cli_env *env, const struct cli_data *from,
                       struct preview *p, struct clfcn_err *err)
{
    struct clfcn_dataset *set = NULL;
    char list[CLFCN_AUGMENT_TEXT];
    int drawn = 0, rc = check_preview(p, err);
    if (rc == CLFCN_OK) {
        rc = cli_dataset_open(from, &set, err);
    }
    if (rc == CLFCN_OK) {
        p->desc.set = set;
        rc = clfcn_preview_draw(&p->desc, p->pictures, p->path, &drawn, err);
    }
    if (rc == CLFCN_OK && env->json) {
        rc = cli_print_json(json_pack("{ss si ss}", "preview", p->path, "pictures", drawn,
                                      "augment",
                                      clfcn_augment_text(&p->desc.augment, list)),
                            err);
    } else if (rc == CLFCN_OK && !env->quiet) {
        printf("drew %d pictures to %s\n", drawn, p->path);
    }
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

/* Options are for one of the three things that this command does. */
static int check_together(const struct cli_option *options, const char *sheet,
                          const char *dir, const char *preview,
                          const struct cli_data *from, struct clfcn_err *err)
{
    const struct {
        const char *name, *with;
        bool there;
    } pairs[] = {
        { "augment", "preview", preview }, { "resize", "preview", preview },
        { "size", "preview", preview },    { "seed", "preview", preview },
        { "samples", "preview", preview }, { "count", "write", dir },
    };
    if (dir && (from->format || from->ignore || sheet || preview)) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "--write only writes: leave out --format, --ignore, --sheet and --preview");
    }
    if (preview && sheet) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--preview only draws: leave out --sheet, or run it apart");
    }
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); ++i) {
        for (const struct cli_option *o = options; o->name; ++o) {
            if (o->raw && !pairs[i].there && strcmp(o->name, pairs[i].name) == 0) {
                return clfcn_err_set(err, CLFCN_EINVAL, 0, "--%s goes with --%s", o->name,
                                     pairs[i].with);
            }
        }
    }
    return CLFCN_OK;
}

int cmd_data(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    const char *dir = NULL, *sheet = NULL;
    struct cli_data from = { 0 };
    struct preview preview = { .desc = { .width = 160, .height = 160 }, .pictures = 6 };
    int count = CLFCN_DEMO_COUNT;
    int rc = clfcn_augment_parse("standard", &preview.desc.augment, err);
    if (rc < 0) {
        return rc;
    }
    struct cli_option options[] = {
        CLI_OPT_FORMAT(&from.format),
        CLI_OPT_IGNORE(&from.ignore),
        { .name = "sheet",
          .kind = CLI_STRING,
          .target = &sheet,
          .arg = "FILE",
          .help = "draw pictures with their masks, to look at, into a PNG file" },
        { .name = "preview",
          .kind = CLI_STRING,
          .target = &preview.path,
          .arg = "FILE",
          .help = "only draw what training makes of pictures in its first epochs" },
        CLI_OPT_AUGMENT(&preview.desc.augment, "standard"),
        CLI_OPT_RESIZE(&preview.desc.resize),
        CLI_OPT_SIZE(&preview.desc.width, &preview.desc.height),
        { .name = "seed",
          .kind = CLI_UINT64,
          .target = &preview.desc.seed,
          .help = "of that training" },
        { .name = "samples",
          .kind = CLI_INT,
          .target = &preview.pictures,
          .help = "how many pictures to draw of" },
        { .name = "write",
          .kind = CLI_STRING,
          .target = &dir,
          .arg = "DIR",
          .help = "write the built-in set there, as images/, masks/ and classes.txt" },
        { .name = "count",
          .kind = CLI_INT,
          .target = &count,
          .help = "how many of its pictures to write" },
        { 0 },
    };
    struct cli_line line;
    rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc == CLFCN_OK) {
        from.data = line.args[0];
        rc = check_together(options, sheet, dir, preview.path, &from, err);
    }
    if (rc == CLFCN_OK) {
        rc = dir            ? write_demo(env, from.data, dir, count, err)
             : preview.path ? preview_set(env, &from, &preview, err)
                            : examine_set(env, &from, sheet, err);
    }
    cli_line_free(&line);
    return rc;
}
