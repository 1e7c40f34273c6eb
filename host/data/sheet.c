/* sheet.c - a contact sheet: pictures of a data set with their masks, to look at. */
#include "glyphs.h"
#include "survey.h"
#include "thumb.h"
#include <stdio.h>
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

static int draw_item(struct clfcn_image *sheet, const struct clfcn_survey *s, int item,
                     int left, int top, struct clfcn_err *err)
{
    static const char *const parts[] = { "", " train", " val" };
    struct clfcn_unknown unknown = { 0 };
    struct clfcn_pair pair;
    struct clfcn_thumb t = { 0 };
    char caption[160];
    int rc = clfcn_dataset_survey(s->set, item, &pair, &unknown, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_thumb_init(&pair, BOX_WIDTH, BOX_HEIGHT, &t, err);
    }
    if (rc == CLFCN_OK) {
        const int y = top + (BOX_HEIGHT - t.height) / 2;
        clfcn_thumb_draw(sheet, &t, NULL, left, y);
        clfcn_thumb_draw(sheet, &t, clfcn_dataset_get_classes(s->set), left + t.width + 2,
                         y);
        snprintf(caption, sizeof caption, "%.100s  %dx%d%s",
                 clfcn_dataset_item_name(s->set, item), pair.image.width,
                 pair.image.height, parts[clfcn_dataset_part(s->set, item)]);
        clfcn_text_draw(sheet, left, top + BOX_HEIGHT + 4, 1, CELL_WIDTH, pale, caption);
    }
    clfcn_thumb_finish(&t);
    clfcn_pair_free(&pair);
    return rc;
}

static void draw_key(struct clfcn_image *sheet, int at, const uint8_t color[3],
                     const char *name, double share)
{
    const int x = GAP + at % LEGEND_COLUMNS * LEGEND_WIDTH;
    const int y = TITLE + at / LEGEND_COLUMNS * LEGEND_ROW;
    char text[96];
    clfcn_sheet_fill(sheet, x, y, SWATCH, SWATCH, pale);
    clfcn_sheet_fill(sheet, x + 1, y + 1, SWATCH - 2, SWATCH - 2, color);
    snprintf(text, sizeof text, "%4.1f%% %s", 100 * share, name);
    clfcn_text_draw(sheet, x + SWATCH + 6, y + 1, 2, LEGEND_WIDTH - SWATCH - GAP, ink,
                    text);
}

static void draw_legend(struct clfcn_image *sheet, const struct clfcn_survey *s)
{
    const struct clfcn_classes *k = clfcn_dataset_get_classes(s->set);
    const uint8_t ignored[3] = { 192, 192, 192 }, unknown[3] = { 140, 140, 140 };
    char title[128], broken[32] = "";
    double all = (double)s->unknown.pixels;
    for (int c = 0; c <= s->classes; ++c) {
        all += (double)s->pixels[c];
    }
    all = all > 0 ? all : 1;
    if (s->sound < s->count) {
        snprintf(broken, sizeof broken, ", %d broken", s->count - s->sound);
    }
    snprintf(title, sizeof title, "%s: %d pictures%s, %d classes",
             clfcn_dataset_format(s->set), s->count, broken, s->classes);
    clfcn_text_draw(sheet, GAP, GAP, 2, WIDTH - 2 * GAP, ink, title);
    for (int c = 0; c < s->classes; ++c) {
        draw_key(sheet, c, k->list[c].color, k->list[c].name, (double)s->pixels[c] / all);
    }
    int at = s->classes;
    if (s->pixels[at] > 0) {
        draw_key(sheet, at, ignored, "(ignored)", (double)s->pixels[at] / all);
        ++at;
    }
    if (s->unknown.pixels > 0) {
        draw_key(sheet, at, unknown, "(no class)", (double)s->unknown.pixels / all);
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
    /* and "(ignored)" and "(no class)", and the last row may not be full */
    const int keys = (s->classes + 1 + LEGEND_COLUMNS) / LEGEND_COLUMNS;
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
