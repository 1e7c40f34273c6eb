/* lines.c - text files that hold an entry a line. */
#include "lines.h"
#include "../util/file.h"
#include "image.h"
#include <stdlib.h>
#include <string.h>

#define MAX_TEXT ((size_t)64 << 20)

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* Cut text into lines, in place. */
static void cut(struct clfcn_lines *lines)
{
    char *s = lines->text;
    if (strncmp(s, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark */
        s += 3;
    }
    for (int number = 1; s; ++number) {
        char *end = strchr(s, '\n'), *next = end ? end + 1 : NULL;
        end = end ? end : s + strlen(s);
        while (s < end && is_blank(*s)) {
            ++s;
        }
        while (end > s && is_blank(end[-1])) {
            --end;
        }
        *end = '\0';
        if (*s && *s != '#') {
            lines->list[lines->count++] = (struct clfcn_line){ s, number };
        }
        s = next;
    }
}

int clfcn_lines_read(const char *path, struct clfcn_lines *out, struct clfcn_err *err)
{
    size_t size = 0, most = 1;
    *out = (struct clfcn_lines){ 0 };
    const int rc = clfcn_file_read(path, MAX_TEXT, &out->text, &size, err);
    if (rc < 0) {
        return clfcn_input_error(rc, err);
    }
    if (strlen(out->text) != size) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "%s: not a text file", path);
    }
    for (const char *s = out->text; (s = strchr(s, '\n')); ++s) {
        ++most;
    }
    out->list = calloc(most, sizeof *out->list);
    if (!out->list) {
        return clfcn_err_nomem(err);
    }
    cut(out);
    return CLFCN_OK;
}

void clfcn_lines_free(struct clfcn_lines *lines)
{
    free(lines->list);
    free(lines->text);
    *lines = (struct clfcn_lines){ 0 };
}
