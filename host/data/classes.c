/* classes.c - reading and writing classes.txt. The grammar is in classes.h. */
#include "classes.h"
#include "../util/array.h"
#include "../util/file.h"
#include "../util/strbuf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VALUE = 65535, MAX_TEXT = 1 << 20 };

/* Colours of classes that give none: far apart, and easy to name. */
static const uint8_t default_colors[][3] = {
    { 230, 25, 75 },   { 60, 180, 75 },   { 255, 225, 25 },  { 0, 130, 200 },
    { 245, 130, 48 },  { 145, 30, 180 },  { 70, 240, 240 },  { 240, 50, 230 },
    { 210, 245, 60 },  { 250, 190, 212 }, { 0, 128, 128 },   { 220, 190, 255 },
    { 170, 110, 40 },  { 255, 250, 200 }, { 128, 0, 0 },     { 170, 255, 195 },
    { 128, 128, 0 },   { 255, 215, 180 }, { 0, 0, 128 },     { 128, 128, 128 },
};

struct parsed_rule {
    struct clfcn_class_rule rule;
    int line;
};

struct parser {
    const char *name; /* of the file, or of what gives values alone */
    const char *s;    /* what comes next */
    int line;         /* counts from 1; 0: there are no lines */
    struct clfcn_class list[CLFCN_MAX_CLASSES];
    bool has_color[CLFCN_MAX_CLASSES];
    int count;
    struct parsed_rule *rules;
    size_t rule_count, rule_room;
    struct clfcn_err *err;
};

static bool at_blank(const struct parser *p)
{
    return *p->s && strchr(" \t\r\v\f", *p->s);
}

static bool at_line_end(const struct parser *p)
{
    return *p->s == '\0' || *p->s == '\n';
}

static void skip_blanks(struct parser *p)
{
    while (at_blank(p)) {
        ++p->s;
    }
}

static int word_length(const char *s)
{
    return (int)strcspn(s, " \t\r\v\f\n");
}

static bool at_digit(const struct parser *p)
{
    return *p->s >= '0' && *p->s <= '9';
}

static int bad_value(struct parser *p, const char *word)
{
    const int n = word_length(word);
    if (p->line == 0) {
        return clfcn_err_set(p->err, CLFCN_EINVAL, 0,
                             "%s '%.*s': no mask value; give numbers up to %d, ranges "
                             "0-127, or colours r,g,b",
                             p->name, n < 32 ? n : 32, word, MAX_VALUE);
    }
    return clfcn_err_set(
        p->err, CLFCN_EDATA, 0,
        "%s:%d: '%.*s' is no mask value; a line is NAME VALUES [#RRGGBB], each "
        "value a number up to %d, a range 0-127, or a colour r,g,b",
        p->name, p->line, n < 32 ? n : 32, word, MAX_VALUE);
}

static int push_rule(struct parser *p, bool rgb, uint32_t lo, uint32_t hi, int label)
{
    struct parsed_rule *grown =
        clfcn_array_grow(p->rules, p->rule_count + 1, &p->rule_room, sizeof *grown);
    if (!grown) {
        return clfcn_err_nomem(p->err);
    }
    p->rules = grown;
    grown[p->rule_count++] = (struct parsed_rule){ { rgb, lo, hi, label }, p->line };
    return CLFCN_OK;
}

static bool parse_number(struct parser *p, uint32_t *value)
{
    if (!at_digit(p)) {
        return false;
    }
    for (*value = 0; at_digit(p) && *value <= MAX_VALUE; ++p->s) {
        *value = *value * 10 + (uint32_t)(*p->s - '0');
    }
    return *value <= MAX_VALUE;
}

/* VALUE or VALUE-VALUE. *small: it is one number, which may be part of a colour. */
static int parse_item(struct parser *p, int label, bool *small)
{
    const char *word = p->s;
    uint32_t lo, hi;
    if (!parse_number(p, &lo)) {
        return bad_value(p, word);
    }
    hi = lo;
    *small = *p->s != '-' && lo <= 255;
    if (*p->s == '-') {
        ++p->s;
        if (!parse_number(p, &hi) || hi < lo) {
            return bad_value(p, word);
        }
    }
    if (!at_line_end(p) && !at_blank(p) && *p->s != ',') {
        return bad_value(p, word);
    }
    return push_rule(p, false, lo, hi, label);
}

/* Items with commas between them. Exactly three small numbers are a colour. */
static int parse_group(struct parser *p, int label)
{
    const size_t first = p->rule_count;
    bool all_small = true, more = true;
    while (more) {
        bool small = false;
        const int rc = parse_item(p, label, &small);
        if (rc < 0) {
            return rc;
        }
        all_small = all_small && small;
        skip_blanks(p);
        more = *p->s == ',';
        if (more) {
            ++p->s;
            skip_blanks(p);
        }
    }
    if (all_small && p->rule_count - first == 3) {
        const struct parsed_rule *r = p->rules + first;
        const uint32_t color = r[0].rule.lo << 16 | r[1].rule.lo << 8 | r[2].rule.lo;
        p->rule_count = first;
        return push_rule(p, true, color, color, label);
    }
    return CLFCN_OK;
}

/* Whether '#' begins a colour, and not a comment: six hexadecimal digits with nothing but
 * a comment behind them. */
static bool parse_color(const char *s, uint8_t color[3])
{
    if (word_length(s) != 7 || strspn(s + 1, "0123456789abcdefABCDEF") < 6) {
        return false;
    }
    const char *rest = s + 7 + strspn(s + 7, " \t\r\v\f");
    if (*rest != '\0' && *rest != '\n' && *rest != '#') {
        return false;
    }
    char hex[7] = { 0 };
    memcpy(hex, s + 1, 6);
    const unsigned long v = strtoul(hex, NULL, 16);
    color[0] = (uint8_t)(v >> 16);
    color[1] = (uint8_t)(v >> 8 & 255);
    color[2] = (uint8_t)(v & 255);
    return true;
}

/* Names end up in JSON and on terminals: printable UTF-8 only, and no byte order mark,
 * which would vanish at the beginning of a file. */
static bool is_printable(const char *word, int n)
{
    const unsigned char *s = (const unsigned char *)word, *end = s + n;
    while (s < end) {
        int more = *s < 0x80 ? 0 : *s >= 0xf0 ? 3 : *s >= 0xe0 ? 2 : 1;
        uint32_t code = *s & (more == 0 ? 0x7fu : 0x3fu >> more);
        if (*s < 0x21 || *s == 0x7f || (*s >= 0x80 && *s < 0xc0) || *s > 0xf4 ||
            end - s <= more) {
            return false;
        }
        const uint32_t least = more == 0   ? 0x21
                               : more == 1 ? 0xa0
                               : more == 2 ? 0x800
                                           : 0x10000;
        for (++s; more > 0; --more, ++s) {
            if ((*s & 0xc0) != 0x80) {
                return false;
            }
            code = code << 6 | (*s & 0x3f);
        }
        if (code < least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ||
            code == 0xfeff) {
            return false;
        }
    }
    return true;
}

/* The first word of a line: a new class, or "ignore". */
static int parse_name(struct parser *p, int *label)
{
    const char *word = p->s;
    const int n = word_length(word);
    p->s += n;
    if (n == 6 && memcmp(word, "ignore", 6) == 0) {
        *label = CLFCN_IGNORE;
        return CLFCN_OK;
    }
    if (n >= (int)sizeof p->list->name || !is_printable(word, n)) {
        return clfcn_err_set(
            p->err, CLFCN_EDATA, 0,
            "%s:%d: a class name is printable UTF-8 text of at most %d bytes", p->name,
            p->line, (int)sizeof p->list->name - 1);
    }
    for (int i = 0; i < p->count; ++i) {
        if (strlen(p->list[i].name) == (size_t)n &&
            memcmp(p->list[i].name, word, (size_t)n) == 0) {
            return clfcn_err_set(
                p->err, CLFCN_EDATA, 0,
                "%s:%d: class '%s' is there already; put all its values on one line",
                p->name, p->line, p->list[i].name);
        }
    }
    if (p->count == CLFCN_MAX_CLASSES) {
        return clfcn_err_set(p->err, CLFCN_EDATA, 0, "%s:%d: more than %d classes",
                             p->name, p->line, CLFCN_MAX_CLASSES);
    }
    memcpy(p->list[p->count].name, word, (size_t)n);
    *label = p->count++;
    return CLFCN_OK;
}

static int parse_line(struct parser *p)
{
    int label = 0, rc;
    skip_blanks(p);
    if (at_line_end(p) || *p->s == '#') {
        return CLFCN_OK;
    }
    const char *name = p->s;
    const int name_len = word_length(name);
    rc = parse_name(p, &label);
    if (rc < 0) {
        return rc;
    }
    const size_t before = p->rule_count;
    skip_blanks(p);
    while (!at_line_end(p) && *p->s != '#') {
        rc = parse_group(p, label);
        if (rc < 0) {
            return rc;
        }
    }
    if (p->rule_count == before) {
        return clfcn_err_set(
            p->err, CLFCN_EDATA, 0,
            "%s:%d: '%.*s' has no mask values; write for example '%.*s 0-127'", p->name,
            p->line, name_len, name, name_len, name);
    }
    if (*p->s == '#' && label != CLFCN_IGNORE) {
        p->has_color[label] = parse_color(p->s, p->list[label].color);
    }
    return CLFCN_OK;
}

static int compare_rules(const void *a, const void *b)
{
    const struct parsed_rule *ra = a, *rb = b;
    if (ra->rule.rgb != rb->rule.rgb) {
        return ra->rule.rgb ? 1 : -1;
    }
    if (ra->rule.lo != rb->rule.lo) {
        return ra->rule.lo < rb->rule.lo ? -1 : 1;
    }
    return ra->line - rb->line;
}

/* Sorts the rules on the way; they have been copied by then. */
static int check_overlaps(struct parser *p)
{
    size_t widest = 0; /* the rule so far that reaches furthest */
    qsort(p->rules, p->rule_count, sizeof *p->rules, compare_rules);
    for (size_t i = 1; i < p->rule_count; ++i) {
        const struct parsed_rule *a = p->rules + widest, *b = p->rules + i;
        if (a->rule.rgb == b->rule.rgb && b->rule.lo <= a->rule.hi) {
            const int first = a->line < b->line ? a->line : b->line;
            const int second = a->line < b->line ? b->line : a->line;
            const unsigned v = b->rule.lo;
            char value[16];
            if (b->rule.rgb) {
                snprintf(value, sizeof value, "%u,%u,%u", v >> 16, v >> 8 & 255, v & 255);
            } else {
                snprintf(value, sizeof value, "%u", v);
            }
            return clfcn_err_set(p->err, CLFCN_EDATA, 0,
                                 "%s:%d: value %s is listed twice, in line %d first",
                                 p->name, second, value, first);
        }
        widest = i; /* without overlap, the later one reaches further */
    }
    return CLFCN_OK;
}

static bool color_taken(const struct parser *p, const uint8_t color[3])
{
    for (int i = 0; i < p->count; ++i) {
        if (p->has_color[i] && memcmp(p->list[i].color, color, 3) == 0) {
            return true;
        }
    }
    return false;
}

/* Give each class without a colour the next default that nobody has. */
static void fill_colors(struct parser *p)
{
    const unsigned listed = sizeof default_colors / sizeof *default_colors;
    unsigned next = 0;
    for (int i = 0; i < p->count; ++i) {
        while (!p->has_color[i]) {
            /* Past the list: steps through a cube of 7x7x6 colours; 7*7*6 > 255 + 20. */
            const unsigned k = next * 121 % 294;
            const uint8_t cube[3] = { (uint8_t)(k % 7 * 40 + 9),
                                      (uint8_t)(k / 7 % 7 * 40 + 5),
                                      (uint8_t)(k / 49 * 45 + 12) };
            const uint8_t *color = next < listed ? default_colors[next] : cube;
            ++next;
            if (!color_taken(p, color)) {
                memcpy(p->list[i].color, color, 3);
                p->has_color[i] = true;
            }
        }
    }
}

static int finish(struct parser *p, struct clfcn_classes *out)
{
    if (p->count < 2) {
        return clfcn_err_set(
            p->err, CLFCN_EDATA, 0,
            "%s: %s; at least two are needed (what is left over is a class "
            "too, for example 'background 0')",
            p->name, p->count == 0 ? "no class" : "only one class");
    }
    fill_colors(p);
    out->list = calloc((size_t)p->count, sizeof *out->list);
    out->rules = calloc(p->rule_count, sizeof *out->rules);
    if (!out->list || !out->rules) {
        return clfcn_err_nomem(p->err);
    }
    memcpy(out->list, p->list, (size_t)p->count * sizeof *out->list);
    out->count = p->count;
    for (size_t i = 0; i < p->rule_count; ++i) {
        out->rules[i] = p->rules[i].rule;
    }
    out->rule_count = (int)p->rule_count;
    return check_overlaps(p);
}

int clfcn_classes_parse(const char *text, const char *name, struct clfcn_classes *out,
                        struct clfcn_err *err)
{
    struct parser *p = calloc(1, sizeof *p);
    int rc = CLFCN_OK;
    *out = (struct clfcn_classes){ 0 };
    if (!p) {
        return clfcn_err_nomem(err);
    }
    p->name = name;
    p->err = err;
    /* A byte order mark is no part of the first name. */
    p->s = strncmp(text, "\xef\xbb\xbf", 3) == 0 ? text + 3 : text;
    for (p->line = 1; *p->s && rc == CLFCN_OK; ++p->line) {
        rc = parse_line(p);
        p->s += strcspn(p->s, "\n");
        p->s += *p->s == '\n';
    }
    if (rc == CLFCN_OK) {
        rc = finish(p, out);
    }
    if (rc < 0) {
        clfcn_classes_free(out);
    }
    free(p->rules);
    free(p);
    return rc;
}

int clfcn_classes_parse_values(const char *values, const char *name, int label,
                               struct clfcn_class_rule **rules, int *count,
                               struct clfcn_err *err)
{
    struct parser *p = calloc(1, sizeof *p);
    int rc = p ? CLFCN_OK : clfcn_err_nomem(err);
    *rules = NULL;
    *count = 0;
    if (rc < 0) {
        return rc;
    }
    *p = (struct parser){ .name = name, .s = values, .err = err };
    for (skip_blanks(p); *p->s && rc == CLFCN_OK;) {
        rc = parse_group(p, label);
    }
    *rules = calloc(p->rule_count + 1, sizeof **rules);
    if (!*rules && rc == CLFCN_OK) {
        rc = clfcn_err_nomem(err);
    }
    for (size_t i = 0; i < p->rule_count && rc == CLFCN_OK; ++i) {
        (*rules)[(*count)++] = p->rules[i].rule;
    }
    free(p->rules);
    free(p);
    return rc;
}

int clfcn_classes_read(const char *path, struct clfcn_classes *out, struct clfcn_err *err)
{
    char *text = NULL;
    size_t size = 0;
    *out = (struct clfcn_classes){ 0 };
    int rc = clfcn_file_read(path, MAX_TEXT, &text, &size, err);
    if (rc < 0) {
        return clfcn_input_error(rc, err);
    }
    rc = strlen(text) == size
             ? clfcn_classes_parse(text, path, out, err)
             : clfcn_err_set(err, CLFCN_EDATA, 0, "%s: not a text file", path);
    free(text);
    return rc;
}

void clfcn_classes_free(struct clfcn_classes *c)
{
    if (c) {
        free(c->list);
        free(c->rules);
        *c = (struct clfcn_classes){ 0 };
    }
}

static void add_values(struct clfcn_strbuf *sb, const struct clfcn_classes *c, int label)
{
    for (int i = 0; i < c->rule_count; ++i) {
        const struct clfcn_class_rule *r = c->rules + i;
        if (r->label != label) {
            continue;
        }
        if (r->rgb) {
            clfcn_strbuf_add(sb, " %u,%u,%u", r->lo >> 16, r->lo >> 8 & 255, r->lo & 255);
        } else if (r->lo == r->hi) {
            clfcn_strbuf_add(sb, " %u", r->lo);
        } else {
            clfcn_strbuf_add(sb, " %u-%u", r->lo, r->hi);
        }
    }
}

char *clfcn_classes_to_text(const struct clfcn_classes *c)
{
    struct clfcn_strbuf sb = { 0 };
    bool ignores = false;
    for (int i = 0; i < c->count; ++i) {
        const struct clfcn_class *k = c->list + i;
        clfcn_strbuf_add(&sb, "%s", k->name);
        add_values(&sb, c, i);
        clfcn_strbuf_add(&sb, " #%02x%02x%02x\n", k->color[0], k->color[1], k->color[2]);
    }
    for (int i = 0; i < c->rule_count; ++i) {
        ignores = ignores || c->rules[i].label == CLFCN_IGNORE;
    }
    if (ignores) {
        clfcn_strbuf_add(&sb, "ignore");
        add_values(&sb, c, CLFCN_IGNORE);
        clfcn_strbuf_add(&sb, "\n");
    }
    if (sb.failed) {
        clfcn_strbuf_free(&sb);
        return NULL;
    }
    return sb.str;
}
