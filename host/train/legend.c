/* legend.c - which colour is which class, below a picture. */
#include "legend.h"
#include "../data/glyphs.h"
#include <string.h>

/* In dots of the letters, which are several pixels wide on large pictures. */
enum { MARGIN = 4, SWATCH = CLFCN_GLYPH_HEIGHT, GAP = 3, BETWEEN = 10, LINE = 13 };

static const uint8_t ink[3] = { 32, 32, 32 }, frame[3] = { 110, 110, 110 };
enum { PAPER = 250 };

/* Where the next entry goes, in pixels. */
struct pen {
    int dot; /* pixels */
    int x, y;
    int width; /* of the paper */
};

static int letters(const char *name)
{
    int n = 0;
    for (; *name; ++name) {
        n += ((unsigned char)*name & 0xc0) != 0x80; /* the rest continues one, in UTF-8 */
    }
    return n;
}

static int entry_width(const char *name, int dot)
{
    return (SWATCH + GAP + letters(name) * CLFCN_GLYPH_WIDTH) * dot;
}

/* Begin a new line if this one has no room for an entry. */
static void wrap(struct pen *pen, int width)
{
    const int margin = MARGIN * pen->dot;
    if (pen->x > margin && pen->x + width + margin > pen->width) {
        pen->x = margin;
        pen->y += LINE * pen->dot;
    }
}

static void fill(struct clfcn_image *im, int x, int y, int side, const uint8_t color[3])
{
    for (int j = y; j < y + side; ++j) {
        for (int i = x; i < x + side; ++i) {
            memcpy(im->px.u8 + 3 * ((size_t)j * (size_t)im->width + (size_t)i), color, 3);
        }
    }
}

/* Go through the entries that are shown, drawing them if there is an image; the pen ends
 * on the last line. */
static void lay_out(struct pen *pen, const struct clfcn_classes *classes,
                    const bool *shown, struct clfcn_image *im)
{
    for (int c = 0; c < classes->count; ++c) {
        const char *name = classes->list[c].name;
        const int width = entry_width(name, pen->dot);
        if (!shown[c]) {
            continue;
        }
        wrap(pen, width);
        if (im) {
            const int side = SWATCH * pen->dot, text = pen->x + side + GAP * pen->dot;
            fill(im, pen->x, pen->y, side, frame);
            fill(im, pen->x + 1, pen->y + 1, side - 2, classes->list[c].color);
            clfcn_text_draw(im, text, pen->y, pen->dot, im->width, ink, name);
        }
        pen->x += width + BETWEEN * pen->dot;
    }
}

/* The paper's width: the picture's, or what the longest name needs. */
static int paper_width(const struct clfcn_image *im, const struct clfcn_classes *classes,
                       const bool *shown, int dot)
{
    int width = im->width;
    for (int c = 0; c < classes->count; ++c) {
        const int needed = entry_width(classes->list[c].name, dot) + 2 * MARGIN * dot;
        width = shown[c] && needed > width ? needed : width;
    }
    return width;
}

int clfcn_legend_add(struct clfcn_image *im, const struct clfcn_classes *classes,
                     const bool *shown, struct clfcn_err *err)
{
    const int dots = (im->width + 200) / 400, dot = dots > 1 ? dots : 1;
    const struct pen start = { .dot = dot,
                               .x = MARGIN * dot,
                               .y = im->height + MARGIN * dot,
                               .width = paper_width(im, classes, shown, dot) };
    struct pen pen = start;
    struct clfcn_image paper;
    lay_out(&pen, classes, shown, NULL);
    int rc = clfcn_image_alloc(&paper, start.width, pen.y + LINE * dot, 3, 8, err);
    if (rc < 0) {
        return rc;
    }
    const size_t row = 3 * (size_t)im->width, paper_row = 3 * (size_t)paper.width;
    memset(paper.px.u8, PAPER, paper_row * (size_t)paper.height);
    for (int y = 0; y < im->height; ++y) {
        memcpy(paper.px.u8 + (size_t)y * paper_row, im->px.u8 + (size_t)y * row, row);
    }
    pen = start;
    lay_out(&pen, classes, shown, &paper);
    clfcn_image_free(im);
    *im = paper;
    return CLFCN_OK;
}
