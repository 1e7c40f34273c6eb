/* format.h - the layouts in which data sets lie on disk, a format_*.c file each.
 *
 * A data set is a list of pictures with masks, each for training, for validation or for
 * either, and the classes that mask values mean. A format finds those; reading is the
 * same for all of them. */
#ifndef CLFCN_DATA_FORMAT_H
#define CLFCN_DATA_FORMAT_H

#include "classes.h"
#include "dataset.h"

struct clfcn_item {
    char *name;         /* the picture's stem */
    char *image, *mask; /* paths, or its name where it lies in no file */
    enum clfcn_part part;
};

/* What a format found. Zero-initialise. */
struct clfcn_found {
    struct clfcn_classes classes;
    bool by_color; /* classes are colours: palette masks are matched by theirs, too */
    struct clfcn_item *items;
    int count;
    size_t room;
};
/* Append an item of copies of the three strings. */
int clfcn_found_add(struct clfcn_found *found, const char *name, const char *image,
                    const char *mask, enum clfcn_part part, struct clfcn_err *err);
void clfcn_found_free(struct clfcn_found *found);

enum clfcn_likeness {
    CLFCN_UNLIKE,
    CLFCN_PARTLY, /* some of it is there: worth an error that says what is missing */
    CLFCN_LIKE
};

/* One static table a format; every slot is required. */
struct clfcn_format {
    const char *name; /* of --format */
    const char
        *marks; /* what it is recognised by: "JPEGImages/ and SegmentationClass/" */
    enum clfcn_likeness (*recognise)(const char *path);
    /* Fill *found, zero-initialised, which the caller frees in every case. Reads no
     * picture. CLFCN_EDATA names the file or folder and the reason. */
    int (*open)(const char *path, struct clfcn_found *found, struct clfcn_err *err);
};

extern const struct clfcn_format clfcn_format_plain, clfcn_format_voc,
    clfcn_format_camvid, clfcn_format_cityscapes, clfcn_format_list;

/* Name of the i-th format, NULL past the last. */
const char *clfcn_format_name(int i);

/* The format called name, or with NULL the one that path looks most like; CLFCN_EINVAL
 * if there is none of that name, CLFCN_EDATA if path looks like none. */
int clfcn_format_choose(const char *path, const char *name,
                        const struct clfcn_format **out, struct clfcn_err *err);

/* Whether there is dir/name, a file, or a folder. */
bool clfcn_holds_file(const char *dir, const char *name);
bool clfcn_holds_dir(const char *dir, const char *name);

/* Take the classes of dir/classes.txt. */
int clfcn_own_classes(const char *dir, struct clfcn_found *found, struct clfcn_err *err);
/* Those of dir/name, a colour table. */
int clfcn_color_table_classes(const char *dir, const char *name,
                              struct clfcn_found *found, struct clfcn_err *err);
/* Those of dir/classes.txt if it is there, else of the table that is built in for a
 * format, in the grammar of classes.txt. */
int clfcn_format_classes(const char *dir, const char *table, const char *format,
                         struct clfcn_found *found, struct clfcn_err *err);

/* Pair image_dir with mask_dir, whose names may end in suffix, by stems, both ways
 * complete; append them. CLFCN_EDATA also if image_dir holds none. (pairs.c) */
int clfcn_pair_folders(const char *image_dir, const char *mask_dir, const char *suffix,
                       enum clfcn_part part, struct clfcn_found *found,
                       struct clfcn_err *err);

/* Pair the pictures that dir/list names, a stem a line; append them. CLFCN_EDATA names
 * file and line where one has no image or mask, and refuses an empty list. (pairs.c) */
struct clfcn_listing;
int clfcn_pair_names(const char *dir, const char *list, const struct clfcn_listing *images,
                     const struct clfcn_listing *masks, enum clfcn_part part,
                     struct clfcn_found *found, struct clfcn_err *err);

/* A colour table, as CamVid's label_colors.txt ("R G B NAME"), class_dict.csv
 * ("name,r,g,b" with a header) or CVAT's labelmap.txt ("name:r,g,b::"), as classes: a
 * class a line, "void" and "unlabelled" are ignored, blanks in names become '_'.
 * (color_table.c) */
int clfcn_color_table_read(const char *path, struct clfcn_classes *out,
                           struct clfcn_err *err);

#endif
