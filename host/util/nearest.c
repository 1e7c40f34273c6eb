/* nearest.c - what a mistyped name was most likely meant to be. */
#include "nearest.h"
#include "path.h"
#include "strbuf.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 32 };

static int min(int a, int b)
{
    return a < b ? a : b;
}

static bool same_letter(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Levenshtein distance; both words at most LONGEST long. */
static int edit_distance(const char *a, const char *b)
{
    int row[LONGEST + 1];
    int na = (int)strlen(a), nb = (int)strlen(b);
    for (int j = 0; j <= nb; ++j) {
        row[j] = j;
    }
    for (int i = 1; i <= na; ++i) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= nb; ++j) {
            int above = row[j];
            int replace = diagonal + !same_letter(a[i - 1], b[j - 1]);
            row[j] = min(min(above, row[j - 1]) + 1, replace);
            diagonal = above;
        }
    }
    return row[nb];
}

void clfcn_nearest_offer(struct clfcn_nearest *n, const char *candidate)
{
    size_t len = strlen(n->word);
    if (len > LONGEST || strlen(candidate) > LONGEST) {
        return;
    }
    int d = edit_distance(n->word, candidate);
    if (d <= 1 + (int)len / 3 && (!n->best || d < n->distance)) {
        n->best = candidate;
        n->distance = d;
    }
}

/* Offer all that lies in dir; *names, of *count, are what the candidates point into. */
typedef int (*list_fn)(const char *dir, char ***names, int *count, struct clfcn_err *err);

static void offer_all(struct clfcn_nearest *near, list_fn list, const char *dir,
                      char ***names, int *count)
{
    if (list(dir, names, count, NULL) < 0) {
        return;
    }
    for (int i = 0; i < *count; ++i) {
        clfcn_nearest_offer(near, (*names)[i]);
    }
}

/* dir/NEAREST/rest, if there is such a thing; dir is "" or ends in '/'. */
static char *replace_component(const char *dir, const char *word, const char *rest)
{
    struct clfcn_nearest near = { .word = word };
    struct clfcn_strbuf path = { 0 };
    char **files = NULL, **dirs = NULL;
    int file_count = 0, dir_count = 0;
    offer_all(&near, clfcn_path_list, *dir ? dir : ".", &files, &file_count);
    offer_all(&near, clfcn_path_list_dirs, *dir ? dir : ".", &dirs, &dir_count);
    if (near.best) {
        clfcn_strbuf_add(&path, "%s%s%s", dir, near.best, rest);
        if (path.failed || !clfcn_path_exists(path.str)) {
            clfcn_strbuf_free(&path);
        }
    }
    clfcn_path_list_free(files, file_count);
    clfcn_path_list_free(dirs, dir_count);
    return path.str;
}

char *clfcn_nearest_path(const char *path)
{
    size_t start = strspn(path, "/");
    char *head = strdup(path), *near = NULL;
    while (head && path[start]) {
        const size_t end = start + strcspn(path + start, "/");
        head[end] = '\0'; /* "a/b" of "a/b/c" */
        if (!clfcn_path_exists(head)) {
            char *word = strdup(head + start);
            head[start] = '\0';
            near = word ? replace_component(head, word, path + end) : NULL;
            free(word);
            break;
        }
        head[end] = path[end];
        start = end + strspn(path + end, "/");
    }
    free(head);
    return near;
}
