/* texture.c - procedural textures of the demo set. */
#include "texture.h"
#include <math.h>

void clfcn_lattice_init(struct clfcn_lattice *lattice, struct clfcn_rng *rng)
{
    for (int y = 0; y < CLFCN_LATTICE; ++y) {
        for (int x = 0; x < CLFCN_LATTICE; ++x) {
            lattice->v[y][x] = (float)(clfcn_rng_u64(rng) >> 40) / (float)(1 << 24);
        }
    }
}

static double smooth(double t)
{
    return t * t * (3.0 - 2.0 * t);
}

double clfcn_lattice_noise(const struct clfcn_lattice *lattice, double x, double y)
{
    const double fx = floor(x), fy = floor(y);
    const unsigned mask = CLFCN_LATTICE - 1;
    const unsigned x0 = (unsigned)(int)fx & mask, x1 = (x0 + 1) & mask;
    const unsigned y0 = (unsigned)(int)fy & mask, y1 = (y0 + 1) & mask;
    const double tx = smooth(x - fx), ty = smooth(y - fy);
    const double top = lattice->v[y0][x0] * (1.0 - tx) + lattice->v[y0][x1] * tx;
    const double bottom = lattice->v[y1][x0] * (1.0 - tx) + lattice->v[y1][x1] * tx;
    return top * (1.0 - ty) + bottom * ty;
}

void clfcn_random_direction(struct clfcn_rng *rng, double *ux, double *uy)
{
    double x, y, square;
    do { /* a point of the unit disc */
        x = 2.0 * clfcn_rng_double(rng) - 1.0;
        y = 2.0 * clfcn_rng_double(rng) - 1.0;
        square = x * x + y * y;
    } while (square > 1.0 || square < 0.01);
    const double length = sqrt(square);
    *ux = x / length;
    *uy = y / length;
}

void clfcn_texture_init(struct clfcn_texture *t, struct clfcn_rng *rng, bool vivid)
{
    const double gray = 70.0 + 110.0 * clfcn_rng_double(rng);
    t->kind = clfcn_rng_below(rng, TEXTURE_KINDS);
    t->period = 5.0 + 13.0 * clfcn_rng_double(rng);
    clfcn_random_direction(rng, &t->ux, &t->uy);
    t->shift_x = 64.0 * clfcn_rng_double(rng);
    t->shift_y = 64.0 * clfcn_rng_double(rng);
    for (int c = 0; c < 3; ++c) {
        const double u = 2.0 * clfcn_rng_double(rng) - 1.0;
        const double spread = 12.0 + 28.0 * clfcn_rng_double(rng);
        const double middle = vivid ? 128.0 + 88.0 * u : gray + 24.0 * u;
        const double sign = vivid && clfcn_rng_below(rng, 4) == 0 ? -1.0 : 1.0;
        t->a[c] = middle + sign * spread;
        t->b[c] = middle - sign * spread;
    }
}

void clfcn_texture_mean(const struct clfcn_texture *t, double mean[3])
{
    for (int c = 0; c < 3; ++c) {
        mean[c] = 0.5 * (t->a[c] + t->b[c]);
    }
}

/* A wave of period 1 between 0 and 1, straight flanks of width 1/sharpness. */
static double wave(double t, double sharpness)
{
    const double triangle = fabs(2.0 * (t - floor(t)) - 1.0);
    const double v = 0.5 + sharpness * (triangle - 0.5);
    return v < 0.0 ? 0.0 : v > 1.0 ? 1.0 : v;
}

void clfcn_texture_at(const struct clfcn_texture *t, const struct clfcn_lattice *lattice,
                      double x, double y, double color[3])
{
    const double u = (x * t->ux + y * t->uy) / t->period + t->shift_x;
    const double v = (y * t->ux - x * t->uy) / t->period + t->shift_y;
    const double rough = clfcn_lattice_noise(lattice, 2.0 * u + 17.0, 2.0 * v + 5.0);
    const double warp = 0.6 * clfcn_lattice_noise(lattice, 0.5 * u, 0.5 * v);
    double mix;
    switch (t->kind) {
    case TEXTURE_STRIPES:
        mix = wave(u + warp, 3.0);
        break;
    case TEXTURE_CHECKS: {
        const double p = wave(0.5 * (u + warp), 4.0), q = wave(0.5 * (v + warp), 4.0);
        mix = p * (1.0 - q) + q * (1.0 - p);
        break;
    }
    case TEXTURE_DOTS: {
        const double p = 2.0 * (u - floor(u)) - 1.0, q = 2.0 * (v - floor(v)) - 1.0;
        const double d = 3.0 * (0.75 - sqrt(p * p + q * q)) + 0.5;
        mix = d < 0.0 ? 0.0 : d > 1.0 ? 1.0 : d;
        break;
    }
    default: /* TEXTURE_CLOUDS */
        mix = 1.6 * clfcn_lattice_noise(lattice, u, v) - 0.3;
        break;
    }
    mix = 0.75 * mix + 0.25 * rough;
    for (int c = 0; c < 3; ++c) {
        color[c] = t->b[c] + mix * (t->a[c] - t->b[c]);
    }
}
