/* source_files.c - pictures and masks in files. */
#include "../util/file.h"
#include "../util/hash.h"
#include "source.h"
#include <stdlib.h>

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

static int survey(const struct clfcn_dataset *set, int i, struct clfcn_pair *out,
                  struct clfcn_unknown *unknown, struct clfcn_err *err)
{
    const struct clfcn_item *item = &set->found.items[i];
    int width, height;
    *out = (struct clfcn_pair){ 0 };
    int rc = clfcn_image_read(item->image, CLFCN_AS_RGB, &out->image, err);
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

static int read_labels(const struct clfcn_dataset *set, int i, uint8_t **labels,
                       int *width, int *height, struct clfcn_err *err)
{
    return read_mask(set, i, labels, width, height, NULL, err);
}

static int hash(const struct clfcn_dataset *set, int i, uint64_t *hash,
                struct clfcn_err *err)
{
    char *data = NULL;
    size_t size = 0;
    const int rc = clfcn_file_read(set->found.items[i].image, CLFCN_IMAGE_MAX_BYTES,
                                   &data, &size, err);
    if (rc < 0) {
        return clfcn_input_error(rc, err);
    }
    *hash = clfcn_hash(CLFCN_HASH_INIT, data, size);
    free(data);
    return CLFCN_OK;
}

const struct clfcn_source clfcn_source_files = { survey, read_labels, hash };
