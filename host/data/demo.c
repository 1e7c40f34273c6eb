/* demo.c - the built-in synthetic set: textured shapes on textured ground.
 *
 * What a class is shows only in the shape. Things are more vivid than the ground on
 * average, so that a network finds them within an epoch or two and then has the shapes to
 * learn; lines, outlines and specks of the same materials belong to the ground, things
 * cover each other, light and grain vary. */
#include "dataset.h"
#include "texture.h"
#include "../util/file.h"
#include "../util/path.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum shape { SHAPE_DISC, SHAPE_SQUARE, SHAPE_TRIANGLE, SHAPE_RING, SHAPES };

static const char demo_classes[] = "background 0 #202830\n"
                                   "disc       1 #e6194b\n"
                                   "square     2 #3cb44b\n"
                                   "triangle   3 #ffe119\n"
                                   "ring       4 #4363d8\n";

enum { MAX_THINGS = 5 };

/* Something with a shape, at a place, of a material. */
struct thing {
    enum shape shape;
    double x, y, radius; /* pixels */
    double ux, uy;       /* direction */
    struct clfcn_texture texture;
};

struct scene {
    struct clfcn_rng rng;
    struct clfcn_lattice lattice;
    int width, height;
    double *color;   /* [height][width][3], 0..255 */
    uint8_t *labels; /* [height][width] */
    struct clfcn_texture ground;
    struct thing things[MAX_THINGS];
    int thing_count;
};

int clfcn_demo_classes(struct clfcn_classes *out, struct clfcn_err *err)
{
    return clfcn_classes_parse(demo_classes, "demo", out, err);
}

static double between(struct clfcn_rng *rng, double lo, double hi)
{
    return lo + (hi - lo) * clfcn_rng_double(rng);
}

/* Ground: two textures, one showing through the other in patches. */
static void draw_ground(struct scene *s)
{
    struct clfcn_texture second;
    clfcn_texture_init(&s->ground, &s->rng, false);
    clfcn_texture_init(&second, &s->rng, false);
    const double patch = between(&s->rng, 40.0, 80.0);
    for (int y = 0; y < s->height; ++y) {
        for (int x = 0; x < s->width; ++x) {
            double *to = s->color + 3 * ((size_t)y * (size_t)s->width + (size_t)x);
            double over[3];
            const double n = clfcn_lattice_noise(&s->lattice, x / patch, y / patch);
            const double t = 4.0 * (n - 0.6);
            const double share = t < 0.0 ? 0.0 : t > 0.7 ? 0.7 : t;
            clfcn_texture_at(&s->ground, &s->lattice, x, y, to);
            clfcn_texture_at(&second, &s->lattice, x, y, over);
            for (int c = 0; c < 3; ++c) {
                to[c] += share * (over[c] - to[c]);
            }
        }
    }
}

/* Distance in pixels from (x, y) to the shape's edge, about; negative inside. */
static double edge_distance(const struct thing *t, double x, double y)
{
    const double dx = x - t->x, dy = y - t->y;
    const double u = dx * t->ux + dy * t->uy, v = dy * t->ux - dx * t->uy;
    const double r = t->radius;
    switch (t->shape) {
    case SHAPE_SQUARE:
        return fmax(fabs(u), fabs(v)) - 0.85 * r;
    case SHAPE_TRIANGLE: /* equilateral, circumscribed radius 1.5 r */
        return fmax(-v, 0.8660254037844386 * fabs(u) + 0.5 * v) - 0.75 * r;
    case SHAPE_RING:
        return fabs(sqrt(u * u + v * v) - 0.75 * r) - 0.27 * r;
    default: /* SHAPE_DISC */
        return sqrt(u * u + v * v) - r;
    }
}

static void blend(struct scene *s, int x, int y, const double color[3], double share)
{
    double *to = s->color + 3 * ((size_t)y * (size_t)s->width + (size_t)x);
    for (int c = 0; c < 3; ++c) {
        to[c] += share * (color[c] - to[c]);
    }
}

/* Draw a thing, its edge a little uneven, darker towards one side. With label < 0 only a
 * thin outline of it, which is part of the ground. */
static void draw_thing(struct scene *s, const struct thing *t, int label)
{
    const double reach = 1.5 * t->radius + 3.0;
    const int x0 = (int)fmax(0.0, t->x - reach), x1 = (int)fmin(s->width, t->x + reach);
    const int y0 = (int)fmax(0.0, t->y - reach), y1 = (int)fmin(s->height, t->y + reach);
    for (int y = y0; y < y1; ++y) {
        for (int x = x0; x < x1; ++x) {
            const double rough = clfcn_lattice_noise(&s->lattice, x / 5.0, y / 5.0);
            double d = edge_distance(t, x, y) + 2.0 * (rough - 0.5);
            double color[3];
            if (label < 0) {
                d = fabs(d) - 1.3;
            }
            if (d >= 0.5) {
                continue;
            }
            clfcn_texture_at(&t->texture, &s->lattice, x, y, color);
            const double side = (t->uy * (x - t->x) + t->ux * (y - t->y)) / t->radius;
            for (int c = 0; c < 3; ++c) {
                color[c] *= 1.0 + 0.12 * side;
            }
            blend(s, x, y, color, d < -0.5 ? 1.0 : 0.5 - d);
            if (d < 0.0 && label >= 0) {
                s->labels[(size_t)y * (size_t)s->width + (size_t)x] = (uint8_t)label;
            }
        }
    }
}

/* A stroke across the picture: part of the ground, and of what lies on it where over is
 * set. */
static void draw_stroke(struct scene *s, bool over)
{
    struct clfcn_texture texture;
    double ux, uy;
    clfcn_texture_init(&texture, &s->rng, true);
    clfcn_random_direction(&s->rng, &ux, &uy);
    const double px = between(&s->rng, 0.0, s->width);
    const double py = between(&s->rng, 0.0, s->height);
    const double half = between(&s->rng, 0.8, over ? 1.6 : 3.0);
    const double length = between(&s->rng, 20.0, 90.0);
    for (int y = 0; y < s->height; ++y) {
        for (int x = 0; x < s->width; ++x) {
            const double along = (x - px) * ux + (y - py) * uy;
            const double bend = along * along / 400.0;
            const double across = fabs((y - py) * ux - (x - px) * uy + bend) - half;
            const double d = fmax(across, fabs(along) - length);
            double color[3];
            if (d >= 0.5) {
                continue;
            }
            clfcn_texture_at(&texture, &s->lattice, x, y, color);
            blend(s, x, y, color, d < -0.5 ? 1.0 : 0.5 - d);
        }
    }
}

/* Shape, place and material of the next thing. It stands out from the ground. */
static void choose_thing(struct scene *s, struct thing *t)
{
    double mean[3], ground[3], contrast;
    t->shape = clfcn_rng_below(&s->rng, SHAPES);
    t->radius = between(&s->rng, 20.0, 44.0);
    t->x = between(&s->rng, 0.06, 0.94) * s->width;
    t->y = between(&s->rng, 0.06, 0.94) * s->height;
    clfcn_random_direction(&s->rng, &t->ux, &t->uy);
    clfcn_texture_mean(&s->ground, ground);
    do {
        contrast = 0.0;
        clfcn_texture_init(&t->texture, &s->rng, true);
        clfcn_texture_mean(&t->texture, mean);
        for (int c = 0; c < 3; ++c) {
            contrast += (mean[c] - ground[c]) * (mean[c] - ground[c]);
        }
    } while (contrast < 95.0 * 95.0);
}

/* Whether it leaves enough of the others to be seen. */
static bool is_clear(const struct scene *s, const struct thing *t)
{
    for (int i = 0; i < s->thing_count; ++i) {
        const struct thing *o = &s->things[i];
        const double dx = t->x - o->x, dy = t->y - o->y;
        const double least = 0.8 * (t->radius + o->radius);
        if (dx * dx + dy * dy < least * least) {
            return false;
        }
    }
    return true;
}

static void draw_things(struct scene *s)
{
    const int wanted = 2 + (int)clfcn_rng_below(&s->rng, MAX_THINGS - 1);
    for (int tries = 0; tries < 40 && s->thing_count < wanted; ++tries) {
        struct thing *t = &s->things[s->thing_count];
        choose_thing(s, t);
        if (is_clear(s, t)) {
            ++s->thing_count;
            draw_thing(s, t, 1 + (int)t->shape);
        }
    }
}

static void draw_distractors(struct scene *s)
{
    const int strokes = 1 + (int)clfcn_rng_below(&s->rng, 4);
    const int specks = (int)clfcn_rng_below(&s->rng, 8);
    const int outlines = (int)clfcn_rng_below(&s->rng, 3);
    struct thing t;
    for (int i = 0; i < strokes; ++i) {
        draw_stroke(s, false);
    }
    for (int i = 0; i < outlines; ++i) {
        choose_thing(s, &t);
        draw_thing(s, &t, -1);
    }
    for (int i = 0; i < specks; ++i) {
        choose_thing(s, &t);
        t.shape = SHAPE_DISC;
        t.radius = between(&s->rng, 1.5, 4.0);
        draw_thing(s, &t, 0);
    }
}

/* Light from one side, grain, and eight bits. */
static void expose(struct scene *s, uint8_t *rgb)
{
    double ux, uy;
    clfcn_random_direction(&s->rng, &ux, &uy);
    const double slope = between(&s->rng, 0.0, 0.5) / s->width;
    const double light = between(&s->rng, 0.8, 1.15);
    const double grain = between(&s->rng, 4.0, 16.0);
    for (int y = 0; y < s->height; ++y) {
        for (int x = 0; x < s->width; ++x) {
            const size_t i = 3 * ((size_t)y * (size_t)s->width + (size_t)x);
            const double cx = x - 0.5 * s->width, cy = y - 0.5 * s->height;
            const double gain = light + slope * (cx * ux + cy * uy);
            for (size_t c = 0; c < 3; ++c) {
                const double n =
                    clfcn_rng_double(&s->rng) + clfcn_rng_double(&s->rng) - 1.0;
                const double v = gain * s->color[i + c] + grain * n;
                rgb[i + c] = (uint8_t)(v < 0.0 ? 0.0 : v > 254.5 ? 255.0 : v + 0.5);
            }
        }
    }
}

int clfcn_demo_draw(int i, struct clfcn_pair *out, struct clfcn_err *err)
{
    struct scene *s = calloc(1, sizeof *s);
    int rc = CLFCN_OK;
    *out = (struct clfcn_pair){ 0 };
    if (!s) {
        return clfcn_err_nomem(err);
    }
    clfcn_rng_init(&s->rng, 0, "demo", (uint64_t)i, 0);
    clfcn_lattice_init(&s->lattice, &s->rng);
    s->width = 168 + 8 * (int)clfcn_rng_below(&s->rng, 7);
    s->height = 136 + 8 * (int)clfcn_rng_below(&s->rng, 7);
    const size_t pixels = (size_t)s->width * (size_t)s->height;
    s->color = malloc(3 * pixels * sizeof *s->color);
    s->labels = calloc(pixels, 1);
    if (!s->color || !s->labels) {
        rc = clfcn_err_nomem(err);
        goto out;
    }
    rc = clfcn_image_alloc(&out->image, s->width, s->height, 3, 8, err);
    if (rc < 0) {
        goto out;
    }
    draw_ground(s);
    draw_distractors(s);
    draw_things(s);
    if (clfcn_rng_below(&s->rng, 3) == 0) {
        draw_stroke(s, true);
    }
    expose(s, out->image.px.u8);
    out->labels = s->labels;
    s->labels = NULL;
out:
    free(s->color);
    free(s->labels);
    free(s);
    return rc;
}

/* Write a picture as DIR/demo-NNNN.png; with a palette as indexed PNG. */
static int write_picture(const char *dir, int i, const struct clfcn_image *im,
                         const uint8_t (*palette)[3], int colors, struct clfcn_err *err)
{
    char name[32];
    snprintf(name, sizeof name, "demo-%04d.png", i);
    char *path = clfcn_path_join(dir, name);
    if (!path) {
        return clfcn_err_nomem(err);
    }
    const int rc = palette ? clfcn_png_write_indexed(path, im, palette, colors, err)
                           : clfcn_png_write(path, im, err);
    free(path);
    return rc;
}

static int write_item(const char *images, const char *masks, int i,
                      const struct clfcn_classes *classes, struct clfcn_err *err)
{
    uint8_t palette[CLFCN_MAX_CLASSES][3];
    struct clfcn_pair pair;
    int rc = clfcn_demo_draw(i, &pair, err);
    if (rc < 0) {
        return rc;
    }
    for (int c = 0; c < classes->count; ++c) {
        memcpy(palette[c], classes->list[c].color, 3);
    }
    const struct clfcn_image mask = { .width = pair.image.width,
                                      .height = pair.image.height,
                                      .channels = 1,
                                      .depth = 8,
                                      .px.u8 = pair.labels };
    rc = write_picture(images, i, &pair.image, NULL, 0, err);
    if (rc == CLFCN_OK) {
        rc = write_picture(masks, i, &mask, (const uint8_t (*)[3])palette, classes->count,
                           err);
    }
    clfcn_pair_free(&pair);
    return rc;
}

int clfcn_demo_write(const char *dir, int count, struct clfcn_err *err)
{
    struct clfcn_classes classes = { 0 };
    char *images = clfcn_path_join(dir, "images"), *masks = clfcn_path_join(dir, "masks");
    char *text_path = clfcn_path_join(dir, "classes.txt");
    int rc = images && masks && text_path ? clfcn_path_mkdir(images, 0777, err)
                                          : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = clfcn_path_mkdir(masks, 0777, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_file_write(text_path, demo_classes, sizeof demo_classes - 1, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_demo_classes(&classes, err);
    }
    for (int i = 0; i < count && rc == CLFCN_OK; ++i) {
        rc = write_item(images, masks, i, &classes, err);
    }
    clfcn_classes_free(&classes);
    free(images);
    free(masks);
    free(text_path);
    return rc;
}
