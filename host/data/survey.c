/* survey.c - what is in a data set, and what is wrong with it: every pair decoded once.
 */
#include "survey.h"
#include "../util/thread.h"
#include <stdlib.h>

/* Runs on several threads, one item each. */
static void examine(void *arg, int i)
{
    struct clfcn_survey *s = arg;
    struct clfcn_survey_item *item = &s->items[i];
    struct clfcn_pair pair = { 0 };
    item->pixels = calloc((size_t)s->classes + 1, sizeof *item->pixels);
    item->rc = item->pixels ? clfcn_dataset_hash(s->set, i, &item->hash, &item->err)
                            : clfcn_err_nomem(&item->err);
    if (item->rc == CLFCN_OK) {
        item->rc = clfcn_dataset_survey(s->set, i, &pair, &item->unknown, &item->err);
    }
    if (item->rc < 0) {
        return;
    }
    item->width = pair.image.width;
    item->height = pair.image.height;
    const size_t pixels = (size_t)item->width * (size_t)item->height;
    for (size_t p = 0; p < pixels; ++p) {
        const int label = pair.labels[p];
        ++item->pixels[label == CLFCN_IGNORE ? s->classes : label];
    }
    item->pixels[s->classes] -= item->unknown.pixels; /* were labelled so, too */
    clfcn_pair_free(&pair);
}

static void add_up(struct clfcn_survey *s, int i)
{
    const struct clfcn_survey_item *item = &s->items[i];
    for (int c = 0; c <= s->classes; ++c) {
        s->pixels[c] += item->pixels[c];
    }
    if (item->unknown.pixels == 0) {
        return;
    }
    uint64_t listed = 0;
    for (int k = 0; k < item->unknown.count; ++k) {
        const struct clfcn_unknown_value *v = &item->unknown.list[k];
        clfcn_unknown_add(&s->unknown, v->rgb, v->value, v->pixels);
        listed += v->pixels;
    }
    s->unknown.pixels += item->unknown.pixels - listed;
    s->first_unknown = s->unknown_masks++ ? s->first_unknown : i;
}

static int compare_ints(const void *a, const void *b)
{
    const int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Smallest, middle and largest of n numbers; zeros if there is none. Sorts them. */
static void spread(int *v, int n, int out[3])
{
    if (n > 0) {
        qsort(v, (size_t)n, sizeof *v, compare_ints);
        out[0] = v[0];
        out[1] = v[n / 2];
        out[2] = v[n - 1];
    }
}

static int sum(struct clfcn_survey *s, struct clfcn_err *err)
{
    int *widths = calloc((size_t)s->count + 1, sizeof *widths);
    int *heights = calloc((size_t)s->count + 1, sizeof *heights);
    int rc = widths && heights ? CLFCN_OK : clfcn_err_nomem(err);
    for (int i = 0; i < s->count && rc == CLFCN_OK; ++i) {
        const struct clfcn_survey_item *item = &s->items[i];
        if (item->rc == CLFCN_OK) {
            widths[s->sound] = item->width;
            heights[s->sound++] = item->height;
            add_up(s, i);
        } else if (item->rc != CLFCN_EDATA && item->rc != CLFCN_EIO) {
            *err = item->err;
            rc = item->rc;
        }
    }
    if (rc == CLFCN_OK) {
        spread(widths, s->sound, s->width);
        spread(heights, s->sound, s->height);
    }
    free(widths);
    free(heights);
    return rc;
}

struct hashed {
    uint64_t hash;
    int item;
};

static int compare_hashed(const void *a, const void *b)
{
    const struct hashed *x = a, *y = b;
    if (x->hash != y->hash) {
        return x->hash < y->hash ? -1 : 1;
    }
    return x->item - y->item;
}

static int compare_twins(const void *a, const void *b)
{
    const struct clfcn_twins *x = a, *y = b;
    if (x->across != y->across) {
        return x->across ? -1 : 1;
    }
    return x->b - y->b;
}

static void note_twins(struct clfcn_survey *s, int a, int b)
{
    const enum clfcn_part pa = clfcn_dataset_part(s->set, a);
    const enum clfcn_part pb = clfcn_dataset_part(s->set, b);
    const bool across = clfcn_dataset_has_split(s->set) &&
                        (pa == CLFCN_PART_VAL) != (pb == CLFCN_PART_VAL);
    s->twins[s->twin_count++] = (struct clfcn_twins){ a, b, across };
    s->twins_across += across;
}

/* Each file with the first of the same content. */
static int find_twins(struct clfcn_survey *s, struct clfcn_err *err)
{
    struct hashed *list = calloc((size_t)s->count + 1, sizeof *list);
    s->twins = calloc((size_t)s->count + 1, sizeof *s->twins);
    int n = 0, first = 0;
    if (!list || !s->twins) {
        free(list);
        return clfcn_err_nomem(err);
    }
    for (int i = 0; i < s->count; ++i) {
        if (s->items[i].rc == CLFCN_OK) {
            list[n++] = (struct hashed){ s->items[i].hash, i };
        }
    }
    qsort(list, (size_t)n, sizeof *list, compare_hashed);
    for (int i = 1; i < n; ++i) {
        if (list[i].hash != list[first].hash) {
            first = i;
        } else {
            note_twins(s, list[first].item, list[i].item);
        }
    }
    qsort(s->twins, (size_t)s->twin_count, sizeof *s->twins, compare_twins);
    free(list);
    return CLFCN_OK;
}

int clfcn_survey_run(const struct clfcn_dataset *set, struct clfcn_survey *out,
                     struct clfcn_err *err)
{
    *out = (struct clfcn_survey){ .set = set,
                                  .classes = clfcn_dataset_classes(set),
                                  .count = clfcn_dataset_size(set) };
    out->items = calloc((size_t)out->count + 1, sizeof *out->items);
    out->pixels = calloc((size_t)out->classes + 1, sizeof *out->pixels);
    if (!out->items || !out->pixels) {
        return clfcn_err_nomem(err);
    }
    clfcn_parallel_for(out->count, clfcn_cpu_count(), examine, out);
    const int rc = sum(out, err);
    return rc < 0 ? rc : find_twins(out, err);
}

void clfcn_survey_free(struct clfcn_survey *s)
{
    for (int i = 0; s->items && i < s->count; ++i) {
        free(s->items[i].pixels);
    }
    free(s->items);
    free(s->pixels);
    free(s->twins);
    *s = (struct clfcn_survey){ 0 };
}
