/* tiles.h - where the tiles of a picture lie, and how much each counts where they
 * overlap: along one side, as rows and columns of tiles do not depend on each other. */
#ifndef CLFCN_TRAIN_TILES_H
#define CLFCN_TRAIN_TILES_H

#include "../util/err.h"

/* Zero-initialised is empty. */
struct clfcn_tiles {
    int length; /* of the picture's side */
    int tile;   /* pixels of a tile's */
    int count;
    int *origin;   /* [count] of each tile, ascending; < 0 where length < tile */
    float *weight; /* [count][tile] of each pixel; over the tiles, those of one pixel of
                      the picture sum to 1; 0 outside it */
};

/* As few tiles as overlap by at least so many pixels, 0 <= overlap < tile, spread evenly
 * from end to end; one in the middle where that covers all. Weights fall to the tiles'
 * edges as a squared sine over the overlap. */
int clfcn_tiles_init(struct clfcn_tiles *t, int length, int tile, int overlap,
                     struct clfcn_err *err);
void clfcn_tiles_finish(struct clfcn_tiles *t);

#endif
