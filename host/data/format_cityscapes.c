/* format_cityscapes.c - leftImg8bit/PART/CITY/NAME_leftImg8bit.png with
 * gtFine/PART/CITY/NAME_gtFine_labelIds.png, PART train and val. */
#include "../util/path.h"
#include "../util/strbuf.h"
#include "format.h"
#include "listing.h"
#include <stdlib.h>
#include <string.h>

/* The 19 of the 34 label ids that the benchmark trains and evaluates. 255 is how the
 * license plate, id -1, and the void of derived masks are stored. */
static const char cityscapes_classes[] = "road 7 #804080\n"
                                         "sidewalk 8 #f423e8\n"
                                         "building 11 #464646\n"
                                         "wall 12 #66669c\n"
                                         "fence 13 #be9999\n"
                                         "pole 17 #999999\n"
                                         "traffic_light 19 #faaa1e\n"
                                         "traffic_sign 20 #dcdc00\n"
                                         "vegetation 21 #6b8e23\n"
                                         "terrain 22 #98fb98\n"
                                         "sky 23 #4682b4\n"
                                         "person 24 #dc143c\n"
                                         "rider 25 #ff0000\n"
                                         "car 26 #00008e\n"
                                         "truck 27 #000046\n"
                                         "bus 28 #003c64\n"
                                         "train 31 #005064\n"
                                         "motorcycle 32 #0000e6\n"
                                         "bicycle 33 #770b20\n"
                                         "ignore 0-6 9-10 14-16 18 29-30 255\n";

static enum clfcn_likeness recognise(const char *path)
{
    const int there =
        clfcn_holds_dir(path, "leftImg8bit") + clfcn_holds_dir(path, "gtFine");
    return there == 2 ? CLFCN_LIKE : there > 0 ? CLFCN_PARTLY : CLFCN_UNLIKE;
}

/* The pictures of one city. Beside the masks lie others for each picture, so that theirs
 * are not listed but looked for. */
static int add_city(const char *image_dir, const char *mask_dir, enum clfcn_part part,
                    struct clfcn_found *found, struct clfcn_err *err)
{
    struct clfcn_listing images;
    int rc = clfcn_listing_read(image_dir, "_leftImg8bit", &images, err);
    for (int i = 0; i < images.count && rc == CLFCN_OK; ++i) {
        const struct clfcn_listed *image = &images.files[i];
        struct clfcn_strbuf mask = { 0 };
        clfcn_strbuf_add(&mask, "%s/%s_gtFine_labelIds.png", mask_dir, image->stem);
        if (mask.failed) {
            rc = clfcn_err_nomem(err);
        } else if (!clfcn_path_is_file(mask.str)) {
            rc = clfcn_err_set(err, CLFCN_EDATA, 0,
                               "%s: no such file, the mask of %s; add it or remove the "
                               "picture",
                               mask.str, image->path);
        } else {
            rc = clfcn_found_add(found, image->stem, image->path, mask.str, part, err);
        }
        clfcn_strbuf_free(&mask);
    }
    clfcn_listing_free(&images);
    return rc;
}

static int add_cities(const char *image_dir, const char *mask_dir, enum clfcn_part part,
                      struct clfcn_found *found, struct clfcn_err *err)
{
    char **cities = NULL;
    int count = 0;
    int rc =
        clfcn_input_error(clfcn_path_list_dirs(image_dir, &cities, &count, err), err);
    for (int i = 0; i < count && rc == CLFCN_OK; ++i) {
        char *images = clfcn_path_join(image_dir, cities[i]);
        char *masks = clfcn_path_join(mask_dir, cities[i]);
        rc = images && masks ? add_city(images, masks, part, found, err)
                             : clfcn_err_nomem(err);
        free(images);
        free(masks);
    }
    clfcn_path_list_free(cities, count);
    return rc;
}

static int add_part(const char *path, const char *name, enum clfcn_part part,
                    struct clfcn_found *found, struct clfcn_err *err)
{
    struct clfcn_strbuf images = { 0 }, masks = { 0 };
    const int before = found->count;
    clfcn_strbuf_add(&images, "%s/leftImg8bit/%s", path, name);
    clfcn_strbuf_add(&masks, "%s/gtFine/%s", path, name);
    int rc = images.failed || masks.failed ? clfcn_err_nomem(err) : CLFCN_OK;
    if (rc == CLFCN_OK && clfcn_path_is_dir(images.str)) {
        rc = add_cities(images.str, masks.str, part, found, err);
        if (rc == CLFCN_OK && found->count == before) {
            rc = clfcn_err_set(err, CLFCN_EDATA, 0,
                               "%s: no picture in this folder's folders, one a city; add "
                               "some or remove it",
                               images.str);
        }
    }
    clfcn_strbuf_free(&images);
    clfcn_strbuf_free(&masks);
    return rc;
}

static int open_cityscapes(const char *path, struct clfcn_found *found,
                           struct clfcn_err *err)
{
    int rc = add_part(path, "train", CLFCN_PART_TRAIN, found, err);
    if (rc == CLFCN_OK) {
        rc = add_part(path, "val", CLFCN_PART_VAL, found, err);
    }
    return rc < 0 ? rc
                  : clfcn_format_classes(path, cityscapes_classes,
                                         "classes of Cityscapes", found, err);
}

const struct clfcn_format clfcn_format_cityscapes = { "cityscapes",
                                                      "leftImg8bit/ and gtFine/",
                                                      recognise, open_cityscapes };
