/* augment.h - what happens to one picture in one epoch. */
#ifndef CLFCN_DATA_AUGMENT_H
#define CLFCN_DATA_AUGMENT_H

#include <clfcn/data.h>

enum { CLFCN_BRIGHTNESS, CLFCN_CONTRAST, CLFCN_SATURATION, CLFCN_COLOR_CHANGES };

/* One outcome. */
struct clfcn_draw {
    bool flip, vflip;
    double zoom;      /* of the picture as resized to the network's size; 1: no change */
    double left, top; /* 0 .. 1: where the network's window lies in the room it has */
    double degrees;   /* counter-clockwise, before it is mirrored */
    double factor[CLFCN_COLOR_CHANGES]; /* 1: no change */
    int order[CLFCN_COLOR_CHANGES];     /* in which these are applied */
};

/* A function of (seed, epoch, item) and, in each of its parts, of that part of the
 * augmentation alone: another one beside it changes nothing. */
struct clfcn_draw clfcn_augment_draw(const struct clfcn_augment *augment, uint64_t seed,
                                     int epoch, int item);

/* Whether it moves pixels other than by mirroring the picture. */
bool clfcn_augment_warps(const struct clfcn_augment *augment);

/* The largest zoom that it can draw, at least 1. */
double clfcn_augment_max_zoom(const struct clfcn_augment *augment);

/* CLFCN_EINVAL where it is not what clfcn_augment_parse() can return. */
int clfcn_augment_check(const struct clfcn_augment *augment, struct clfcn_err *err);

#endif
