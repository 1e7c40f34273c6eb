/* classes.h - classes.txt: which mask values mean which class. */
#ifndef CLFCN_DATA_CLASSES_H
#define CLFCN_DATA_CLASSES_H

#include "image.h"
#include <clfcn/net.h>

/* One line of classes.txt gives one or several of these. */
struct clfcn_class_rule {
    bool rgb; /* lo and hi are 0xRRGGBB; else a range of gray values or palette indices */
    uint32_t lo, hi; /* inclusive */
    int label;       /* class, or CLFCN_IGNORE */
};

struct clfcn_class {
    char name[64];
    uint8_t color[3]; /* given, or one of a fixed, distinguishable list */
};

struct clfcn_classes {
    struct clfcn_class *list;
    int count;
    struct clfcn_class_rule *rules;
    int rule_count;
    bool built_in; /* of a format, not of a classes.txt: colours are never lists of gray
                      values */
};

/* Values of masks that no class covers. Zero-initialise. */
enum { CLFCN_UNKNOWN_LISTED = 16 };
struct clfcn_unknown {
    struct clfcn_unknown_value {
        bool rgb; /* value is 0xRRGGBB, else gray or a palette index */
        uint32_t value;
        uint64_t pixels;
    } list[CLFCN_UNKNOWN_LISTED]; /* as they were met */
    int count;
    uint64_t pixels; /* of all such values, listed or not */
};

/* Parse a file: a line a class, `NAME VALUES [#RRGGBB]`, numbered from 0 as they come.
 * VALUES are gray values or ranges ("0 7 20-29"), with blanks or commas between them, or
 * colours "r,g,b". `ignore VALUES` names what counts nowhere. A word that starts with '#'
 * and is no colour at the line's end begins a comment.
 *
 * Three numbers up to 255 with commas between them are both: a colour on a colour mask, a
 * list of three values on a gray or palette mask. If that second reading gives a value to
 * two classes, as the colours of a colour map do, only r,g,b with r = g = b counts on a
 * gray mask.
 *
 * CLFCN_EDATA with file and line: a value listed twice, duplicate names, no values, fewer
 * than two classes, more than CLFCN_MAX_CLASSES. On error *out is empty. */
int clfcn_classes_read(const char *path, struct clfcn_classes *out,
                       struct clfcn_err *err);
int clfcn_classes_parse(const char *text, const char *name, struct clfcn_classes *out,
                        struct clfcn_err *err);
void clfcn_classes_free(struct clfcn_classes *c);
/* VALUES alone, for label. name stands for them in messages. Free *rules with free() in
 * every case. CLFCN_EINVAL. */
int clfcn_classes_parse_values(const char *values, const char *name, int label,
                               struct clfcn_class_rule **rules, int *count,
                               struct clfcn_err *err);
/* Let these VALUES, too, count nowhere. CLFCN_EINVAL, and *c is as it was, if one is a
 * class's, which the message names, or if there is none in the text. (classes_edit.c) */
int clfcn_classes_ignore(struct clfcn_classes *c, const char *values,
                         struct clfcn_err *err);
/* A deep copy. */
int clfcn_classes_copy(const struct clfcn_classes *from, struct clfcn_classes *to,
                       struct clfcn_err *err);
/* The text form that parses back to the same; free with free(); NULL if memory is
 * exhausted. */
char *clfcn_classes_to_text(const struct clfcn_classes *c);

/* Turn a mask decoded as CLFCN_AS_MASK into labels [height][width]. An RGB mask of only
 * gray pixels is a gray mask. CLFCN_EDATA names file, pixel and value where no line
 * covers a value. */
int clfcn_classes_apply(const struct clfcn_classes *c, const struct clfcn_image *mask,
                        const char *name, uint8_t *labels, struct clfcn_err *err);
/* The same, but a pixel that no line covers gets CLFCN_IGNORE and is added to *unknown.
 */
int clfcn_classes_survey(const struct clfcn_classes *c, const struct clfcn_image *mask,
                         const char *name, uint8_t *labels, struct clfcn_unknown *unknown,
                         struct clfcn_err *err);
/* Add n pixels of a value, or of as many as there is room for. */
void clfcn_unknown_add(struct clfcn_unknown *u, bool rgb, uint32_t value, uint64_t n);
/* "77", "128,0,255". Returns buf. */
enum { CLFCN_VALUE_LEN = 16 };
const char *clfcn_value_text(const struct clfcn_unknown_value *v,
                             char buf[CLFCN_VALUE_LEN]);

#endif
