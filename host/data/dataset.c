/* dataset.c - a set of labelled pictures: opened in one of its formats, decoded. */
#include "source.h"
#include <stdlib.h>
#include <string.h>

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
    set->source = &clfcn_source_files;
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
        set->source = &clfcn_source_files;
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
                       ? clfcn_source_open_demo(set, err)
                       : open_format(set, path, format, err);
    if (rc < 0) {
        clfcn_dataset_destroy(&set);
    }
    *out = set;
    return rc;
}

int clfcn_dataset_from_memory(const char *const *class_names, int classes,
                              const struct clfcn_labelled *pictures, int count,
                              struct clfcn_dataset **out, struct clfcn_err *err)
{
    struct clfcn_dataset *set = calloc(1, sizeof *set);
    *out = NULL;
    if (!set) {
        return clfcn_err_nomem(err);
    }
    int rc = clfcn_source_open_memory(set, class_names, classes, pictures, count, err);
    if (rc == CLFCN_OK) {
        rc = finish_open(set, "the set in memory", err);
    }
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
    free((*set)->pictures);
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

int clfcn_dataset_ignore(struct clfcn_dataset *set, const char *values,
                         struct clfcn_err *err)
{
    return clfcn_classes_ignore(&set->found.classes, values, err);
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
    return set->found.items[i].mask;
}

const char *clfcn_dataset_item_image(const struct clfcn_dataset *set, int i)
{
    return set->found.items[i].image;
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

int clfcn_dataset_survey(const struct clfcn_dataset *set, int i, struct clfcn_pair *out,
                         struct clfcn_unknown *unknown, struct clfcn_err *err)
{
    return set->source->survey(set, i, out, unknown, err);
}

int clfcn_dataset_read(const struct clfcn_dataset *set, int i, struct clfcn_pair *out,
                       struct clfcn_err *err)
{
    return set->source->survey(set, i, out, NULL, err);
}

int clfcn_dataset_read_labels(const struct clfcn_dataset *set, int i, uint8_t **labels,
                              int *width, int *height, struct clfcn_err *err)
{
    return set->source->read_labels(set, i, labels, width, height, err);
}

int clfcn_dataset_hash(const struct clfcn_dataset *set, int i, uint64_t *hash,
                       struct clfcn_err *err)
{
    return set->source->hash(set, i, hash, err);
}
