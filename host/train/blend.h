/* blend.h - the probabilities of overlapping tiles, put together row by row, so that
 * memory holds a band of the picture as high as a tile and not the whole of it. */
#ifndef CLFCN_TRAIN_BLEND_H
#define CLFCN_TRAIN_BLEND_H

#include "../data/tap.h"
#include "tiles.h"
#include <clfcn/predict.h>

/* A size of the picture as it is cut, and the one that its results get. */
struct clfcn_blend_desc {
    int classes;
    int tile_width, tile_height;
    int overlap_x, overlap_y;
    int cut_width, cut_height;
    int width, height;
};

/* Zero-initialised is empty. */
struct clfcn_blend {
    struct clfcn_blend_desc desc;
    struct clfcn_tiles x, y;
    int rows;        /* of the band */
    int first;       /* row of the cut picture that is the band's first */
    int next;        /* row of the result that comes next */
    float *band;     /* [classes][rows][cut_width] */
    float *row;      /* [classes][width] */
    struct tap *taps; /* [width] */
};

int clfcn_blend_init(struct clfcn_blend *b, const struct clfcn_blend_desc *desc,
                     struct clfcn_err *err);
void clfcn_blend_finish(struct clfcn_blend *b);

/* Add the probabilities [classes][tile_height][tile_width] of the tile in column i, row
 * j, planes plane_stride apart, times share; from right to left if mirrored. Rows of
 * tiles come in order. */
void clfcn_blend_add(struct clfcn_blend *b, int i, int j, const float *probs,
                     size_t plane_stride, float share, bool mirrored);

/* After all that is to be added to the tiles of row j: give away the rows of the result
 * that nothing will change any more. Bilinear where the sizes differ. */
int clfcn_blend_take(struct clfcn_blend *b, int j, clfcn_predict_row_fn row, void *user,
                     struct clfcn_err *err);

#endif
