/* texture.h - procedural textures of the demo set.
 *
 * Only + - * / floor and sqrt on doubles, which IEEE 754 defines to the last bit: the
 * demo set is the same on every machine. */
#ifndef CLFCN_DATA_TEXTURE_H
#define CLFCN_DATA_TEXTURE_H

#include "../util/rng.h"
#include <stdbool.h>

enum { CLFCN_LATTICE = 64 };

/* A grid of random values, repeated over the plane, from which noise is interpolated. */
struct clfcn_lattice {
    float v[CLFCN_LATTICE][CLFCN_LATTICE]; /* in [0,1) */
};
void clfcn_lattice_init(struct clfcn_lattice *lattice, struct clfcn_rng *rng);
/* Smooth noise in [0,1) with features of about one unit. */
double clfcn_lattice_noise(const struct clfcn_lattice *lattice, double x, double y);

/* An unbounded two-coloured surface. Plain data. */
struct clfcn_texture {
    enum {
        TEXTURE_CLOUDS,
        TEXTURE_STRIPES,
        TEXTURE_CHECKS,
        TEXTURE_DOTS,
        TEXTURE_KINDS
    } kind;
    double period;         /* pixels */
    double ux, uy;         /* unit vector: its direction */
    double shift_x, shift_y;
    double a[3], b[3];     /* its colours, 0..255 */
};

/* A unit vector of random direction. */
void clfcn_random_direction(struct clfcn_rng *rng, double *ux, double *uy);
/* Random kind, period, direction and two colours around one, which is vivid or dull. */
void clfcn_texture_init(struct clfcn_texture *t, struct clfcn_rng *rng, bool vivid);
/* The mean of its colours. */
void clfcn_texture_mean(const struct clfcn_texture *t, double mean[3]);
void clfcn_texture_at(const struct clfcn_texture *t, const struct clfcn_lattice *lattice,
                      double x, double y, double color[3]);

#endif
