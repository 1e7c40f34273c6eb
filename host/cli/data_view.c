/* data_view.c - what `clfcn data` found out, as text and as JSON. */
#include "../util/json.h"
#include "data_view.h"
#include "../util/err.h"
#include <stdio.h>

enum { TWINS_SHOWN = 10 };

/* All pixels of the sound pairs, at least 1 so that it divides. */
static double count_pixels(const struct clfcn_survey *s)
{
    double all = (double)s->unknown.pixels;
    for (int c = 0; c <= s->classes; ++c) {
        all += (double)s->pixels[c];
    }
    return all > 0 ? all : 1;
}

static void count_parts(const struct clfcn_survey *s, int parts[3])
{
    for (int i = 0; i < s->count; ++i) {
        ++parts[clfcn_dataset_part(s->set, i)];
    }
}

/* How many of the sound pairs show class c. */
static int count_shown(const struct clfcn_survey *s, int c)
{
    int n = 0;
    for (int i = 0; i < s->count; ++i) {
        n += s->items[i].rc == CLFCN_OK && s->items[i].pixels[c] > 0;
    }
    return n;
}

static void print_head(const struct clfcn_survey *s, const char *name)
{
    int parts[3] = { 0 };
    count_parts(s, parts);
    printf("%s: %d pictures with masks, %d broken\n", name, s->count,
           s->count - s->sound);
    printf("format  %s: %s\n", clfcn_dataset_format(s->set), clfcn_dataset_why(s->set));
    if (clfcn_dataset_has_split(s->set)) {
        printf("split   the set's own: %d train, %d val",
               parts[CLFCN_PART_TRAIN] + parts[CLFCN_PART_ANY], parts[CLFCN_PART_VAL]);
    } else {
        printf("split   none of its own, so by --val-fraction");
    }
    printf("\nwidth   %d to %d, median %d\n", s->width[0], s->width[2], s->width[1]);
    printf("height  %d to %d, median %d\n", s->height[0], s->height[2], s->height[1]);
}

static void print_classes(const struct clfcn_survey *s)
{
    const struct clfcn_classes *k = clfcn_dataset_get_classes(s->set);
    const double all = count_pixels(s);
    printf("\n%-24s %12s %10s\n", "class", "% of pixels", "pictures");
    for (int c = 0; c < s->classes; ++c) {
        printf("%-24s %12.3f %10d\n", k->list[c].name, 100 * (double)s->pixels[c] / all,
               count_shown(s, c));
    }
    if (s->pixels[s->classes] > 0) {
        printf("%-24s %12.3f %10d\n", "(ignored)",
               100 * (double)s->pixels[s->classes] / all, count_shown(s, s->classes));
    }
    if (s->unknown.pixels > 0) {
        printf("%-24s %12.3f %10d\n", "(no class)", 100 * (double)s->unknown.pixels / all,
               s->unknown_masks);
    }
}

static void print_unknown(const struct clfcn_survey *s)
{
    char text[CLFCN_VALUE_LEN];
    uint64_t others = s->unknown.pixels;
    if (s->unknown.count == 0) {
        return;
    }
    printf("\n%-24s %12s\n", "value of no class", "pixels");
    for (int i = 0; i < s->unknown.count; ++i) {
        printf("%-24s %12llu\n", clfcn_value_text(&s->unknown.list[i], text),
               (unsigned long long)s->unknown.list[i].pixels);
        others -= s->unknown.list[i].pixels;
    }
    if (others > 0) {
        printf("%-24s %12llu\n", "(others)", (unsigned long long)others);
    }
}

enum { PATH_LEN = 1024 };

/* A name from the set, without what a terminal would obey. Returns buf. */
static const char *plain(const char *path, char buf[PATH_LEN])
{
    snprintf(buf, PATH_LEN, "%s", path);
    clfcn_one_line(buf);
    return buf;
}

static void print_twins(const struct clfcn_survey *s)
{
    if (s->twin_count == 0) {
        return;
    }
    printf("\n%d picture%s there twice", s->twin_count,
           s->twin_count == 1 ? " is" : "s are");
    if (clfcn_dataset_has_split(s->set)) {
        printf(", %d of them both for training and for validation", s->twins_across);
    }
    printf(":\n");
    for (int i = 0; i < s->twin_count && i < TWINS_SHOWN; ++i) {
        char a[PATH_LEN], b[PATH_LEN];
        printf("%s = %s%s\n", plain(clfcn_dataset_item_image(s->set, s->twins[i].a), a),
               plain(clfcn_dataset_item_image(s->set, s->twins[i].b), b),
               s->twins[i].across ? " (train and val)" : "");
    }
    if (s->twin_count > TWINS_SHOWN) {
        printf("and %d more\n", s->twin_count - TWINS_SHOWN);
    }
}

void cli_survey_print(const struct clfcn_survey *s, const char *name)
{
    print_head(s, name);
    print_classes(s);
    print_unknown(s);
    print_twins(s);
}

static json_t *classes_to_json(const struct clfcn_survey *s)
{
    const struct clfcn_classes *k = clfcn_dataset_get_classes(s->set);
    const double all = count_pixels(s);
    json_t *shares = json_object();
    for (int c = 0; c < s->classes; ++c) {
        clfcn_json_set(&shares, k->list[c].name, json_real((double)s->pixels[c] / all));
    }
    return shares;
}

static json_t *unknown_to_json(const struct clfcn_survey *s)
{
    char text[CLFCN_VALUE_LEN];
    json_t *list = json_array();
    for (int i = 0; i < s->unknown.count; ++i) {
        clfcn_json_append(&list,
                          json_pack("{ss sI}", "value",
                                    clfcn_value_text(&s->unknown.list[i], text), "pixels",
                                    (json_int_t)s->unknown.list[i].pixels));
    }
    return list;
}

static json_t *twins_to_json(const struct clfcn_survey *s)
{
    json_t *list = json_array();
    for (int i = 0; i < s->twin_count; ++i) {
        clfcn_json_append(&list,
                          json_pack("{ss ss sb}", "a",
                                    clfcn_dataset_item_image(s->set, s->twins[i].a), "b",
                                    clfcn_dataset_item_image(s->set, s->twins[i].b),
                                    "across", (int)s->twins[i].across));
    }
    return list;
}

static json_t *broken_to_json(const struct clfcn_survey *s)
{
    json_t *list = json_array();
    for (int i = 0; i < s->count; ++i) {
        if (s->items[i].rc < 0) {
            clfcn_json_append(&list, json_pack("{ss ss}", "image",
                                               clfcn_dataset_item_image(s->set, i),
                                               "reason", s->items[i].err.msg));
        }
    }
    return list;
}

int cli_survey_print_json(const struct clfcn_survey *s, const char *name,
                          struct clfcn_err *err)
{
    int parts[3] = { 0 };
    count_parts(s, parts);
    json_t *split = clfcn_dataset_has_split(s->set)
                        ? json_pack("{si si}", "train",
                                    parts[CLFCN_PART_TRAIN] + parts[CLFCN_PART_ANY],
                                    "val", parts[CLFCN_PART_VAL])
                        : json_null();
    json_t *json = json_pack(
        "{ss ss ss si so si s[iii] s[iii] so sf sf so so so}", "data", name, "format",
        clfcn_dataset_format(s->set), "why", clfcn_dataset_why(s->set), "images",
        s->count, "split", split, "broken", s->count - s->sound, "width", s->width[0],
        s->width[1], s->width[2], "height", s->height[0], s->height[1], s->height[2],
        "classes", classes_to_json(s), "ignored",
        (double)s->pixels[s->classes] / count_pixels(s), "unknown",
        (double)s->unknown.pixels / count_pixels(s), "unknown_values", unknown_to_json(s),
        "twins", twins_to_json(s), "broken_files", broken_to_json(s));
    return cli_print_json(json, err);
}
