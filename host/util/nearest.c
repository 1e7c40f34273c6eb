/* nearest.c - what a mistyped name was most likely meant to be. */
#include "nearest.h"
#include <string.h>

enum { LONGEST = 32 };

static int min(int a, int b)
{
    return a < b ? a : b;
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
            int replace = diagonal + (a[i - 1] != b[j - 1]);
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
