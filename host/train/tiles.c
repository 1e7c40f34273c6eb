/* tiles.c - where the tiles of a picture lie, and how much each counts. */
#include "tiles.h"
#include <math.h>
#include <stdlib.h>

/* What pixel i of a tile counts before it is divided by what all tiles count there. */
static double window(int i, int tile, int overlap)
{
    const double half_pi = 1.57079632679489661923;
    const int from_edge = i < tile - 1 - i ? i : tile - 1 - i;
    if (from_edge >= overlap) {
        return 1;
    }
    const double s = sin(half_pi * (from_edge + 0.5) / overlap);
    return s * s;
}

static void place(struct clfcn_tiles *t)
{
    if (t->count == 1) {
        t->origin[0] = (t->length - t->tile) / 2;
        return;
    }
    for (int i = 0; i < t->count; ++i) {
        t->origin[i] = (int)((int64_t)i * (t->length - t->tile) / (t->count - 1));
    }
}

static bool inside(const struct clfcn_tiles *t, int at)
{
    return at >= 0 && at < t->length;
}

/* sum is scratch [length], zeroed. */
static void weigh(struct clfcn_tiles *t, int overlap, double *sum)
{
    for (int i = 0; i < t->count; ++i) {
        for (int k = 0; k < t->tile; ++k) {
            if (inside(t, t->origin[i] + k)) {
                sum[t->origin[i] + k] += window(k, t->tile, overlap);
            }
        }
    }
    for (int i = 0; i < t->count; ++i) {
        float *weight = t->weight + (size_t)i * (size_t)t->tile;
        for (int k = 0; k < t->tile; ++k) {
            const int at = t->origin[i] + k;
            weight[k] =
                inside(t, at) ? (float)(window(k, t->tile, overlap) / sum[at]) : 0.0f;
        }
    }
}

int clfcn_tiles_init(struct clfcn_tiles *t, int length, int tile, int overlap,
                     struct clfcn_err *err)
{
    const int step = tile - overlap;
    *t = (struct clfcn_tiles){ .length = length, .tile = tile, .count = 1 };
    if (length > tile) {
        t->count += (length - tile + step - 1) / step;
    }
    t->origin = malloc((size_t)t->count * sizeof(*t->origin));
    t->weight = malloc((size_t)t->count * (size_t)tile * sizeof(*t->weight));
    double *sum = calloc((size_t)length, sizeof(*sum));
    if (!t->origin || !t->weight || !sum) {
        free(sum);
        clfcn_tiles_finish(t);
        return clfcn_err_nomem(err);
    }
    place(t);
    weigh(t, overlap, sum);
    free(sum);
    return CLFCN_OK;
}

void clfcn_tiles_finish(struct clfcn_tiles *t)
{
    free(t->origin);
    free(t->weight);
    *t = (struct clfcn_tiles){ 0 };
}
