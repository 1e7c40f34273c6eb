/* data.h - images with masks: classes, pairing, decoding. */
#ifndef CLFCN_DATA_H
#define CLFCN_DATA_H

#include "common.h"

CLFCN_BEGIN_DECLS

/** A set of images with masks. Opaque. */
struct clfcn_dataset;

/**
 * Open a data set: a folder that holds `images/`, `masks/` and `classes.txt` ("plain"),
 * one as PASCAL VOC, CamVid or Cityscapes have it, a text file that lists pictures and
 * masks, or "demo", the built-in synthetic set. Reads no pixel yet. A folder whose name
 * is "demo" is "./demo".
 *
 * @param out  Receives the set, or NULL on error. Free with clfcn_dataset_destroy().
 * @return CLFCN_OK; CLFCN_EDATA with the file and the reason, which may be that it is
 * missing or unreadable, or that no format is recognised; CLFCN_ENOMEM.
 */
CLFCN_API int clfcn_dataset_open(const char *path, struct clfcn_dataset **out,
                                 struct clfcn_err *err);

/** As clfcn_dataset_open(), in the format "plain", "voc", "camvid", "cityscapes" or
 * "list" without looking which it is; NULL: recognised. CLFCN_EINVAL for other names. */
CLFCN_API int clfcn_dataset_open_as(const char *path, const char *format,
                                    struct clfcn_dataset **out, struct clfcn_err *err);

/** As clfcn_dataset_open(), a plain set from three separate paths. */
CLFCN_API int clfcn_dataset_open_paths(const char *images, const char *masks,
                                       const char *classes, struct clfcn_dataset **out,
                                       struct clfcn_err *err);

/** A labelled picture in memory. The pixels are borrowed. */
struct clfcn_labelled {
    int width, height;
    const uint8_t *rgb;    /**< [height][width][3] */
    size_t rgb_stride;     /**< bytes from a row to the next; 0: 3 * width */
    const uint8_t *labels; /**< [height][width]: class 0 .. classes-1, or CLFCN_IGNORE */
    size_t labels_stride;  /**< likewise; 0: width */
};

/**
 * A data set of pictures in memory, named "picture-0000" and so on. The pictures
 * themselves are copied, their pixels are not: they must outlive the set and not change.
 *
 * @param class_names  [classes] words, each different; copied.
 * @return CLFCN_OK; CLFCN_EINVAL for a size or name that cannot be; CLFCN_EDATA names the
 *         picture and pixel whose label is no class, and if there are fewer than two
 *         classes or no picture; CLFCN_ENOMEM.
 */
CLFCN_API int clfcn_dataset_from_memory(const char *const *class_names, int classes,
                                        const struct clfcn_labelled *pictures, int count,
                                        struct clfcn_dataset **out,
                                        struct clfcn_err *err);

/**
 * Let pixels of these mask values count nowhere, in addition to those of the classes'
 * `ignore` line.
 *
 * @param values  As in that line: "255", "0 7 20-29", "128,64,0".
 * @return CLFCN_OK; CLFCN_EINVAL if that is no such text, or a value is a class's.
 */
CLFCN_API int clfcn_dataset_ignore(struct clfcn_dataset *set, const char *values,
                                   struct clfcn_err *err);

/** Destroy *set and set it to NULL. Takes a pointer to NULL. */
CLFCN_API void clfcn_dataset_destroy(struct clfcn_dataset **set);

/** The name of its format ("voc"), and what that was recognised by; both are static. */
CLFCN_API const char *clfcn_dataset_format(const struct clfcn_dataset *set);
CLFCN_API const char *clfcn_dataset_why(const struct clfcn_dataset *set);

/** Number of images. */
CLFCN_API int clfcn_dataset_size(const struct clfcn_dataset *set);

/** Number of classes, and the name of one; borrowed. */
CLFCN_API int clfcn_dataset_classes(const struct clfcn_dataset *set);
CLFCN_API const char *clfcn_dataset_class_name(const struct clfcn_dataset *set, int c);

/** How a picture is brought to the network's size; masks take the nearest pixel. */
enum clfcn_resize {
    CLFCN_RESIZE_BILINEAR, /**< as PyTorch's interpolate(), without antialias */
    CLFCN_RESIZE_AREA      /**< the mean over a pixel's area where that shrinks the
                              picture, bilinear where it enlarges it */
};

CLFCN_API const char *clfcn_resize_name(enum clfcn_resize resize);

/**
 * Random changes to each training picture, with its mask, anew in every epoch. All zero:
 * none. Parts of the network's picture where the changed one does not reach have the mean
 * colour, and labels that count nowhere.
 */
struct clfcn_augment {
    bool flip, vflip;            /**< mirror every second one: left-right; top-bottom */
    double scale_min, scale_max; /**< zoom by a factor between them, 0.25 .. 4; 0: no */
    bool crop;     /**< with a zoom: at a random place, else around the centre */
    double rotate; /**< turn by up to so many degrees either way, at most 180 */
    double brightness, contrast, saturation; /**< change by a factor in 1 - x .. 1 + x,
                                                x at most 1 */
    double noise; /**< deviation of Gaussian noise, intensities being 0 .. 1; at most 1 */
};

/**
 * Read "none" or a list as `clfcn train --augment` takes it ("flip,rotate=10"): names,
 * with an amount or the usual one, or "standard" for a mixture, in which names given
 * beside it replace theirs.
 *
 * @return CLFCN_OK; CLFCN_EINVAL, saying what is wrong with which name.
 */
CLFCN_API int clfcn_augment_parse(const char *text, struct clfcn_augment *out,
                                  struct clfcn_err *err);

enum { CLFCN_AUGMENT_TEXT = 320 };
/** The list that clfcn_augment_parse() makes the same of, to the bit: every amount given,
 * in a fixed order. Returns buf. */
CLFCN_API const char *clfcn_augment_text(const struct clfcn_augment *augment,
                                         char buf[CLFCN_AUGMENT_TEXT]);

CLFCN_END_DECLS

#endif
