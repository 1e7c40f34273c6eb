/* cmd_data.c - clfcn data: whether a data set is sound, and what is in it; or the
 * built-in set as files. */
#include "options.h"
#include <stdlib.h>
#include <string.h>

/* What is found out of one picture. */
struct finding {
    int width, height;
    uint64_t *pixels; /* [classes + 1]: of each class, then of those that count nowhere */
    int rc;
    struct clfcn_err err;
};

struct survey {
    const struct clfcn_dataset *set;
    int classes, count, broken;
    struct clfcn_err last_broken;
    struct finding *found; /* [count] */
    double *widths, *heights;
    uint64_t *pixels; /* [classes + 1] of all sound pictures */
};

/* Runs on several threads, one item each. */
static void examine(void *arg, int i)
{
    struct survey *s = arg;
    struct finding *f = &s->found[i];
    struct clfcn_pair pair = { 0 };
    f->pixels = calloc((size_t)s->classes + 1, sizeof(*f->pixels));
    f->rc = f->pixels ? clfcn_dataset_read(s->set, i, &pair, &f->err)
                      : clfcn_err_nomem(&f->err);
    if (f->rc < 0) {
        return;
    }
    f->width = pair.image.width;
    f->height = pair.image.height;
    for (size_t p = 0; p < (size_t)f->width * (size_t)f->height; ++p) {
        int label = pair.labels[p];
        ++f->pixels[label == CLFCN_IGNORE ? s->classes : label];
    }
    clfcn_pair_free(&pair);
}

static int survey(struct cli_env *env, struct survey *s, struct clfcn_err *err)
{
    size_t n = (size_t)s->count;
    s->found = calloc(n + 1, sizeof(*s->found));
    s->widths = calloc(n + 1, sizeof(double));
    s->heights = calloc(n + 1, sizeof(double));
    s->pixels = calloc((size_t)s->classes + 1, sizeof(*s->pixels));
    if (!s->found || !s->widths || !s->heights || !s->pixels) {
        return clfcn_err_nomem(err);
    }
    clfcn_parallel_for(s->count, clfcn_cpu_count(), examine, s);
    int sound = 0;
    for (int i = 0; i < s->count; ++i) {
        const struct finding *f = &s->found[i];
        if (f->rc == CLFCN_EDATA || f->rc == CLFCN_EIO) {
            cli_note_broken(env, &s->last_broken, &f->err);
            ++s->broken;
            continue;
        }
        if (f->rc < 0) {
            *err = f->err;
            return f->rc;
        }
        s->widths[sound] = f->width;
        s->heights[sound++] = f->height;
        for (int c = 0; c <= s->classes; ++c) {
            s->pixels[c] += f->pixels[c];
        }
    }
    return CLFCN_OK;
}

/* Smallest, middle and largest of n numbers; zeros if there is none. */
static void spread(double *v, int n, double out[3])
{
    memset(out, 0, 3 * sizeof(*out));
    if (n > 0) {
        out[1] = cli_median(v, n); /* sorts */
        out[0] = v[0];
        out[2] = v[n - 1];
    }
}

static int print(struct cli_env *env, struct survey *s, const char *name,
                 struct clfcn_err *err)
{
    const struct clfcn_classes *k = clfcn_dataset_get_classes(s->set);
    int sound = s->count - s->broken;
    double w[3], h[3], all = 0;
    spread(s->widths, sound, w);
    spread(s->heights, sound, h);
    for (int c = 0; c <= s->classes; ++c) {
        all += (double)s->pixels[c];
    }
    all = all > 0 ? all : 1;
    double ignored = (double)s->pixels[s->classes] / all;
    if (env->json) {
        json_t *shares = json_object();
        for (int c = 0; c < s->classes; ++c) {
            json_object_set_new(shares, k->list[c].name,
                                json_real((double)s->pixels[c] / all));
        }
        return cli_print_json(json_pack("{ss si si s[fff] s[fff] so sf}", "data", name,
                                        "images", s->count, "broken", s->broken, "width",
                                        w[0], w[1], w[2], "height", h[0], h[1], h[2],
                                        "classes", shares, "ignored", ignored),
                              err);
    }
    printf("%s: %d pictures with masks, %d broken\n", name, s->count, s->broken);
    printf("width   %g to %g, median %g\n", w[0], w[2], w[1]);
    printf("height  %g to %g, median %g\n\n", h[0], h[2], h[1]);
    printf("%-24s %12s\n", "class", "% of pixels");
    for (int c = 0; c < s->classes; ++c) {
        printf("%-24s %12.3f\n", k->list[c].name, 100 * (double)s->pixels[c] / all);
    }
    if (ignored > 0) {
        printf("%-24s %12.3f\n", "(ignored)", 100 * ignored);
    }
    return CLFCN_OK;
}

static int examine_set(struct cli_env *env, const char *name, struct clfcn_err *err)
{
    struct clfcn_dataset *set = NULL;
    struct survey s = { 0 };
    int rc = cli_input(clfcn_dataset_open(name, &set, err), err);
    if (rc < 0) {
        goto out;
    }
    s.set = set;
    s.count = clfcn_dataset_size(set);
    s.classes = clfcn_dataset_classes(set);
    rc = survey(env, &s, err);
    if (rc < 0) {
        goto out;
    }
    rc = print(env, &s, name, err);
    if (rc == CLFCN_OK && s.broken > 0) {
        *err = s.last_broken;
        rc = err->code;
    }
out:
    for (int i = 0; s.found && i < s.count; ++i) {
        free(s.found[i].pixels);
    }
    free(s.found);
    free(s.widths);
    free(s.heights);
    free(s.pixels);
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
    const char *dir = NULL;
    int count = CLFCN_DEMO_COUNT;
    struct cli_option options[] = {
        { .name = "write", .kind = CLI_STRING, .target = &dir, .arg = "DIR",
          .help = "write the built-in set there, as images/, masks/ and classes.txt" },
        { .name = "count", .kind = CLI_INT, .target = &count,
          .help = "how many of its pictures to write" },
        { 0 },
    };
    struct cli_line line;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc == CLFCN_OK && options[1].raw && !dir) {
        rc = clfcn_err_set(err, CLFCN_EINVAL, 0, "--count goes with --write");
    }
    if (rc == CLFCN_OK) {
        rc = dir ? write_demo(env, line.args[0], dir, count, err)
                 : examine_set(env, line.args[0], err);
    }
    cli_line_free(&line);
    return rc;
}
