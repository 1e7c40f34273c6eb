/* format_camvid.c - CamVid and its like: a colour table, and pictures and colour masks in
 * folders, one pair for all of them or one each for training and validation. */
#include "../util/path.h"
#include "format.h"
#include "listing.h"
#include <stdlib.h>

struct folders {
    const char *images, *masks;
};

/* Names that the copies in circulation have. */
static const char *const tables[] = { "label_colors.txt", "class_dict.csv" };
static const struct folders train_folders[] = {
    { "train", "train_labels" },       { "train", "trainannot" },
    { "train", "train_masks" },        { "train/images", "train/labels" },
    { "train/images", "train/masks" },
};
static const struct folders val_folders[] = {
    { "val", "val_labels" },        { "val", "valannot" },         { "val", "val_masks" },
    { "val/images", "val/labels" }, { "val/images", "val/masks" },
};
static const struct folders flat_folders[] = {
    { "701_StillsRaw_full", "LabeledApproved_full" },
    { "images", "labels" },
    { "images", "masks" },
};

static const struct folders *find_folders(const char *path, const struct folders *list,
                                          int count)
{
    for (int i = 0; i < count; ++i) {
        if (clfcn_holds_dir(path, list[i].images) &&
            clfcn_holds_dir(path, list[i].masks)) {
            return &list[i];
        }
    }
    return NULL;
}
#define FIND(path, list) find_folders(path, list, (int)(sizeof(list) / sizeof((list)[0])))

static const char *find_table(const char *path)
{
    for (size_t i = 0; i < sizeof tables / sizeof *tables; ++i) {
        if (clfcn_holds_file(path, tables[i])) {
            return tables[i];
        }
    }
    return NULL;
}

static enum clfcn_likeness recognise(const char *path)
{
    const bool table = find_table(path);
    const bool split = FIND(path, train_folders), flat = FIND(path, flat_folders);
    if ((table && (split || flat)) || (split && clfcn_holds_file(path, "classes.txt"))) {
        return CLFCN_LIKE;
    }
    return table || split ? CLFCN_PARTLY : CLFCN_UNLIKE;
}

/* An own classes.txt goes before the colour table. */
static int read_classes(const char *path, struct clfcn_found *found,
                        struct clfcn_err *err)
{
    const char *table = find_table(path);
    if (clfcn_holds_file(path, "classes.txt")) {
        return clfcn_own_classes(path, found, err);
    }
    return table ? clfcn_color_table_classes(path, table, found, err)
                 : clfcn_err_set(err, CLFCN_EDATA, 0,
                                 "%s: neither label_colors.txt nor class_dict.csv nor "
                                 "classes.txt says what the masks' colours mean; add one",
                                 path);
}

static int pair(const char *path, const struct folders *folders, enum clfcn_part part,
                struct clfcn_found *found, struct clfcn_err *err)
{
    char *images = clfcn_path_join(path, folders->images);
    char *masks = clfcn_path_join(path, folders->masks);
    const int rc = images && masks
                       ? clfcn_pair_folders(images, masks, "_L", part, found, err)
                       : clfcn_err_nomem(err);
    free(images);
    free(masks);
    return rc;
}

/* All pictures lie in one folder: train.txt and val.txt name those of each part. */
static int pair_lists(const char *path, const struct folders *folders,
                      struct clfcn_found *found, struct clfcn_err *err)
{
    struct clfcn_listing images = { 0 }, masks = { 0 };
    char *image_dir = clfcn_path_join(path, folders->images);
    char *mask_dir = clfcn_path_join(path, folders->masks);
    int rc = image_dir && mask_dir ? clfcn_listing_read(image_dir, NULL, &images, err)
                                   : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = clfcn_listing_read(mask_dir, "_L", &masks, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_pair_names(path, "train.txt", &images, &masks, CLFCN_PART_TRAIN, found,
                              err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_pair_names(path, "val.txt", &images, &masks, CLFCN_PART_VAL, found,
                              err);
    }
    clfcn_listing_free(&images);
    clfcn_listing_free(&masks);
    free(image_dir);
    free(mask_dir);
    return rc;
}

static int open_camvid(const char *path, struct clfcn_found *found, struct clfcn_err *err)
{
    const struct folders *train = FIND(path, train_folders);
    const struct folders *val = FIND(path, val_folders), *flat = FIND(path, flat_folders);
    int rc;
    if (train) {
        rc = pair(path, train, CLFCN_PART_TRAIN, found, err);
        if (rc == CLFCN_OK && val) {
            rc = pair(path, val, CLFCN_PART_VAL, found, err);
        }
    } else if (!flat) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "%s: no folders of pictures and masks, such as train/ and "
                             "train_labels/, or images/ and labels/",
                             path);
    } else if (clfcn_holds_file(path, "train.txt") && clfcn_holds_file(path, "val.txt")) {
        rc = pair_lists(path, flat, found, err);
    } else {
        rc = pair(path, flat, CLFCN_PART_ANY, found, err);
    }
    return rc < 0 ? rc : read_classes(path, found, err);
}

const struct clfcn_format clfcn_format_camvid = {
    "camvid", "a colour table with folders of pictures and masks", recognise, open_camvid
};
