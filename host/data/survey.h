/* survey.h - what is in a data set, and what is wrong with it: every pair decoded once.
 */
#ifndef CLFCN_DATA_SURVEY_H
#define CLFCN_DATA_SURVEY_H

#include "dataset.h"

/* What was found out of one pair. */
struct clfcn_survey_item {
    int rc; /* CLFCN_OK, or why it cannot be read, with err */
    struct clfcn_err err;
    int width, height;
    uint64_t hash;    /* of the picture's file */
    uint64_t *pixels; /* [classes + 1]: of each class, then of those ignored */
    struct clfcn_unknown unknown; /* those that no class covers */
};

/* Two items whose picture files have the same content. */
struct clfcn_twins {
    int a, b;
    bool across; /* one is for training, the other for validation */
};

struct clfcn_survey {
    const struct clfcn_dataset *set; /* borrowed */
    int classes, count;
    int sound;                       /* items that could be read; their sums follow */
    struct clfcn_survey_item *items; /* [count] */
    int width[3], height[3];         /* smallest, middle, largest */
    uint64_t *pixels;                /* [classes + 1] */
    struct clfcn_unknown unknown;
    int unknown_masks, first_unknown; /* how many masks have such values; the first */
    struct clfcn_twins *twins;
    int twin_count, twins_across;
};

/* Decode every pair of the set, on all processors. Items that are bad input are part of
 * the result; any other error is returned. Free with clfcn_survey_free() in every case.
 */
int clfcn_survey_run(const struct clfcn_dataset *set, struct clfcn_survey *out,
                     struct clfcn_err *err);
void clfcn_survey_free(struct clfcn_survey *s);

/* Draw up to 24 of its pairs, evenly spread over the set, beside the same with the
 * classes' colours over them, and a legend with each class's share of pixels, into a PNG
 * file. (sheet.c) */
int clfcn_survey_draw(const struct clfcn_survey *s, const char *path,
                      struct clfcn_err *err);

#endif
