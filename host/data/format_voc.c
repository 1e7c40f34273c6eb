/* format_voc.c - PASCAL VOC: JPEGImages/, SegmentationClass/, and in
 * ImageSets/Segmentation/ the names of train.txt and val.txt, or of trainval.txt. */
#include "../util/path.h"
#include "format.h"
#include "listing.h"
#include <stdlib.h>

/* The 20 classes of the challenge. Masks have them as palette indices; where a tool has
 * expanded the palette, as its colours. 255 is the border that nobody labelled. */
static const char voc_classes[] = "background 0 0,0,0 #000000\n"
                                  "aeroplane 1 128,0,0 #800000\n"
                                  "bicycle 2 0,128,0 #008000\n"
                                  "bird 3 128,128,0 #808000\n"
                                  "boat 4 0,0,128 #000080\n"
                                  "bottle 5 128,0,128 #800080\n"
                                  "bus 6 0,128,128 #008080\n"
                                  "car 7 128,128,128 #808080\n"
                                  "cat 8 64,0,0 #400000\n"
                                  "chair 9 192,0,0 #c00000\n"
                                  "cow 10 64,128,0 #408000\n"
                                  "diningtable 11 192,128,0 #c08000\n"
                                  "dog 12 64,0,128 #400080\n"
                                  "horse 13 192,0,128 #c00080\n"
                                  "motorbike 14 64,128,128 #408080\n"
                                  "person 15 192,128,128 #c08080\n"
                                  "pottedplant 16 0,64,0 #004000\n"
                                  "sheep 17 128,64,0 #804000\n"
                                  "sofa 18 0,192,0 #00c000\n"
                                  "train 19 128,192,0 #80c000\n"
                                  "tvmonitor 20 0,64,128 #004080\n"
                                  "ignore 255 224,224,192\n";

static enum clfcn_likeness recognise(const char *path)
{
    const int there =
        clfcn_holds_dir(path, "JPEGImages") + clfcn_holds_dir(path, "SegmentationClass");
    return there == 2 ? CLFCN_LIKE : there > 0 ? CLFCN_PARTLY : CLFCN_UNLIKE;
}

/* The lists that are there, of one folder's pictures. */
struct lists {
    const char *dir;
    struct clfcn_listing images, masks;
    int read;
};

static int read_list(struct lists *l, const char *name, enum clfcn_part part,
                     struct clfcn_found *found, struct clfcn_err *err)
{
    if (!clfcn_holds_file(l->dir, name)) {
        return CLFCN_OK;
    }
    ++l->read;
    return clfcn_pair_names(l->dir, name, &l->images, &l->masks, part, found, err);
}

/* Without lists it is the masks that tell: most pictures of VOC have none. */
static int take_masks(const struct lists *l, struct clfcn_found *found,
                      struct clfcn_err *err)
{
    for (int i = 0; i < l->masks.count; ++i) {
        const struct clfcn_listed *mask = &l->masks.files[i];
        const struct clfcn_listed *image = clfcn_listing_find(&l->images, mask->stem);
        const int rc = image ? clfcn_found_add(found, mask->stem, image->path, mask->path,
                                               CLFCN_PART_ANY, err)
                             : clfcn_err_set(err, CLFCN_EDATA, 0,
                                             "%s: this mask has no image of the same "
                                             "stem in JPEGImages; add or remove files so "
                                             "that they match",
                                             mask->path);
        if (rc < 0) {
            return rc;
        }
    }
    return CLFCN_OK;
}

static int find_items(struct lists *l, struct clfcn_found *found, struct clfcn_err *err)
{
    int rc = read_list(l, "train.txt", CLFCN_PART_TRAIN, found, err);
    if (rc == CLFCN_OK) {
        rc = read_list(l, "val.txt", CLFCN_PART_VAL, found, err);
    }
    if (rc == CLFCN_OK && l->read == 0) {
        rc = read_list(l, "trainval.txt", CLFCN_PART_ANY, found, err);
    }
    return rc == CLFCN_OK && l->read == 0 ? take_masks(l, found, err) : rc;
}

/* An own classes.txt, else CVAT's table of colours, else the challenge's. */
static int read_classes(const char *path, struct clfcn_found *found,
                        struct clfcn_err *err)
{
    const bool own = clfcn_holds_file(path, "classes.txt");
    return !own && clfcn_holds_file(path, "labelmap.txt")
               ? clfcn_color_table_classes(path, "labelmap.txt", found, err)
               : clfcn_format_classes(path, voc_classes, "classes of VOC", found, err);
}

static int open_voc(const char *path, struct clfcn_found *found, struct clfcn_err *err)
{
    char *images = clfcn_path_join(path, "JPEGImages");
    char *masks = clfcn_path_join(path, "SegmentationClass");
    char *dir = clfcn_path_join(path, "ImageSets/Segmentation");
    struct lists l = { .dir = dir };
    int rc = images && masks && dir ? CLFCN_OK : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = clfcn_listing_read(images, NULL, &l.images, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_listing_read(masks, NULL, &l.masks, err);
    }
    if (rc == CLFCN_OK) {
        rc = find_items(&l, found, err);
    }
    if (rc == CLFCN_OK) {
        rc = read_classes(path, found, err);
    }
    clfcn_listing_free(&l.images);
    clfcn_listing_free(&l.masks);
    free(images);
    free(masks);
    free(dir);
    return rc;
}

const struct clfcn_format clfcn_format_voc = { "voc",
                                               "JPEGImages/ and SegmentationClass/",
                                               recognise, open_voc };
