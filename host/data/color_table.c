/* color_table.c - colour tables such as CamVid's, turned into the text of a classes.txt
 * of the same line numbers, so that errors name the line of the table. */
#include "../util/strbuf.h"
#include "format.h"
#include "lines.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_FIELDS = 32 };

/* What stands for pixels that nobody labelled, in any case. */
static const char *const ignored[] = { "void", "unlabelled", "unlabeled", "ignore" };

struct row {
    char *fields[MAX_FIELDS];
    int count; /* more than MAX_FIELDS: the others are not kept */
};

/* Cut at blanks and punctuation, in place. */
static void cut_fields(char *text, struct row *row)
{
    char *state = NULL;
    row->count = 0;
    for (char *word = strtok_r(text, " \t,;:\"", &state); word;
         word = strtok_r(NULL, " \t,;:\"", &state)) {
        if (row->count < MAX_FIELDS) {
            row->fields[row->count] = word;
        }
        ++row->count;
    }
}

/* Of what a table's columns mean: no field is a number. */
static bool is_header(const struct row *row)
{
    for (int i = 0; i < row->count && i < MAX_FIELDS; ++i) {
        if (row->fields[i][strspn(row->fields[i], "0123456789")] == '\0') {
            return false;
        }
    }
    return true;
}

/* Whether three fields from `at` are a colour. */
static bool parse_color(const struct row *row, int at, unsigned color[3])
{
    if (at < 0 || row->count < at + 3) {
        return false;
    }
    for (int i = 0; i < 3; ++i) {
        char *end;
        const char *s = row->fields[at + i];
        const unsigned long v = strtoul(s, &end, 10);
        if (*s < '0' || *s > '9' || *end || v > 255) {
            return false;
        }
        color[i] = (unsigned)v;
    }
    return true;
}

static bool is_ignored(const char *name)
{
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; ++i) {
        if (strcasecmp(name, ignored[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* One line of classes.txt; false if the row is no class. */
static bool convert(const struct row *row, struct clfcn_strbuf *name,
                    struct clfcn_strbuf *text)
{
    unsigned c[3];
    if (row->count < 4 || row->count > MAX_FIELDS) {
        return false;
    }
    const bool first = parse_color(row, 0, c);
    if (!first && !parse_color(row, row->count - 3, c)) {
        return false;
    }
    for (int i = 0; i < row->count - 3; ++i) {
        clfcn_strbuf_add(name, "%s%s", i ? "_" : "", row->fields[first ? i + 3 : i]);
    }
    if (name->failed || *name->str == '#') {
        return false;
    }
    clfcn_strbuf_add(text, "%s %u,%u,%u #%02x%02x%02x",
                     is_ignored(name->str) ? "ignore" : name->str, c[0], c[1], c[2], c[0],
                     c[1], c[2]);
    return true;
}

static int convert_all(const struct clfcn_lines *lines, const char *path,
                       struct clfcn_strbuf *text, struct clfcn_err *err)
{
    int at = 1;
    for (int i = 0; i < lines->count; ++i) {
        struct clfcn_strbuf name = { 0 };
        struct row row;
        for (; at < lines->list[i].number; ++at) {
            clfcn_strbuf_add(text, "\n");
        }
        cut_fields(lines->list[i].text, &row);
        const bool is_class = convert(&row, &name, text);
        const bool failed = name.failed || text->failed;
        clfcn_strbuf_free(&name);
        if (failed) {
            return clfcn_err_nomem(err);
        }
        if (!is_class && (i > 0 || !is_header(&row))) {
            return clfcn_err_set(err, CLFCN_EDATA, 0,
                                 "%s:%d: neither 'R G B NAME' nor 'name,r,g,b', with "
                                 "numbers up to 255",
                                 path, lines->list[i].number);
        }
    }
    return CLFCN_OK;
}

int clfcn_color_table_read(const char *path, struct clfcn_classes *out,
                           struct clfcn_err *err)
{
    struct clfcn_lines lines;
    struct clfcn_strbuf text = { 0 };
    *out = (struct clfcn_classes){ 0 };
    int rc = clfcn_lines_read(path, &lines, err);
    if (rc == CLFCN_OK) {
        rc = convert_all(&lines, path, &text, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_classes_parse(text.str ? text.str : "", path, out, err);
        out->built_in = true;
    }
    clfcn_strbuf_free(&text);
    clfcn_lines_free(&lines);
    return rc;
}
