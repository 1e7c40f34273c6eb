/* loader.h - threads that keep batches ready, so that the device never waits. */
#ifndef CLFCN_DATA_LOADER_H
#define CLFCN_DATA_LOADER_H

#include "dataset.h"
#include <clfcn/train.h>

struct clfcn_loader_desc {
    const struct clfcn_dataset *set; /* borrowed */
    const int *items;                /* which of them; copied */
    int item_count;
    int width, height, batch;
    enum clfcn_augment augment;
    bool shuffle;   /* a new order every epoch, from seed */
    bool drop_last; /* training: drop the smaller last batch; evaluation: keep it */
    uint64_t seed;
    int workers;        /* threads, 0: a default */
    int ahead;          /* batches prepared in advance, 0: a default */
    size_t cache_bytes; /* resized samples kept between epochs, first come first kept */
};

/* One batch. Images past count repeat the batch's first image and have labels
 * CLFCN_IGNORE. */
struct clfcn_batch {
    float *images;    /* [3][batch][height][width], normalised; in whole pages */
    uint8_t *labels;  /* [batch][height][width]; likewise */
    int *items;       /* [batch] dataset index of each image, -1 past count */
    int count;        /* images that are real, 1 .. batch */
    int64_t labelled; /* pixels not CLFCN_IGNORE */
    int epoch, index; /* position: batch index within epoch */
};

/* Opaque. */
struct clfcn_loader;

int clfcn_loader_create(const struct clfcn_loader_desc *desc, struct clfcn_loader **out,
                        struct clfcn_err *err);
/* Stops the threads. Batches that were not released are freed too. */
void clfcn_loader_destroy(struct clfcn_loader **loader);

/* Host memory of the batches that a loader with the default ahead keeps. */
size_t clfcn_loader_bytes(int width, int height, int batch);

/* Batches an epoch. */
int clfcn_loader_steps(const struct clfcn_loader *loader);

/* Position before batch `index` of `epoch`, from where the threads go on: they are idle
 * before the first seek or take. What is ready for another position is dropped, what is
 * held stays. index == steps means the next epoch's start. One thread
 * seeks and takes. The content of a batch depends only on (seed, epoch, index), not on
 * how it was reached. */
int clfcn_loader_seek(struct clfcn_loader *loader, int epoch, int index,
                      struct clfcn_err *err);

/* The next batch, waiting for it if need be; after an epoch's last comes the next epoch's
 * first. The batch stays the loader's, valid until released; at least three may be held
 * at once. An unreadable item ends here as its error, in place of its batch; the next
 * call gives the batch after it. CLFCN_EDATA if the items do not fill one batch. */
int clfcn_loader_next(struct clfcn_loader *loader, const struct clfcn_batch **batch,
                      struct clfcn_err *err);
void clfcn_loader_release(struct clfcn_loader *loader, const struct clfcn_batch *batch);

/* Seconds that clfcn_loader_next() spent waiting since the last call of this. */
double clfcn_loader_take_wait(struct clfcn_loader *loader);

#endif
