/* picture.c - one picture on its way through the network.
 *
 * Views are numbered by tiles, from left to right, then down, and each tile is followed
 * by its mirror image where that is asked for. */
#include "picture.h"
#include "../data/resize.h"
#include "../data/window.h"
#include "probs.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t plane_of(const struct clfcn_picture *p)
{
    return (size_t)p->how->net.width * (size_t)p->how->net.height;
}

static int flips(const struct clfcn_picture *p)
{
    return p->how->flip ? 2 : 1;
}

/* Which tile a view shows, counting from 0, and whether mirrored. */
static int64_t tile_of(const struct clfcn_picture *p, int64_t view, bool *mirrored)
{
    *mirrored = view % flips(p) == 1;
    return view / flips(p);
}

static int check(const struct clfcn_predict_how *how, const struct clfcn_image *im,
                 const struct clfcn_predict_job *job, struct clfcn_err *err)
{
    if (im->width < 1 || im->height < 1 || im->width > CLFCN_IMAGE_MAX_SIDE ||
        im->height > CLFCN_IMAGE_MAX_SIDE ||
        (int64_t)im->width * im->height > CLFCN_IMAGE_MAX_PIXELS) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "a picture of %dx%d pixels: sides must be 1 to %d, and no "
                             "more than %lld pixels in all",
                             im->width, im->height, CLFCN_IMAGE_MAX_SIDE,
                             (long long)CLFCN_IMAGE_MAX_PIXELS);
    }
    if (!im->px.u8 || !job->labels) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "a picture without pixels or without room for its labels");
    }
    if (job->logits && how->mode != CLFCN_PREDICT_RESIZE) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "tiles have no logits of the whole picture");
    }
    return CLFCN_OK;
}

static int scaled(int side, double scale)
{
    const double to = floor(side * scale + 0.5);
    return to < 1 ? 1 : to < INT32_MAX ? (int)to : INT32_MAX;
}

/* Room for what the picture's views are gathered in. */
static int prepare_gathering(struct clfcn_picture *p, struct clfcn_err *err)
{
    const struct clfcn_predict_how *how = p->how;
    struct clfcn_blend_desc d = {
        .classes = how->net.classes,
        .tile_width = how->net.width,
        .tile_height = how->net.height,
        .overlap_x = how->overlap_x,
        .overlap_y = how->overlap_y,
        .cut_width = scaled(p->image.width, how->scale),
        .cut_height = scaled(p->image.height, how->scale),
        .width = p->image.width,
        .height = p->image.height,
    };
    p->whole = how->mode == CLFCN_PREDICT_RESIZE ||
               (d.cut_width == d.tile_width && d.cut_height == d.tile_height);
    if (p->whole) {
        p->views = flips(p);
        p->kept =
            how->flip ? malloc((size_t)d.classes * plane_of(p) * sizeof(*p->kept)) : NULL;
        return how->flip && !p->kept ? clfcn_err_nomem(err) : CLFCN_OK;
    }
    if (d.cut_width > CLFCN_IMAGE_MAX_SIDE || d.cut_height > CLFCN_IMAGE_MAX_SIDE) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "%dx%d pixels scaled by %g are more than %d a side", d.width,
                             d.height, how->scale, CLFCN_IMAGE_MAX_SIDE);
    }
    int rc = clfcn_blend_init(&p->blend, &d, err);
    p->views = (int64_t)p->blend.x.count * p->blend.y.count * flips(p);
    if (rc == CLFCN_OK && how->resize == CLFCN_RESIZE_AREA && how->scale < 1) {
        rc = clfcn_resize_image(&p->image, how->resize, d.cut_width, d.cut_height,
                                &p->shrunk, err);
    }
    return rc;
}

int clfcn_picture_init(struct clfcn_picture *p, const struct clfcn_predict_how *how,
                       const struct clfcn_image *image,
                       const struct clfcn_predict_job *job, struct clfcn_err *err)
{
    *p = (struct clfcn_picture){ .how = how, .job = *job, .image = *image };
    int rc = check(how, image, job, err);
    if (rc == CLFCN_OK) {
        rc = prepare_gathering(p, err);
    }
    if (rc < 0) {
        clfcn_picture_finish(p);
    }
    return rc;
}

void clfcn_picture_finish(struct clfcn_picture *p)
{
    clfcn_blend_finish(&p->blend);
    clfcn_image_free(&p->shrunk);
    free(p->kept);
    free(p->own);
    *p = (struct clfcn_picture){ 0 };
}

static void mirror_rows(float *plane, int width, int height)
{
    for (int y = 0; y < height; ++y) {
        float *a = plane + (size_t)y * (size_t)width, *b = a + width - 1;
        for (; a < b; ++a, --b) {
            const float swapped = *a;
            *a = *b;
            *b = swapped;
        }
    }
}

void clfcn_picture_sample(const struct clfcn_picture *p, int64_t view, float *input,
                          size_t plane_stride)
{
    const struct clfcn_net_desc *net = &p->how->net;
    bool mirrored;
    const int64_t tile = tile_of(p, view, &mirrored);
    if (p->whole) {
        clfcn_resize_to_input_as(&p->image, p->how->resize, net->width, net->height,
                                 input, plane_stride);
    } else {
        const struct clfcn_tiles *x = &p->blend.x, *y = &p->blend.y;
        const struct clfcn_window window = {
            .picture_width = x->length,
            .picture_height = y->length,
            .x = x->origin[tile % x->count],
            .y = y->origin[tile / x->count],
            .width = net->width,
            .height = net->height,
        };
        clfcn_window_to_input(p->shrunk.px.u8 ? &p->shrunk : &p->image, &window, input,
                              plane_stride);
    }
    for (int c = 0; mirrored && c < 3; ++c) {
        mirror_rows(input + (size_t)c * plane_stride, net->width, net->height);
    }
}

void clfcn_picture_prepare(const struct clfcn_picture *p, float *result,
                           size_t plane_stride)
{
    if (!p->whole) {
        clfcn_probs_from_logits(p->how->loss, result, p->how->net.classes, plane_stride,
                                plane_of(p));
    }
}

/* Take row y of the probabilities to where they are wanted. */
static int take_row(void *user, int y, const float *probs, struct clfcn_err *err)
{
    struct clfcn_picture *p = user;
    const struct clfcn_predict_job *job = &p->job;
    const size_t width = (size_t)p->image.width, row = (size_t)y * width;
    const int classes = p->how->net.classes;
    if (!p->labelled) {
        clfcn_probs_argmax(probs, classes, width, width, job->labels + row);
    }
    for (int c = 0; job->probs && c < classes; ++c) {
        const size_t plane = (size_t)c * width * (size_t)p->image.height;
        memcpy(job->probs + plane + row, probs + (size_t)c * width,
               width * sizeof(*probs));
    }
    return job->row ? job->row(job->user, y, probs, err) : CLFCN_OK;
}

/* Logits of one view of the whole picture. */
struct whole {
    const float *logits; /* [classes][net height][net width] */
    size_t plane_stride;
    const struct tap *taps; /* [width] */
};

/* One row of the picture's probabilities as a view has them, [classes][width]. */
static void whole_row(const struct clfcn_picture *p, const struct whole *v, struct tap y,
                      float *out)
{
    const size_t from = (size_t)p->how->net.width, width = (size_t)p->image.width;
    const int classes = p->how->net.classes;
    for (int c = 0; c < classes; ++c) {
        const float *plane = v->logits + (size_t)c * v->plane_stride;
        const float *r0 = plane + (size_t)y.i0 * from, *r1 = plane + (size_t)y.i1 * from;
        float *to = out + (size_t)c * width;
        for (size_t x = 0; x < width; ++x) {
            const struct tap *t = &v->taps[x];
            to[x] = mix(t, &y, r0[t->i0], r0[t->i1], r1[t->i0], r1[t->i1]);
        }
    }
    clfcn_probs_from_logits(p->how->loss, out, classes, width, width);
}

/* All rows as the mean over the views; row and other are scratch, [classes][width]. */
static int whole_rows(struct clfcn_picture *p, const struct whole *views, int count,
                      float *row, float *other, struct clfcn_err *err)
{
    const int from = p->how->net.height, height = p->image.height;
    const size_t n = (size_t)p->how->net.classes * (size_t)p->image.width;
    for (int y = 0; y < height; ++y) {
        const struct tap t = tap_at(y, from, (float)from / (float)height);
        whole_row(p, &views[0], t, row);
        if (count > 1) {
            whole_row(p, &views[1], t, other);
            for (size_t i = 0; i < n; ++i) {
                row[i] = 0.5f * (row[i] + other[i]);
            }
        }
        const int rc = take_row(p, y, row, err);
        if (rc < 0) {
            return rc;
        }
    }
    return CLFCN_OK;
}

/* Where the columns of the picture lie in the network's output, and in its mirror image.
 */
static void whole_taps(const struct clfcn_picture *p, struct tap *straight,
                       struct tap *mirrored)
{
    const int from = p->how->net.width, width = p->image.width;
    for (int x = 0; x < width; ++x) {
        const struct tap t = tap_at(x, from, (float)from / (float)width);
        straight[x] = t;
        mirrored[x] = (struct tap){ from - 1 - t.i0, from - 1 - t.i1, t.w0, t.w1 };
    }
}

/* logits are those of the last view. */
static int finish_whole(struct clfcn_picture *p, const float *logits, size_t plane_stride,
                        struct clfcn_err *err)
{
    const struct clfcn_net_desc *net = &p->how->net;
    const size_t width = (size_t)p->image.width, n = (size_t)net->classes * width;
    if (!p->how->flip) {
        clfcn_resize_argmax(logits, net->classes, plane_stride, net->width, net->height,
                            p->job.labels, p->image.width, p->image.height);
        p->labelled = true;
        if (!p->job.probs && !p->job.row) {
            return CLFCN_OK;
        }
    }
    struct tap *taps = malloc(2 * width * sizeof(*taps));
    float *rows = malloc(2 * n * sizeof(*rows));
    int rc = CLFCN_OK;
    if (!taps || !rows) {
        rc = clfcn_err_nomem(err);
    } else {
        const struct whole last = { logits, plane_stride, taps };
        const struct whole both[] = { { p->kept, plane_of(p), taps },
                                      { logits, plane_stride, taps + width } };
        whole_taps(p, taps, taps + width);
        rc = whole_rows(p, p->how->flip ? both : &last, flips(p), rows, rows + n, err);
    }
    free(taps);
    free(rows);
    return rc;
}

static void copy_planes(const struct clfcn_picture *p, const float *from,
                        size_t plane_stride, float *to)
{
    for (int c = 0; c < p->how->net.classes; ++c) {
        memcpy(to + (size_t)c * plane_of(p), from + (size_t)c * plane_stride,
               plane_of(p) * sizeof(*to));
    }
}

static int add_whole(struct clfcn_picture *p, int64_t view, const float *logits,
                     size_t plane_stride, struct clfcn_err *err)
{
    if (view == 0 && p->job.logits) {
        copy_planes(p, logits, plane_stride, p->job.logits);
    }
    if (view + 1 < p->views) {
        copy_planes(p, logits, plane_stride, p->kept);
        return CLFCN_OK;
    }
    return finish_whole(p, logits, plane_stride, err);
}

static int add_tile(struct clfcn_picture *p, int64_t view, const float *probs,
                    size_t plane_stride, struct clfcn_err *err)
{
    bool mirrored;
    const int64_t tile = tile_of(p, view, &mirrored);
    const int columns = p->blend.x.count;
    const int i = (int)(tile % columns), j = (int)(tile / columns);
    clfcn_blend_add(&p->blend, i, j, probs, plane_stride, 1.0f / (float)flips(p),
                    mirrored);
    return (view + 1) % ((int64_t)columns * flips(p)) == 0
               ? clfcn_blend_take(&p->blend, j, take_row, p, err)
               : CLFCN_OK;
}

void clfcn_picture_add(struct clfcn_picture *p, int64_t view, const float *result,
                       size_t plane_stride)
{
    if (p->rc == CLFCN_OK) {
        p->rc = p->whole ? add_whole(p, view, result, plane_stride, &p->err)
                         : add_tile(p, view, result, plane_stride, &p->err);
    }
    ++p->done;
}
