/* classes_apply.c - from the values of a mask to labels. */
#include "classes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNCOVERED = 0xffff };

/* What the values of one mask mean. */
struct tables {
    uint16_t *gray; /* [values], label or UNCOVERED */
    uint32_t values;
    struct color_label {
        uint32_t color;
        uint16_t label;
    } *colors; /* ascending */
    size_t color_count;
};

static void set_ranges(struct tables *t, const struct clfcn_classes *c)
{
    memset(t->gray, 0xff, t->values * sizeof *t->gray);
    for (int i = 0; i < c->rule_count; ++i) {
        const struct clfcn_class_rule *r = c->rules + i;
        for (uint32_t v = r->lo; !r->rgb && v <= r->hi && v < t->values; ++v) {
            t->gray[v] = (uint16_t)r->label;
        }
    }
}

/* Read "a,b,c" as three gray values. False, and the table is spoilt, if one is taken. */
static bool set_lists(struct tables *t, const struct clfcn_classes *c)
{
    for (int i = 0; i < c->rule_count; ++i) {
        const struct clfcn_class_rule *r = c->rules + i;
        for (int shift = 16; r->rgb && shift >= 0; shift -= 8) {
            uint16_t *label = t->gray + (r->lo >> shift & 255);
            if (*label != UNCOVERED && *label != r->label) {
                return false;
            }
            *label = (uint16_t)r->label;
        }
    }
    return true;
}

/* Read "v,v,v" as the gray value v. */
static void set_gray_colors(struct tables *t, const struct clfcn_classes *c)
{
    for (int i = 0; i < c->rule_count; ++i) {
        const struct clfcn_class_rule *r = c->rules + i;
        const uint32_t v = r->lo & 255;
        if (r->rgb && r->lo == v * 0x10101 && t->gray[v] == UNCOVERED) {
            t->gray[v] = (uint16_t)r->label;
        }
    }
}

static int compare_colors(const void *a, const void *b)
{
    const uint32_t ca = ((const struct color_label *)a)->color;
    const uint32_t cb = ((const struct color_label *)b)->color;
    return (ca > cb) - (ca < cb);
}

static void set_colors(struct tables *t, const struct clfcn_classes *c)
{
    for (int i = 0; i < c->rule_count; ++i) {
        if (c->rules[i].rgb) {
            t->colors[t->color_count++] =
                (struct color_label){ c->rules[i].lo, (uint16_t)c->rules[i].label };
        }
    }
    qsort(t->colors, t->color_count, sizeof *t->colors, compare_colors);
}

static unsigned sample(const struct clfcn_image *im, size_t i)
{
    return im->depth == 16 ? im->px.u16[i] : im->px.u8[i];
}

static bool is_gray(const struct clfcn_image *im, size_t pixels)
{
    for (size_t i = 0; i < pixels; ++i) {
        if (sample(im, 3 * i) != sample(im, 3 * i + 1) ||
            sample(im, 3 * i) != sample(im, 3 * i + 2)) {
            return false;
        }
    }
    return true;
}

/* Both label pixels from `from` on, and return the first that no rule covers, or pixels.
 */

/* The mask's samples are step apart. */
static size_t label_gray(const struct tables *t, const struct clfcn_image *im,
                         size_t from, size_t pixels, size_t step, uint8_t *labels)
{
    for (size_t i = from; i < pixels; ++i) {
        const uint16_t label = t->gray[sample(im, i * step)];
        if (label == UNCOVERED) {
            return i;
        }
        labels[i] = (uint8_t)label;
    }
    return pixels;
}

static uint16_t find_color(const struct tables *t, uint32_t color)
{
    const struct color_label key = { color, 0 };
    const struct color_label *found =
        t->color_count
            ? bsearch(&key, t->colors, t->color_count, sizeof key, compare_colors)
            : NULL;
    if (found) {
        return found->label;
    }
    const uint32_t v = color & 255;
    return color == v * 0x10101 ? t->gray[v] : UNCOVERED;
}

static size_t label_rgb(const struct tables *t, const struct clfcn_image *im, size_t from,
                        size_t pixels, uint8_t *labels)
{
    uint32_t last_color = UINT32_MAX; /* masks have long runs of one colour */
    uint16_t last_label = UNCOVERED;
    for (size_t i = from; i < pixels; ++i) {
        const uint8_t *p = im->px.u8 + 3 * i;
        const uint32_t color = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        if (color != last_color) {
            last_color = color;
            last_label = find_color(t, color);
        }
        if (last_label == UNCOVERED) {
            return i;
        }
        labels[i] = (uint8_t)last_label;
    }
    return pixels;
}

static int uncovered(const struct clfcn_classes *c, const struct clfcn_image *mask,
                     bool gray, bool has_colors, size_t i, const char *name,
                     struct clfcn_err *err)
{
    const char *hint = "";
    char value[48];
    if (gray) {
        snprintf(value, sizeof value, "%s %u", mask->palette ? "palette index" : "value",
                 sample(mask, i * (size_t)mask->channels));
        hint = !has_colors ? ""
               : mask->palette
                   ? " (a palette mask is matched by its indices, not by its colours)"
                   : " (the mask is gray: write its values with blanks between them, not "
                     "as r,g,b)";
    } else {
        snprintf(value, sizeof value, "colour %u,%u,%u", sample(mask, 3 * i),
                 sample(mask, 3 * i + 1), sample(mask, 3 * i + 2));
        hint = has_colors ? "" : " (it gives gray values; for a colour mask write r,g,b)";
    }
    if (!*hint && clfcn_image_name_is_jpeg(name)) {
        hint = " (JPEG blurs edges: give ranges such as 0-127, or store masks as PNG)";
    }
    const int x = (int)(i % (size_t)mask->width), y = (int)(i / (size_t)mask->width);
    if (c->built_in) {
        return clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "%s: pixel (%d, %d) has %s, which is no class of this format; "
            "a classes.txt in the set's folder may say what it means",
            name, x, y, value);
    }
    return clfcn_err_set(
        err, CLFCN_EDATA, 0,
        "%s: pixel (%d, %d) has %s, which no line of classes.txt covers%s", name, x, y,
        value, hint);
}

void clfcn_unknown_add(struct clfcn_unknown *u, bool rgb, uint32_t value, uint64_t n)
{
    int i = 0;
    while (i < u->count && (u->list[i].value != value || u->list[i].rgb != rgb)) {
        ++i;
    }
    if (i == u->count && u->count < CLFCN_UNKNOWN_LISTED) {
        u->list[u->count++] = (struct clfcn_unknown_value){ rgb, value, 0 };
    }
    if (i < u->count) {
        u->list[i].pixels += n;
    }
    u->pixels += n;
}

const char *clfcn_value_text(const struct clfcn_unknown_value *v,
                             char buf[CLFCN_VALUE_LEN])
{
    if (v->rgb) {
        snprintf(buf, CLFCN_VALUE_LEN, "%u,%u,%u", v->value >> 16 & 255,
                 v->value >> 8 & 255, v->value & 255);
    } else {
        snprintf(buf, CLFCN_VALUE_LEN, "%u", v->value);
    }
    return buf;
}

/* The value of pixel i. */
static void note(struct clfcn_unknown *u, const struct clfcn_image *mask, bool gray,
                 size_t i)
{
    const size_t at = i * (size_t)mask->channels;
    const uint32_t value =
        gray ? sample(mask, at)
             : sample(mask, at) << 16 | sample(mask, at + 1) << 8 | sample(mask, at + 2);
    clfcn_unknown_add(u, !gray, value, 1);
}

static void fill_tables(struct tables *t, const struct clfcn_classes *c, bool gray,
                        const struct clfcn_image *mask)
{
    set_colors(t, c);
    set_ranges(t, c);
    if (c->built_in) {
        if (mask->channels == 3) {
            set_gray_colors(t, c);
        }
    } else if (gray && !set_lists(t, c)) {
        set_ranges(t, c);
        set_gray_colors(t, c);
    }
}

/* unknown NULL: a value that no rule covers is an error. */
static int apply(const struct clfcn_classes *c, const struct clfcn_image *mask,
                 const char *name, uint8_t *labels, struct clfcn_unknown *unknown,
                 struct clfcn_err *err)
{
    const size_t pixels = (size_t)mask->width * (size_t)mask->height;
    const size_t step = (size_t)mask->channels;
    const bool gray = mask->channels == 1 || is_gray(mask, pixels);
    struct tables t = { .values = mask->depth == 16 ? 65536 : 256 };
    int rc = CLFCN_OK;
    if (!gray && mask->depth == 16) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "%s: a colour mask of 16 bits a sample; store it with 8",
                             name);
    }
    t.gray = malloc(t.values * sizeof *t.gray);
    t.colors = malloc((size_t)c->rule_count * sizeof *t.colors);
    if (!t.gray || !t.colors) {
        rc = clfcn_err_nomem(err);
        goto out;
    }
    fill_tables(&t, c, gray, mask);
    for (size_t at = 0; at < pixels && rc == CLFCN_OK; ++at) {
        at = gray ? label_gray(&t, mask, at, pixels, step, labels)
                  : label_rgb(&t, mask, at, pixels, labels);
        if (at < pixels && unknown) {
            note(unknown, mask, gray, at);
            labels[at] = CLFCN_IGNORE;
        } else if (at < pixels) {
            rc = uncovered(c, mask, gray, t.color_count > 0, at, name, err);
        }
    }
out:
    free(t.gray);
    free(t.colors);
    return rc;
}

int clfcn_classes_apply(const struct clfcn_classes *c, const struct clfcn_image *mask,
                        const char *name, uint8_t *labels, struct clfcn_err *err)
{
    return apply(c, mask, name, labels, NULL, err);
}

int clfcn_classes_survey(const struct clfcn_classes *c, const struct clfcn_image *mask,
                         const char *name, uint8_t *labels, struct clfcn_unknown *unknown,
                         struct clfcn_err *err)
{
    return apply(c, mask, name, labels, unknown, err);
}
