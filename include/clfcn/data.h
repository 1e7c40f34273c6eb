/* data.h - images with masks: classes, pairing, decoding. */
#ifndef CLFCN_DATA_H
#define CLFCN_DATA_H

#include "common.h"

CLFCN_BEGIN_DECLS

/** A set of images with masks. Opaque. */
struct clfcn_dataset;

/**
 * Open a data set: a folder that holds `images/`, `masks/` and `classes.txt` ("plain"), one
 * as PASCAL VOC, CamVid or Cityscapes have it, a text file that lists pictures and masks,
 * or "demo", the built-in synthetic set. Reads no pixel yet. A folder whose name is "demo"
 * is "./demo".
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
struct clfcn_picture {
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
                                        const struct clfcn_picture *pictures, int count,
                                        struct clfcn_dataset **out,
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

CLFCN_END_DECLS

#endif
