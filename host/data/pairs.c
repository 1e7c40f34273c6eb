/* pairs.c - which mask belongs to which picture: by stems, in folders and in lists. */
#include "../util/path.h"
#include "format.h"
#include "lines.h"
#include "listing.h"
#include <stdio.h>
#include <stdlib.h>

/* The files of a without partner in b: the first, or NULL, and how many. */
static const char *find_unpaired(const struct clfcn_listing *a,
                                 const struct clfcn_listing *b, int *count)
{
    const char *first = NULL;
    *count = 0;
    for (int i = 0; i < a->count; ++i) {
        if (!clfcn_listing_find(b, a->files[i].stem)) {
            first = (*count)++ ? first : a->files[i].path;
        }
    }
    return first;
}

static int check_paired(const struct clfcn_listing *a, const char *kind,
                        const char *other_kind, const struct clfcn_listing *b,
                        const char *other_dir, struct clfcn_err *err)
{
    int count;
    const char *first = find_unpaired(a, b, &count);
    if (!first) {
        return CLFCN_OK;
    }
    char more[64] = "";
    if (count > 1) {
        snprintf(more, sizeof more, " (and %d more %ss have none)", count - 1, kind);
    }
    return clfcn_err_set(
        err, CLFCN_EDATA, 0,
        "%s: this %s has no %s of the same stem in %s%s; add or remove files "
        "so that they match",
        first, kind, other_kind, other_dir, more);
}

int clfcn_pair_folders(const char *image_dir, const char *mask_dir, const char *suffix,
                       enum clfcn_part part, struct clfcn_found *found,
                       struct clfcn_err *err)
{
    struct clfcn_listing images = { 0 }, masks = { 0 };
    int rc = clfcn_listing_read(image_dir, NULL, &images, err);
    if (rc == CLFCN_OK && images.count == 0) {
        rc = clfcn_err_set(err, CLFCN_EDATA, 0, "%s: no image in this folder", image_dir);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_listing_read(mask_dir, suffix, &masks, err);
    }
    if (rc == CLFCN_OK) {
        rc = check_paired(&images, "image", "mask", &masks, mask_dir, err);
    }
    if (rc == CLFCN_OK) {
        rc = check_paired(&masks, "mask", "image", &images, image_dir, err);
    }
    for (int i = 0; i < images.count && rc == CLFCN_OK; ++i) {
        rc = clfcn_found_add(found, images.files[i].stem, images.files[i].path,
                             masks.files[i].path, part, err);
    }
    clfcn_listing_free(&images);
    clfcn_listing_free(&masks);
    return rc;
}

int clfcn_pair_names(const char *dir, const char *list,
                     const struct clfcn_listing *images,
                     const struct clfcn_listing *masks, enum clfcn_part part,
                     struct clfcn_found *found, struct clfcn_err *err)
{
    struct clfcn_lines lines = { 0 };
    char *path = clfcn_path_join(dir, list);
    int rc = path ? clfcn_lines_read(path, &lines, err) : clfcn_err_nomem(err);
    if (rc == CLFCN_OK && lines.count == 0) {
        rc = clfcn_err_set(err, CLFCN_EDATA, 0,
                           "%s: names no picture; fill it, or remove it to have the "
                           "whole set split by --val-fraction",
                           path);
    }
    for (int i = 0; i < lines.count && rc == CLFCN_OK; ++i) {
        const char *name = lines.list[i].text;
        const struct clfcn_listed *image = clfcn_listing_find(images, name);
        const struct clfcn_listed *mask = clfcn_listing_find(masks, name);
        if (image && mask) {
            rc = clfcn_found_add(found, name, image->path, mask->path, part, err);
        } else {
            rc = clfcn_err_set(err, CLFCN_EDATA, 0,
                               "%s:%d: there is no %s called '%.200s'; add it or remove "
                               "the line",
                               path, lines.list[i].number, image ? "mask" : "picture",
                               name);
        }
    }
    clfcn_lines_free(&lines);
    free(path);
    return rc;
}
