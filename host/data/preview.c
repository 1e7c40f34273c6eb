/* preview.c - what training will make of pictures, to look at before. */
#include "preview.h"
#include "glyphs.h"
#include "resize.h"
#include "sample.h"
#include "thumb.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EPOCHS = 6,
    BOX = 160, /* width, and largest height, that a picture is fitted into */
    GAP = 8,
    CAPTION = 14, /* height of the line below a row */
    TOP = 44,
    WIDTH = (1 + EPOCHS) * (BOX + GAP) + GAP,
    UNCHANGED = -1, /* in place of an epoch */
};

static const uint8_t ink[3] = { 32, 32, 32 }, pale[3] = { 110, 110, 110 };

/* One picture as the network gets it, and as people see it. */
struct view {
    struct clfcn_loader_desc plain, augmented;
    struct clfcn_batch batch; /* of one */
    int item;
    int box_height;
    struct clfcn_pair pair;
};

static int view_init(struct view *v, const struct clfcn_loader_desc *desc,
                     struct clfcn_err *err)
{
    const size_t plane = (size_t)desc->width * (size_t)desc->height;
    *v = (struct view){ .plain = *desc, .box_height = BOX };
    if (desc->height < desc->width) {
        v->box_height = (int)((int64_t)BOX * desc->height / desc->width) + 1;
    }
    v->plain.batch = 1;
    v->augmented = v->plain;
    v->plain.augment = (struct clfcn_augment){ 0 };
    v->batch.images = malloc(3 * plane * sizeof *v->batch.images);
    v->batch.labels = v->pair.labels = malloc(plane);
    v->batch.items = &v->item;
    v->batch.count = 1;
    if (!v->batch.images || !v->batch.labels) {
        return clfcn_err_nomem(err);
    }
    return clfcn_image_alloc(&v->pair.image, desc->width, desc->height, 3, 8, err);
}

static void view_finish(struct view *v)
{
    free(v->batch.images);
    clfcn_pair_free(&v->pair); /* with the labels */
}

/* The network's input as a picture again. */
static void develop(struct view *v)
{
    const size_t plane = (size_t)v->plain.width * (size_t)v->plain.height;
    for (size_t c = 0; c < 3; ++c) {
        for (size_t i = 0; i < plane; ++i) {
            const float x = v->batch.images[c * plane + i] * clfcn_imagenet_std[c] +
                            clfcn_imagenet_mean[c];
            const float level = x < 0 ? 0 : x > 1 ? 255 : 255 * x;
            v->pair.image.px.u8[3 * i + c] = (uint8_t)(level + 0.5f);
        }
    }
}

static int draw_view(struct clfcn_image *sheet, struct view *v,
                     const struct clfcn_sample *from, int epoch, int top,
                     struct clfcn_err *err)
{
    const struct clfcn_loader_desc *desc = epoch == UNCHANGED ? &v->plain : &v->augmented;
    struct clfcn_thumb t;
    v->batch.epoch = epoch == UNCHANGED ? 0 : epoch;
    clfcn_sample_place(desc, from, &v->batch, 0);
    develop(v);
    const int rc = clfcn_thumb_init(&v->pair, BOX, v->box_height, &t, err);
    if (rc == CLFCN_OK) {
        const int left = GAP + (epoch - UNCHANGED) * (BOX + GAP) + (BOX - t.width) / 2;
        clfcn_thumb_draw(sheet, &t, NULL, left, top);
        clfcn_thumb_draw(sheet, &t, clfcn_dataset_get_classes(desc->set), left,
                         top + v->box_height + 2);
        clfcn_thumb_finish(&t);
    }
    return rc;
}

static int draw_row(struct clfcn_image *sheet, struct view *v, int item, int top,
                    struct clfcn_err *err)
{
    struct clfcn_sample sample;
    v->item = item;
    int rc = clfcn_sample_read(&v->plain, item, &sample, err);
    if (rc == CLFCN_OK) {
        rc = draw_view(sheet, v, &sample, UNCHANGED, top, err);
        clfcn_sample_free(&sample);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_sample_read(&v->augmented, item, &sample, err);
    }
    if (rc < 0) {
        return rc;
    }
    for (int epoch = 0; epoch < EPOCHS && rc == CLFCN_OK; ++epoch) {
        rc = draw_view(sheet, v, &sample, epoch, top, err);
    }
    clfcn_sample_free(&sample);
    clfcn_text_draw(sheet, GAP, top + 2 * v->box_height + 6, 1, WIDTH - 2 * GAP, pale,
                    clfcn_dataset_item_name(v->plain.set, item));
    return rc;
}

static void draw_title(struct clfcn_image *sheet, const struct clfcn_loader_desc *desc)
{
    char list[CLFCN_AUGMENT_TEXT], text[CLFCN_AUGMENT_TEXT + 80];
    snprintf(text, sizeof text, "%s, %dx%d %s, seed %llu",
             clfcn_augment_text(&desc->augment, list), desc->width, desc->height,
             clfcn_resize_name(desc->resize), (unsigned long long)desc->seed);
    clfcn_text_draw(sheet, GAP, GAP, 1, WIDTH - 2 * GAP, ink, text);
    clfcn_text_draw(sheet, GAP, TOP - 14, 1, BOX, pale, "unchanged");
    for (int epoch = 0; epoch < EPOCHS; ++epoch) {
        snprintf(text, sizeof text, "epoch %d", epoch + 1);
        clfcn_text_draw(sheet, GAP + (1 + epoch) * (BOX + GAP), TOP - 14, 1, BOX, pale,
                        text);
    }
}

int clfcn_preview_draw(const struct clfcn_loader_desc *desc, int pictures,
                       const char *path, int *drawn, struct clfcn_err *err)
{
    const int all = clfcn_dataset_size(desc->set),
              shown = pictures < all ? pictures : all;
    struct clfcn_image sheet = { 0 };
    struct view view;
    int rc = view_init(&view, desc, err);
    const int row = 2 * view.box_height + 2 + CAPTION + GAP;
    if (rc == CLFCN_OK) {
        rc = clfcn_image_alloc(&sheet, WIDTH, TOP + shown * row, 3, 8, err);
    }
    if (rc == CLFCN_OK) {
        memset(sheet.px.u8, 250, 3 * (size_t)sheet.width * (size_t)sheet.height);
        draw_title(&sheet, desc);
    }
    for (int i = 0; i < shown && rc == CLFCN_OK; ++i) {
        rc = draw_row(&sheet, &view, (int)((int64_t)i * all / shown), TOP + i * row, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_png_write(path, &sheet, err);
    }
    clfcn_image_free(&sheet);
    view_finish(&view);
    *drawn = shown;
    return rc;
}
