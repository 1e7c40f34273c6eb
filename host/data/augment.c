/* augment.c - the list of random changes: from text and back, checked, and drawn. */
#include "augment.h"
#include "../util/err.h"
#include "../util/nearest.h"
#include "../util/rng.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { SWITCH, AMOUNT, RANGE };

#define AT(f) offsetof(struct clfcn_augment, f)

static const char to_1[] = "above 0 and at most 1";

/* In the order of the canonical text. A range's upper end follows its lower. */
static const struct change {
    const char *name;
    size_t offset;
    enum kind kind;
    bool standard;      /* part of the mixture of that name */
    double least, most; /* of an amount, 0 itself being out */
    double usual[2];
    const char *range; /* for people */
} changes[] = {
    { .name = "flip", .offset = AT(flip), .kind = SWITCH, .standard = true },
    { .name = "vflip", .offset = AT(vflip), .kind = SWITCH },
    { "scale", AT(scale_min), RANGE, true, 0.25, 4, { 0.75, 1.5 },
      "MIN-MAX with 0.25 <= MIN <= MAX <= 4, such as 0.75-1.5" },
    { .name = "crop", .offset = AT(crop), .kind = SWITCH, .standard = true },
    { "rotate", AT(rotate), AMOUNT, true, 0, 180, { 10 },
      "above 0 and at most 180 degrees" },
    { "brightness", AT(brightness), AMOUNT, true, 0, 1, { 0.2 }, to_1 },
    { "contrast", AT(contrast), AMOUNT, true, 0, 1, { 0.2 }, to_1 },
    { "saturation", AT(saturation), AMOUNT, true, 0, 1, { 0.2 }, to_1 },
    { "noise", AT(noise), AMOUNT, false, 0, 1, { 0.02 }, to_1 },
};
enum { CHANGES = sizeof(changes) / sizeof(changes[0]) };

/* Its field: a bool for a switch, else a double, or two for a range. */
static void *field(const struct change *c, struct clfcn_augment *a)
{
    return (char *)a + c->offset;
}

static const void *value(const struct change *c, const struct clfcn_augment *a)
{
    return (const char *)a + c->offset;
}

static bool is_on(const struct change *c, const struct clfcn_augment *a)
{
    if (c->kind == SWITCH) {
        return *(const bool *)value(c, a);
    }
    const double *v = value(c, a);
    return v[0] != 0 || (c->kind == RANGE && v[1] != 0);
}

/* The bytes of its amounts. */
static size_t amount_bytes(const struct change *c)
{
    return (c->kind == RANGE ? 2 : 1) * sizeof(double);
}

static void take_usual(const struct change *c, struct clfcn_augment *a)
{
    if (c->kind == SWITCH) {
        *(bool *)field(c, a) = true;
    } else {
        memcpy(field(c, a), c->usual, amount_bytes(c));
    }
}

/* Whether the amounts are in range; none of the comparisons holds for NaN. */
static bool in_range(const struct change *c, const double *v)
{
    const double last = c->kind == RANGE ? v[1] : v[0];
    return v[0] > 0 && v[0] >= c->least && last >= v[0] && last <= c->most;
}

/* A positive decimal number right at s; NULL if there is none, else what follows it. */
static const char *read_number(const char *s, double *out)
{
    char *end;
    if (!strchr(".0123456789", *s) || *s == '\0') {
        return NULL;
    }
    *out = strtod(s, &end);
    return end != s ? end : NULL;
}

static int take_amount(const struct change *c, const char *text, struct clfcn_augment *a,
                       struct clfcn_err *err)
{
    double v[2] = { 0 };
    if (c->kind == SWITCH) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "%s=%s: %s takes no amount", c->name,
                             text, c->name);
    }
    const char *rest = read_number(text, &v[0]);
    if (rest && c->kind == RANGE) {
        rest = *rest == '-' ? read_number(rest + 1, &v[1]) : NULL;
    }
    if (!rest || *rest || !in_range(c, v)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "%s=%s: must be %s", c->name, text,
                             c->range);
    }
    memcpy(field(c, a), v, amount_bytes(c));
    return CLFCN_OK;
}

static int refuse_name(const char *name, struct clfcn_err *err)
{
    struct clfcn_nearest near = { .word = name };
    for (int i = 0; i < CHANGES; ++i) {
        clfcn_nearest_offer(&near, changes[i].name);
    }
    clfcn_nearest_offer(&near, "standard");
    clfcn_nearest_offer(&near, "none");
    if (near.best) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "no augmentation '%s'; did you mean '%s'?", name, near.best);
    }
    return clfcn_err_set(err, CLFCN_EINVAL, 0,
                         "no augmentation '%s': flip, vflip, scale, crop, rotate, "
                         "brightness, contrast, saturation, noise, standard or none",
                         name);
}

/* What a list has named: a bit each for the changes, then for "standard". */
enum { STANDARD = CHANGES, NONE };

static int find(const char *name)
{
    for (int i = 0; i < CHANGES; ++i) {
        if (strcmp(changes[i].name, name) == 0) {
            return i;
        }
    }
    return strcmp(name, "standard") == 0 ? STANDARD
           : strcmp(name, "none") == 0   ? NONE
                                         : -1;
}

/* Take one NAME[=AMOUNT] of a list. */
static int take_item(char *item, unsigned *named, struct clfcn_augment *a,
                     struct clfcn_err *err)
{
    char *amount = strchr(item, '=');
    if (amount) {
        *amount++ = '\0';
    }
    const int i = find(item);
    if (i < 0) {
        return refuse_name(item, err);
    }
    if (*named & 1u << i) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "%s is there twice", item);
    }
    *named |= 1u << i;
    if (i >= CHANGES) {
        return !amount ? CLFCN_OK
                       : clfcn_err_set(err, CLFCN_EINVAL, 0, "%s=%s: %s takes no amount",
                                       item, amount, item);
    }
    if (amount) {
        return take_amount(&changes[i], amount, a, err);
    }
    take_usual(&changes[i], a);
    return CLFCN_OK;
}

/* What only the whole list shows. */
static int finish(unsigned named, struct clfcn_augment *a, struct clfcn_err *err)
{
    if (named & 1u << NONE && named != 1u << NONE) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "none stands alone");
    }
    for (int i = 0; i < CHANGES && named & 1u << STANDARD; ++i) {
        if (changes[i].standard && !(named & 1u << i)) {
            take_usual(&changes[i], a);
        }
    }
    return clfcn_augment_check(a, err);
}

int clfcn_augment_parse(const char *text, struct clfcn_augment *out,
                        struct clfcn_err *err)
{
    unsigned named = 0;
    char *copy = strdup(text);
    if (!copy) {
        return clfcn_err_nomem(err);
    }
    *out = (struct clfcn_augment){ 0 };
    int rc = CLFCN_OK;
    for (char *item = copy; item && rc == CLFCN_OK;) {
        char *comma = strchr(item, ',');
        if (comma) {
            *comma++ = '\0';
        }
        rc = take_item(item, &named, out, err);
        item = comma;
    }
    free(copy);
    return rc == CLFCN_OK ? finish(named, out, err) : rc;
}

/* Append to a text of *n characters. */
CLFCN_PRINTF(3, 4)
static void add(char *buf, size_t *n, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int added = vsnprintf(buf + *n, CLFCN_AUGMENT_TEXT - *n, fmt, args);
    va_end(args);
    *n += (size_t)added;
}

/* The shortest decimal number that reads as v. */
static void add_number(char *buf, size_t *n, double v)
{
    char text[32];
    for (int digits = 6; digits <= 17; ++digits) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) {
            break;
        }
    }
    add(buf, n, "%s", text);
}

const char *clfcn_augment_text(const struct clfcn_augment *a,
                               char buf[CLFCN_AUGMENT_TEXT])
{
    /* Nine names, and seven numbers of at most 24 characters, fit. */
    size_t n = 0;
    buf[0] = '\0';
    for (int i = 0; i < CHANGES; ++i) {
        const struct change *c = &changes[i];
        if (!is_on(c, a)) {
            continue;
        }
        add(buf, &n, "%s%s%s", n ? "," : "", c->name, c->kind == SWITCH ? "" : "=");
        if (c->kind != SWITCH) {
            add_number(buf, &n, ((const double *)value(c, a))[0]);
        }
        if (c->kind == RANGE) {
            add(buf, &n, "-");
            add_number(buf, &n, ((const double *)value(c, a))[1]);
        }
    }
    if (n == 0) {
        add(buf, &n, "none");
    }
    return buf;
}

int clfcn_augment_check(const struct clfcn_augment *a, struct clfcn_err *err)
{
    for (int i = 0; i < CHANGES; ++i) {
        const struct change *c = &changes[i];
        if (c->kind != SWITCH && is_on(c, a) && !in_range(c, value(c, a))) {
            return clfcn_err_set(err, CLFCN_EINVAL, 0, "%s: must be %s", c->name,
                                 c->range);
        }
    }
    if (a->crop && a->scale_min == 0) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "crop: says where a zoomed picture is cut; give scale too");
    }
    return CLFCN_OK;
}

bool clfcn_augment_warps(const struct clfcn_augment *a)
{
    return a->scale_min != 0 || a->rotate != 0;
}

double clfcn_augment_max_zoom(const struct clfcn_augment *a)
{
    return a->scale_max > 1 ? a->scale_max : 1;
}

/* Uniform in lo .. hi. */
static double between(struct clfcn_rng *rng, double lo, double hi)
{
    return lo + (hi - lo) * clfcn_rng_double(rng);
}

struct clfcn_draw clfcn_augment_draw(const struct clfcn_augment *a, uint64_t seed,
                                     int epoch, int item)
{
    struct clfcn_draw d = { .zoom = 1, .left = 0.5, .top = 0.5 };
    const double spread[] = { a->brightness, a->contrast, a->saturation };
    struct clfcn_rng rng;
    clfcn_rng_init(&rng, seed, "augment", (uint64_t)epoch, (uint64_t)item);
    /* All are drawn, wanted or not, so that none depends on what else is wanted. The
     * first has been this one since before there were others: runs can be repeated. */
    d.flip = (clfcn_rng_below(&rng, 2) == 1) & a->flip;
    d.vflip = (clfcn_rng_below(&rng, 2) == 1) & a->vflip;
    const double zoom = between(&rng, a->scale_min, a->scale_max);
    const double left = clfcn_rng_double(&rng), top = clfcn_rng_double(&rng);
    d.degrees = between(&rng, -a->rotate, a->rotate);
    if (a->scale_min != 0) {
        d.zoom = zoom;
    }
    if (a->crop) {
        d.left = left;
        d.top = top;
    }
    for (int i = 0; i < CLFCN_COLOR_CHANGES; ++i) {
        d.factor[i] = between(&rng, 1 - spread[i], 1 + spread[i]);
        d.order[i] = i;
    }
    clfcn_rng_shuffle(&rng, d.order, CLFCN_COLOR_CHANGES);
    return d;
}
