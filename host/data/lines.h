/* lines.h - text files that hold an entry a line. */
#ifndef CLFCN_DATA_LINES_H
#define CLFCN_DATA_LINES_H

#include "../util/err.h"

struct clfcn_line {
    char *text; /* without blanks or a carriage return at its ends; never empty */
    int number; /* in the file, from 1 */
};

/* The lines of a file but empty ones and those that begin with '#'. */
struct clfcn_lines {
    struct clfcn_line *list;
    int count;
    char *text; /* what the lines point into */
};

/* CLFCN_EDATA if the file is unreadable, no text, or larger than 64 MiB. Free with
 * clfcn_lines_free() in every case. */
int clfcn_lines_read(const char *path, struct clfcn_lines *out, struct clfcn_err *err);
void clfcn_lines_free(struct clfcn_lines *lines);

#endif
