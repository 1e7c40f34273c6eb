/* loader.h - threads that keep batches of a data set ready, so that a device never
 * waits. */
#ifndef CLFCN_LOADER_H
#define CLFCN_LOADER_H

#include "data.h"

CLFCN_BEGIN_DECLS

/** What is loaded, and how. Zero-initialise, then fill in. */
struct clfcn_loader_desc {
    const struct clfcn_dataset *set; /**< borrowed */
    const int *items; /**< [item_count]: which of them; copied. NULL: all of them */
    int item_count;
    int width, height, batch;
    int of_batch; /**< images of the whole batch, of which this loader gives only batch, as
                     one of several ranks; 0: batch, the whole. A part goes with drop_last */
    int first;    /**< where this loader's images begin in the whole batch */
    enum clfcn_resize resize;
    struct clfcn_augment augment;
    bool shuffle;   /**< a new order every epoch, from seed */
    bool drop_last; /**< drop the smaller last batch (training), or keep it (evaluation) */
    uint64_t seed;
    int workers;        /**< threads, 0: a default */
    int ahead;          /**< batches prepared in advance, 0: a default */
    size_t cache_bytes; /**< samples kept between epochs, first come first kept */
};

/** One batch. Images past count repeat the batch's first image and have labels
 * CLFCN_IGNORE. */
struct clfcn_batch {
    float *images;    /**< [3][batch][height][width], normalised; in whole pages */
    uint8_t *labels;  /**< [batch][height][width]; likewise */
    int *items;       /**< [batch] number of each image in the set, -1 past count */
    int count;        /**< images that are real, 1 .. batch */
    int64_t labelled; /**< pixels not CLFCN_IGNORE, of these images */
    int epoch, index; /**< position: batch index within epoch */
};

/** Opaque. */
struct clfcn_loader;

/**
 * Make a loader; its threads are idle before the first call of clfcn_loader_seek() or
 * clfcn_loader_next().
 *
 * @param out  Receives the loader, or NULL on error. Free with clfcn_loader_destroy().
 * @return CLFCN_OK; CLFCN_EINVAL; CLFCN_ENOMEM; CLFCN_EIO if no thread can be started.
 */
CLFCN_API int clfcn_loader_create(const struct clfcn_loader_desc *desc,
                                  struct clfcn_loader **out, struct clfcn_err *err);

/** Stop the threads and set *loader to NULL. Batches that were not released are freed
 * too. Takes a pointer to NULL. */
CLFCN_API void clfcn_loader_destroy(struct clfcn_loader **loader);

/** Batches an epoch; the same for all parts of a batch. */
CLFCN_API int clfcn_loader_steps(const struct clfcn_loader *loader);

/**
 * Go to the position before batch `index` of `epoch`, from where the threads go on. What
 * is ready for another position is dropped, what is held stays. index ==
 * clfcn_loader_steps() means the next epoch's start. One thread seeks and takes. The
 * content of a whole batch depends only on (seed, epoch, index), not on how it was
 * reached nor on how it is divided into parts.
 */
CLFCN_API int clfcn_loader_seek(struct clfcn_loader *loader, int epoch, int index,
                                struct clfcn_err *err);

/**
 * The next batch, waiting for it if need be; after an epoch's last comes the next epoch's
 * first.
 *
 * @param batch  Receives the batch, which stays the loader's and is valid until it is
 *               released; at least three may be held at once.
 * @return CLFCN_OK; CLFCN_EDATA for an unreadable picture, in place of its batch, the
 *         next call giving the batch after it, or if the items do not fill one batch;
 *         CLFCN_ENOMEM.
 */
CLFCN_API int clfcn_loader_next(struct clfcn_loader *loader,
                                const struct clfcn_batch **batch, struct clfcn_err *err);

/** Give a batch back. */
CLFCN_API void clfcn_loader_release(struct clfcn_loader *loader,
                                    const struct clfcn_batch *batch);

CLFCN_END_DECLS

#endif
