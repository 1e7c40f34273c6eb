/* sheet.c - a contact sheet: pictures of a data set with their masks, to look at. */
#include "glyphs.h"
#include "resize.h"
#include "survey.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    COLUMNS = 3,
    PICTURES = 24, /* at most */
    BOX_WIDTH = 208,
    BOX_HEIGHT = 156, /* that a picture is fitted into */
    GAP = 12,
    CAPTION = 18, /* height of the line below a picture */
    CELL_WIDTH = 2 * BOX_WIDTH + 2,
    CELL_HEIGHT = BOX_HEIGHT + CAPTION,
    WIDTH = COLUMNS * (CELL_WIDTH + GAP) + GAP,
    TITLE = 40,
    LEGEND_ROW = 22,
    LEGEND_COLUMNS = 4,
    LEGEND_WIDTH = (WIDTH - 2 * GAP) / LEGEND_COLUMNS,
    SWATCH = 16,
};

static const uint8_t ink[3] = { 32, 32, 32 }, pale[3] = { 110, 110, 110 };

/* A picture at the size of its place on the sheet. */
struct thumb {
    int width, height;
    uint8_t *labels; /* [height][width] */
    const struct clfcn_image *from;
};

static uint8_t *pixel(struct clfcn_image *im, int x, int y)
{
    return im->px.u8 + 3 * ((size_t)y * (size_t)im->width + (size_t)x);
}

static void fill(struct clfcn_image *im, int x, int y, int width, int height,
                 const uint8_t color[3])
{
    for (int j = y; j < y + height; ++j) {
        for (int i = x; i < x + width; ++i) {
            memcpy(pixel(im, i, j), color, 3);
        }
    }
}

/* The mean of the picture's pixels that fall on pixel (x, y) of the thumb. */
static void shrink(const struct thumb *t, int x, int y, uint8_t out[3])
{
    const struct clfcn_image *im = t->from;
    const int x0 = (int)((int64_t)x * im->width / t->width);
    const int y0 = (int)((int64_t)y * im->height / t->height);
    int x1 = (int)((int64_t)(x + 1) * im->width / t->width);
    int y1 = (int)((int64_t)(y + 1) * im->height / t->height);
    uint64_t sum[3] = { 0 };
    x1 = x1 > x0 ? x1 : x0 + 1;
    y1 = y1 > y0 ? y1 : y0 + 1;
    for (int j = y0; j < y1; ++j) {
        for (int i = x0; i < x1; ++i) {
            const size_t at = 3 * ((size_t)j * (size_t)im->width + (size_t)i);
            for (size_t c = 0; c < 3; ++c) {
                sum[c] += im->depth == 16 ? im->px.u16[at + c] >> 8u
                                          : (unsigned)im->px.u8[at + c];
            }
        }
    }
    for (int c = 0; c < 3; ++c) {
        out[c] = (uint8_t)(sum[c] / (uint64_t)((x1 - x0) * (y1 - y0)));
    }
}

/* Whether a pixel's right or lower neighbour has another label. */
static bool at_edge(const struct thumb *t, int x, int y)
{
    const uint8_t *label = t->labels + (size_t)y * (size_t)t->width + (size_t)x;
    return (x + 1 < t->width && label[1] != *label) ||
           (y + 1 < t->height && label[t->width] != *label);
}

/* Lay the class's colour half transparent over a pixel, whole at the classes' borders;
 * what is ignored is striped. */
static void tint(const struct clfcn_classes *classes, const struct thumb *t, int x, int y,
                 uint8_t rgb[3])
{
    const int label = t->labels[(size_t)y * (size_t)t->width + (size_t)x];
    uint8_t stripe[3];
    memset(stripe, (x + y) % 8 < 4 ? 255 : 0, 3);
    const uint8_t *over = label == CLFCN_IGNORE ? stripe : classes->list[label].color;
    const int part = at_edge(t, x, y) ? 4 : 2;
    for (int c = 0; c < 3; ++c) {
        rgb[c] = (uint8_t)((rgb[c] * (4 - part) + over[c] * part) / 4);
    }
}

static void draw_thumb(struct clfcn_image *sheet, const struct clfcn_classes *classes,
                       const struct thumb *t, int left, int top)
{
    top += (BOX_HEIGHT - t->height) / 2;
    for (int y = 0; y < t->height; ++y) {
        for (int x = 0; x < t->width; ++x) {
            uint8_t rgb[3];
            shrink(t, x, y, rgb);
            memcpy(pixel(sheet, left + x, top + y), rgb, 3);
            tint(classes, t, x, y, rgb);
            memcpy(pixel(sheet, left + x + t->width + 2, top + y), rgb, 3);
        }
    }
}

/* Sample the pair at the largest size that fits the box. */
static int make_thumb(const struct clfcn_pair *pair, struct thumb *t,
                      struct clfcn_err *err)
{
    const int64_t w = pair->image.width, h = pair->image.height;
    const bool wide = w * BOX_HEIGHT > h * BOX_WIDTH;
    t->from = &pair->image;
    t->width = wide ? BOX_WIDTH : (int)(w * BOX_HEIGHT / h);
    t->height = wide ? (int)(h * BOX_WIDTH / w) : BOX_HEIGHT;
    t->width = t->width > 0 ? t->width : 1;
    t->height = t->height > 0 ? t->height : 1;
    t->labels = malloc((size_t)t->width * (size_t)t->height);
    if (!t->labels) {
        return clfcn_err_nomem(err);
    }
    clfcn_resize_labels(pair->labels, pair->image.width, pair->image.height, t->labels,
                        t->width, t->height);
    return CLFCN_OK;
}

static int draw_item(struct clfcn_image *sheet, const struct clfcn_survey *s, int item,
                     int left, int top, struct clfcn_err *err)
{
    static const char *const parts[] = { "", " train", " val" };
    struct clfcn_unknown unknown = { 0 };
    struct clfcn_pair pair;
    struct thumb t = { 0 };
    char caption[160];
    int rc = clfcn_dataset_survey(s->set, item, &pair, &unknown, err);
    if (rc == CLFCN_OK) {
        rc = make_thumb(&pair, &t, err);
    }
    if (rc == CLFCN_OK) {
        draw_thumb(sheet, clfcn_dataset_get_classes(s->set), &t, left, top);
        snprintf(caption, sizeof caption, "%.100s  %dx%d%s",
                 clfcn_dataset_item_name(s->set, item), pair.image.width,
                 pair.image.height, parts[clfcn_dataset_part(s->set, item)]);
        clfcn_text_draw(sheet, left, top + BOX_HEIGHT + 4, 1, CELL_WIDTH, pale, caption);
    }
    free(t.labels);
    clfcn_pair_free(&pair);
    return rc;
}

static void draw_key(struct clfcn_image *sheet, int at, const uint8_t color[3],
                     const char *name, double share)
{
    const int x = GAP + at % LEGEND_COLUMNS * LEGEND_WIDTH;
    const int y = TITLE + at / LEGEND_COLUMNS * LEGEND_ROW;
    char text[96];
    fill(sheet, x, y, SWATCH, SWATCH, pale);
    fill(sheet, x + 1, y + 1, SWATCH - 2, SWATCH - 2, color);
    snprintf(text, sizeof text, "%4.1f%% %s", 100 * share, name);
    clfcn_text_draw(sheet, x + SWATCH + 6, y + 1, 2, LEGEND_WIDTH - SWATCH - GAP, ink,
                    text);
}

static void draw_legend(struct clfcn_image *sheet, const struct clfcn_survey *s)
{
    const struct clfcn_classes *k = clfcn_dataset_get_classes(s->set);
    const uint8_t ignored[3] = { 192, 192, 192 };
    char title[128];
    double all = (double)s->unknown.pixels;
    for (int c = 0; c <= s->classes; ++c) {
        all += (double)s->pixels[c];
    }
    all = all > 0 ? all : 1;
    snprintf(title, sizeof title, "%s: %d pictures, %d classes",
             clfcn_dataset_format(s->set), s->count, s->classes);
    clfcn_text_draw(sheet, GAP, GAP, 2, WIDTH - 2 * GAP, ink, title);
    for (int c = 0; c < s->classes; ++c) {
        draw_key(sheet, c, k->list[c].color, k->list[c].name, (double)s->pixels[c] / all);
    }
    const double uncounted = (double)s->pixels[s->classes] + (double)s->unknown.pixels;
    if (uncounted > 0) {
        draw_key(sheet, s->classes, ignored, "(ignored)", uncounted / all);
    }
}

static int draw_items(struct clfcn_image *sheet, const struct clfcn_survey *s, int shown,
                      int top, struct clfcn_err *err)
{
    int sound = 0, drawn = 0, rc = CLFCN_OK;
    for (int i = 0; i < s->count && drawn < shown && rc == CLFCN_OK; ++i) {
        if (s->items[i].rc < 0) {
            continue;
        }
        /* the next of `shown` places that divide the sound ones evenly */
        if ((int64_t)sound++ * shown >= (int64_t)drawn * s->sound) {
            rc = draw_item(sheet, s, i, GAP + drawn % COLUMNS * (CELL_WIDTH + GAP),
                           top + drawn / COLUMNS * (CELL_HEIGHT + GAP), err);
            ++drawn;
        }
    }
    return rc;
}

int clfcn_survey_draw(const struct clfcn_survey *s, const char *path,
                      struct clfcn_err *err)
{
    const int shown = s->sound < PICTURES ? s->sound : PICTURES;
    const int rows = (shown + COLUMNS - 1) / COLUMNS;
    const int keys = (s->classes + LEGEND_COLUMNS) / LEGEND_COLUMNS; /* and "(ignored)" */
    const int top = TITLE + keys * LEGEND_ROW + GAP;
    struct clfcn_image sheet;
    int rc =
        clfcn_image_alloc(&sheet, WIDTH, top + rows * (CELL_HEIGHT + GAP), 3, 8, err);
    if (rc < 0) {
        return rc;
    }
    memset(sheet.px.u8, 250, 3 * (size_t)sheet.width * (size_t)sheet.height);
    draw_legend(&sheet, s);
    rc = draw_items(&sheet, s, shown, top, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_png_write(path, &sheet, err);
    }
    clfcn_image_free(&sheet);
    return rc;
}
