/* source_memory.c - pictures that the caller holds in memory. */
#include "../util/hash.h"
#include "../util/strbuf.h"
#include "source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t rgb_stride(const struct clfcn_labelled *p)
{
    return p->rgb_stride ? p->rgb_stride : 3 * (size_t)p->width;
}

static size_t labels_stride(const struct clfcn_labelled *p)
{
    return p->labels_stride ? p->labels_stride : (size_t)p->width;
}

static bool is_word(const char *name)
{
    return name && *name && *name != '#' && !strpbrk(name, " \t\r\n\v\f") &&
           strcmp(name, "ignore") != 0;
}

/* As classes.txt would have them: so names obey the same rules, and checkpoints can keep
 * them. */
static int make_classes(struct clfcn_dataset *set, const char *const *names, int count,
                        struct clfcn_err *err)
{
    struct clfcn_strbuf text = { 0 };
    int rc = CLFCN_OK;
    for (int c = 0; c < count && rc == CLFCN_OK; ++c) {
        if (!is_word(names[c])) {
            rc = clfcn_err_set(err, CLFCN_EINVAL, 0,
                               "the name of class %d must be one word, not 'ignore' and "
                               "without a '#' before it",
                               c);
        } else {
            clfcn_strbuf_add(&text, "%s %d\n", names[c], c);
        }
    }
    clfcn_strbuf_add(&text, "ignore %d\n", CLFCN_IGNORE);
    if (rc == CLFCN_OK) {
        rc = text.failed
                 ? clfcn_err_nomem(err)
                 : clfcn_classes_parse(text.str, "classes", &set->found.classes, err);
    }
    clfcn_strbuf_free(&text);
    return rc;
}

static int check_labels(const struct clfcn_labelled *p, int i, int classes,
                        struct clfcn_err *err)
{
    for (int y = 0; y < p->height; ++y) {
        const uint8_t *row = p->labels + (size_t)y * labels_stride(p);
        for (int x = 0; x < p->width; ++x) {
            if (row[x] >= classes && row[x] != CLFCN_IGNORE) {
                return clfcn_err_set(
                    err, CLFCN_EDATA, 0,
                    "picture %d: the label of pixel %d,%d is %d, but there are "
                    "%d classes (and %d for what counts nowhere)",
                    i, x, y, row[x], classes, CLFCN_IGNORE);
            }
        }
    }
    return CLFCN_OK;
}

static int check(const struct clfcn_labelled *p, int i, int classes,
                 struct clfcn_err *err)
{
    if (p->width < 1 || p->height < 1 || p->width > CLFCN_IMAGE_MAX_SIDE ||
        p->height > CLFCN_IMAGE_MAX_SIDE) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "picture %d: its sides %dx%d must be from 1 to %d", i,
                             p->width, p->height, CLFCN_IMAGE_MAX_SIDE);
    }
    if (!p->rgb || !p->labels || rgb_stride(p) < 3 * (size_t)p->width ||
        labels_stride(p) < (size_t)p->width) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "picture %d: pixels or labels are missing, or their stride "
                             "is less than a row",
                             i);
    }
    return check_labels(p, i, classes, err);
}

int clfcn_source_open_memory(struct clfcn_dataset *set, const char *const *class_names,
                             int classes, const struct clfcn_labelled *pictures,
                             int count, struct clfcn_err *err)
{
    set->source = &clfcn_source_memory;
    set->format = "memory";
    set->why = "pictures in memory";
    int rc = make_classes(set, class_names, classes, err);
    for (int i = 0; i < count && rc == CLFCN_OK; ++i) {
        char name[32];
        snprintf(name, sizeof name, "picture-%04d", i);
        rc = check(&pictures[i], i, classes, err);
        if (rc == CLFCN_OK) {
            rc = clfcn_found_add(&set->found, name, name, name, CLFCN_PART_ANY, err);
        }
    }
    if (rc < 0 || count == 0) {
        return rc;
    }
    set->pictures = malloc((size_t)count * sizeof *pictures);
    if (!set->pictures) {
        return clfcn_err_nomem(err);
    }
    memcpy(set->pictures, pictures, (size_t)count * sizeof *pictures);
    return CLFCN_OK;
}

static int read_labels(const struct clfcn_dataset *set, int i, uint8_t **labels,
                       int *width, int *height, struct clfcn_err *err)
{
    const struct clfcn_labelled *p = &set->pictures[i];
    const size_t row = (size_t)p->width;
    *width = p->width;
    *height = p->height;
    *labels = malloc(row * (size_t)p->height);
    if (!*labels) {
        return clfcn_err_nomem(err);
    }
    for (size_t y = 0; y < (size_t)p->height; ++y) {
        memcpy(*labels + y * row, p->labels + y * labels_stride(p), row);
    }
    return CLFCN_OK;
}

static int survey(const struct clfcn_dataset *set, int i, struct clfcn_pair *out,
                  struct clfcn_unknown *unknown, struct clfcn_err *err)
{
    const struct clfcn_labelled *p = &set->pictures[i];
    const size_t row = 3 * (size_t)p->width;
    int width, height;
    *out = (struct clfcn_pair){ 0 };
    int rc = clfcn_image_alloc(&out->image, p->width, p->height, 3, 8, err);
    if (rc == CLFCN_OK) {
        rc = read_labels(set, i, &out->labels, &width, &height, err);
    }
    if (rc < 0) {
        clfcn_pair_free(out);
        return rc;
    }
    for (size_t y = 0; y < (size_t)p->height; ++y) {
        memcpy(out->image.px.u8 + y * row, p->rgb + y * rgb_stride(p), row);
    }
    return CLFCN_OK;
}

static int hash(const struct clfcn_dataset *set, int i, uint64_t *hash,
                struct clfcn_err *err)
{
    const struct clfcn_labelled *p = &set->pictures[i];
    *hash = CLFCN_HASH_INIT;
    for (size_t y = 0; y < (size_t)p->height; ++y) {
        *hash = clfcn_hash(*hash, p->rgb + y * rgb_stride(p), 3 * (size_t)p->width);
    }
    return CLFCN_OK;
}

const struct clfcn_source clfcn_source_memory = { survey, read_labels, hash };
