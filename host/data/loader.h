/* loader.h - what the trainer asks of a loader besides its batches. */
#ifndef CLFCN_DATA_LOADER_H
#define CLFCN_DATA_LOADER_H

#include "dataset.h"
#include <clfcn/loader.h>

/* Host memory of the batches that a loader with the default ahead keeps. */
size_t clfcn_loader_bytes(int width, int height, int batch);

/* How many items it goes through in an epoch, if no batch is dropped. */
int clfcn_loader_items(const struct clfcn_loader *loader);

/* Seconds that clfcn_loader_next() spent waiting since the last call of this. */
double clfcn_loader_take_wait(struct clfcn_loader *loader);

#endif
