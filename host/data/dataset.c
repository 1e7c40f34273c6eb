/* dataset.c - a set of labelled pictures: opened in one of its formats, decoded. */
#include "../util/file.h"
#include "../util/hash.h"
#include "../util/path.h"
#include "format.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct clfcn_dataset {
    struct clfcn_found found;
    const char *format; /* "demo", or of the table's row */
    const char *why;    /* what it was recognised by */
    int parts[3];       /* items of each enum clfcn_part */
    bool demo;
};

static int open_demo(struct clfcn_dataset *set, struct clfcn_err *err)
{
    const int rc = clfcn_demo_classes(&set->found.classes, err);
    if (rc < 0) {
        return rc;
    }
    set->demo = true;
    set->format = "demo";
    set->why = "the built-in set";
    set->found.items = calloc(CLFCN_DEMO_COUNT, sizeof *set->found.items);
    if (!set->found.items) {
        return clfcn_err_nomem(err);
    }
    set->found.count = CLFCN_DEMO_COUNT;
    for (int i = 0; i < set->found.count; ++i) {
        char name[32];
        snprintf(name, sizeof name, "demo-%04d", i);
        set->found.items[i].name = strdup(name);
        if (!set->found.items[i].name) {
            return clfcn_err_nomem(err);
        }
    }
    return CLFCN_OK;
}

/* Check and count what was found. */
static int finish_open(struct clfcn_dataset *set, const char *path, struct clfcn_err *err)
{
    if (set->found.count == 0) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "%s: no picture with a mask", path);
    }
    for (int i = 0; i < set->found.count; ++i) {
        ++set->parts[set->found.items[i].part];
    }
    return CLFCN_OK;
}

int clfcn_dataset_open_paths(const char *images, const char *masks, const char *classes,
                             struct clfcn_dataset **out, struct clfcn_err *err)
{
    struct clfcn_dataset *set = calloc(1, sizeof *set);
    *out = NULL;
    if (!set) {
        return clfcn_err_nomem(err);
    }
    set->format = "plain";
    set->why = "folders given one by one";
    int rc = clfcn_pair_folders(images, masks, NULL, CLFCN_PART_ANY, &set->found, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_classes_read(classes, &set->found.classes, err);
    }
    if (rc == CLFCN_OK) {
        rc = finish_open(set, images, err);
    }
    if (rc < 0) {
        clfcn_dataset_destroy(&set);
    }
    *out = set;
    return rc;
}

static int open_format(struct clfcn_dataset *set, const char *path, const char *name,
                       struct clfcn_err *err)
{
    const struct clfcn_format *format;
    int rc = clfcn_format_choose(path, name, &format, err);
    if (rc == CLFCN_OK) {
        set->format = format->name;
        set->why = name ? "as told" : format->marks;
        rc = format->open(path, &set->found, err);
    }
    return rc < 0 ? rc : finish_open(set, path, err);
}

int clfcn_dataset_open_as(const char *path, const char *format,
                          struct clfcn_dataset **out, struct clfcn_err *err)
{
    struct clfcn_dataset *set = calloc(1, sizeof *set);
    *out = NULL;
    if (!set) {
        return clfcn_err_nomem(err);
    }
    const int rc = strcmp(path, "demo") == 0 && !format
                       ? open_demo(set, err)
                       : open_format(set, path, format, err);
    if (rc < 0) {
        clfcn_dataset_destroy(&set);
    }
    *out = set;
    return rc;
}

int clfcn_dataset_open(const char *path, struct clfcn_dataset **out,
                       struct clfcn_err *err)
{
    return clfcn_dataset_open_as(path, NULL, out, err);
}

void clfcn_dataset_destroy(struct clfcn_dataset **set)
{
    if (!set || !*set) {
        return;
    }
    clfcn_found_free(&(*set)->found);
    free(*set);
    *set = NULL;
}

int clfcn_dataset_size(const struct clfcn_dataset *set)
{
    return set->found.count;
}

int clfcn_dataset_classes(const struct clfcn_dataset *set)
{
    return set->found.classes.count;
}

const char *clfcn_dataset_class_name(const struct clfcn_dataset *set, int c)
{
    return set->found.classes.list[c].name;
}

const char *clfcn_dataset_item_name(const struct clfcn_dataset *set, int i)
{
    return set->found.items[i].name;
}

const struct clfcn_classes *clfcn_dataset_get_classes(const struct clfcn_dataset *set)
{
    return &set->found.classes;
}

const char *clfcn_dataset_format(const struct clfcn_dataset *set)
{
    return set->format;
}

const char *clfcn_dataset_why(const struct clfcn_dataset *set)
{
    return set->why;
}

const char *clfcn_dataset_item_mask(const struct clfcn_dataset *set, int i)
{
    return set->demo ? set->found.items[i].name : set->found.items[i].mask;
}

const char *clfcn_dataset_item_image(const struct clfcn_dataset *set, int i)
{
    return set->demo ? set->found.items[i].name : set->found.items[i].image;
}

enum clfcn_part clfcn_dataset_part(const struct clfcn_dataset *set, int i)
{
    return set->found.items[i].part;
}

bool clfcn_dataset_has_split(const struct clfcn_dataset *set)
{
    return set->parts[CLFCN_PART_TRAIN] > 0 && set->parts[CLFCN_PART_VAL] > 0;
}

void clfcn_pair_free(struct clfcn_pair *pair)
{
    if (pair) {
        clfcn_image_free(&pair->image);
        free(pair->labels);
        pair->labels = NULL;
    }
}

/* unknown NULL: a value that no class covers is an error. */
static int read_mask(const struct clfcn_dataset *set, int i, uint8_t **labels, int *width,
                     int *height, struct clfcn_unknown *unknown, struct clfcn_err *err)
{
    const char *path = set->found.items[i].mask;
    const struct clfcn_classes *classes = &set->found.classes;
    struct clfcn_image mask;
    *labels = NULL;
    int rc = clfcn_image_read(path, set->found.by_color ? CLFCN_AS_RGB : CLFCN_AS_MASK,
                              &mask, err);
    if (rc < 0) {
        return rc;
    }
    *width = mask.width;
    *height = mask.height;
    *labels = malloc((size_t)mask.width * (size_t)mask.height);
    rc = !*labels  ? clfcn_err_nomem(err)
         : unknown ? clfcn_classes_survey(classes, &mask, path, *labels, unknown, err)
                   : clfcn_classes_apply(classes, &mask, path, *labels, err);
    clfcn_image_free(&mask);
    if (rc < 0) {
        free(*labels);
        *labels = NULL;
    }
    return rc;
}

int clfcn_dataset_survey(const struct clfcn_dataset *set, int i, struct clfcn_pair *out,
                         struct clfcn_unknown *unknown, struct clfcn_err *err)
{
    const struct clfcn_item *item = &set->found.items[i];
    int width, height, rc;
    *out = (struct clfcn_pair){ 0 };
    if (set->demo) {
        return clfcn_demo_draw(i, out, err);
    }
    rc = clfcn_image_read(item->image, CLFCN_AS_RGB, &out->image, err);
    if (rc == CLFCN_OK) {
        rc = read_mask(set, i, &out->labels, &width, &height, unknown, err);
    }
    if (rc == CLFCN_OK && (width != out->image.width || height != out->image.height)) {
        rc = clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "%s: the image is %dx%d pixels, but its mask %s is %dx%d; the two "
            "must have the same size",
            item->image, out->image.width, out->image.height, item->mask, width, height);
    }
    if (rc < 0) {
        clfcn_pair_free(out);
    }
    return rc;
}

int clfcn_dataset_read(const struct clfcn_dataset *set, int i, struct clfcn_pair *out,
                       struct clfcn_err *err)
{
    return clfcn_dataset_survey(set, i, out, NULL, err);
}

int clfcn_dataset_read_labels(const struct clfcn_dataset *set, int i, uint8_t **labels,
                              int *width, int *height, struct clfcn_err *err)
{
    if (!set->demo) {
        return read_mask(set, i, labels, width, height, NULL, err);
    }
    struct clfcn_pair pair;
    const int rc = clfcn_demo_draw(i, &pair, err);
    *labels = pair.labels;
    *width = pair.image.width;
    *height = pair.image.height;
    clfcn_image_free(&pair.image);
    return rc;
}

int clfcn_dataset_hash(const struct clfcn_dataset *set, int i, uint64_t *hash,
                       struct clfcn_err *err)
{
    struct clfcn_mapped_file file = { 0 };
    if (set->demo) {
        *hash = clfcn_hash_str(CLFCN_HASH_INIT, set->found.items[i].name);
        return CLFCN_OK;
    }
    const int rc = clfcn_map_open(&file, set->found.items[i].image, err);
    if (rc < 0) {
        return clfcn_input_error(rc, err);
    }
    *hash = clfcn_hash(CLFCN_HASH_INIT, file.data, file.size);
    clfcn_map_close(&file);
    return CLFCN_OK;
}
