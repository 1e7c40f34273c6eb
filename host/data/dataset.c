/* dataset.c - pairing images with masks, and decoding a pair. */
#include "dataset.h"
#include "../util/log.h"
#include "../util/path.h"
#include "../util/rng.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct item {
    char *stem;
    char *image, *mask; /* paths; NULL in the demo set, where the number is enough */
};

struct clfcn_dataset {
    struct clfcn_classes classes;
    struct item *items;
    int count;
    bool demo;
};

/* The pictures in one folder, in natural order of their stems. */
struct listing {
    struct listed {
        char *stem, *path;
    } *files;
    int count;
};

static void free_listing(struct listing *l)
{
    for (int i = 0; i < l->count; ++i) {
        free(l->files[i].stem);
        free(l->files[i].path);
    }
    free(l->files);
}

static int compare_stems(const void *a, const void *b)
{
    return clfcn_path_natural_cmp(((const struct listed *)a)->stem,
                                  ((const struct listed *)b)->stem);
}

/* Take the names that this build can read, and tell of the others. */
static int collect(const char *dir, char **names, int count, struct listing *l,
                   struct clfcn_err *err)
{
    int skipped = 0;
    const char *first_skipped = NULL;
    l->files = calloc((size_t)count + 1, sizeof *l->files);
    if (!l->files) {
        return clfcn_err_nomem(err);
    }
    for (int i = 0; i < count; ++i) {
        if (!clfcn_image_name_ok(names[i])) {
            first_skipped = skipped++ ? first_skipped : names[i];
            continue;
        }
        struct listed *file = &l->files[l->count++];
        file->stem = clfcn_path_stem(names[i]);
        file->path = clfcn_path_join(dir, names[i]);
        if (!file->stem || !file->path) {
            return clfcn_err_nomem(err);
        }
    }
    if (l->count == 0 && skipped && clfcn_image_name_is_jpeg(first_skipped)) {
        return clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "%s: no PNG image, and this build of clfcn reads no JPEG; build it "
            "with libjpeg-turbo or convert the files to PNG",
            dir);
    }
    if (skipped) {
        clfcn_warn(
            "%s: %d file%s ignored, '%s' for one: the name is not that of an image this "
            "build reads",
            dir, skipped, skipped == 1 ? "" : "s", first_skipped);
    }
    return CLFCN_OK;
}

static int list_folder(const char *dir, struct listing *l, struct clfcn_err *err)
{
    char **names = NULL;
    int count = 0, rc;
    if (!clfcn_path_is_dir(dir)) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "%s: no such folder", dir);
    }
    rc = clfcn_path_list(dir, &names, &count, err);
    if (rc < 0) {
        return clfcn_input_error(rc, err);
    }
    rc = collect(dir, names, count, l, err);
    clfcn_path_list_free(names, count);
    if (rc < 0) {
        return rc;
    }
    qsort(l->files, (size_t)l->count, sizeof *l->files, compare_stems);
    for (int i = 1; i < l->count; ++i) {
        if (strcmp(l->files[i - 1].stem, l->files[i].stem) == 0) {
            return clfcn_err_set(
                err, CLFCN_EDATA, 0,
                "%s and %s: two files with the stem '%s'; images and masks are "
                "paired by stem, so rename or remove one",
                l->files[i - 1].path, l->files[i].path, l->files[i].stem);
        }
    }
    return CLFCN_OK;
}

/* The files of a without partner in b: the first, or NULL, and how many. */
static const char *find_unpaired(const struct listing *a, const struct listing *b,
                                 int *count)
{
    const char *first = NULL;
    *count = 0;
    for (int i = 0, j = 0; i < a->count; ++i) {
        int order = -1;
        while (j < b->count && (order = compare_stems(&a->files[i], &b->files[j])) > 0) {
            ++j;
        }
        if (j == b->count || order != 0) {
            first = (*count)++ ? first : a->files[i].path;
        }
    }
    return first;
}

static int check_paired(const struct listing *a, const char *kind, const char *other_kind,
                        const struct listing *b, const char *other_dir,
                        struct clfcn_err *err)
{
    int count;
    const char *first = find_unpaired(a, b, &count);
    if (!first) {
        return CLFCN_OK;
    }
    char more[64] = "";
    if (count > 1) {
        snprintf(more, sizeof more, " (and %d more %ss have none)", count - 1, kind);
    }
    return clfcn_err_set(
        err, CLFCN_EDATA, 0,
        "%s: this %s has no %s of the same stem in %s%s; add or remove files "
        "so that they match",
        first, kind, other_kind, other_dir, more);
}

/* Move the paths of the two listings, which match one by one, into the set. */
static int take_pairs(struct clfcn_dataset *set, struct listing *images,
                      struct listing *masks, struct clfcn_err *err)
{
    set->items = calloc((size_t)images->count, sizeof *set->items);
    if (!set->items) {
        return clfcn_err_nomem(err);
    }
    set->count = images->count;
    for (int i = 0; i < set->count; ++i) {
        set->items[i].stem = images->files[i].stem;
        set->items[i].image = images->files[i].path;
        set->items[i].mask = masks->files[i].path;
        images->files[i] = (struct listed){ NULL, NULL };
        masks->files[i].path = NULL;
    }
    return CLFCN_OK;
}

static int pair_folders(struct clfcn_dataset *set, const char *image_dir,
                        const char *mask_dir, struct clfcn_err *err)
{
    struct listing images = { NULL, 0 }, masks = { NULL, 0 };
    int rc = list_folder(image_dir, &images, err);
    if (rc == CLFCN_OK && images.count == 0) {
        rc = clfcn_err_set(err, CLFCN_EDATA, 0, "%s: no image in this folder", image_dir);
    }
    if (rc == CLFCN_OK) {
        rc = list_folder(mask_dir, &masks, err);
    }
    if (rc == CLFCN_OK) {
        rc = check_paired(&images, "image", "mask", &masks, mask_dir, err);
    }
    if (rc == CLFCN_OK) {
        rc = check_paired(&masks, "mask", "image", &images, image_dir, err);
    }
    if (rc == CLFCN_OK) {
        rc = take_pairs(set, &images, &masks, err);
    }
    free_listing(&images);
    free_listing(&masks);
    return rc;
}

static int open_demo(struct clfcn_dataset *set, struct clfcn_err *err)
{
    const int rc = clfcn_demo_classes(&set->classes, err);
    if (rc < 0) {
        return rc;
    }
    set->demo = true;
    set->items = calloc(CLFCN_DEMO_COUNT, sizeof *set->items);
    if (!set->items) {
        return clfcn_err_nomem(err);
    }
    set->count = CLFCN_DEMO_COUNT;
    for (int i = 0; i < set->count; ++i) {
        char stem[32];
        snprintf(stem, sizeof stem, "demo-%04d", i);
        set->items[i].stem = strdup(stem);
        if (!set->items[i].stem) {
            return clfcn_err_nomem(err);
        }
    }
    return CLFCN_OK;
}

int clfcn_dataset_open_paths(const char *images, const char *masks, const char *classes,
                             struct clfcn_dataset **out, struct clfcn_err *err)
{
    struct clfcn_dataset *set = calloc(1, sizeof *set);
    *out = NULL;
    if (!set) {
        return clfcn_err_nomem(err);
    }
    int rc = pair_folders(set, images, masks, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_classes_read(classes, &set->classes, err);
    }
    if (rc < 0) {
        clfcn_dataset_destroy(&set);
    }
    *out = set;
    return rc;
}

static int open_folder(const char *dir, struct clfcn_dataset **out, struct clfcn_err *err)
{
    char *images = clfcn_path_join(dir, "images");
    char *masks = clfcn_path_join(dir, "masks");
    char *classes = clfcn_path_join(dir, "classes.txt");
    const int rc = images && masks && classes
                       ? clfcn_dataset_open_paths(images, masks, classes, out, err)
                       : clfcn_err_nomem(err);
    free(images);
    free(masks);
    free(classes);
    return rc;
}

int clfcn_dataset_open(const char *dir, struct clfcn_dataset **out, struct clfcn_err *err)
{
    *out = NULL;
    if (strcmp(dir, "demo") != 0) {
        if (clfcn_path_is_dir(dir)) {
            return open_folder(dir, out, err);
        }
        return clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "%s: no such folder; a data set is a folder with images/, masks/ "
            "and classes.txt, or 'demo' for the built-in set",
            dir);
    }
    struct clfcn_dataset *set = calloc(1, sizeof *set);
    if (!set) {
        return clfcn_err_nomem(err);
    }
    const int rc = open_demo(set, err);
    if (rc < 0) {
        clfcn_dataset_destroy(&set);
    }
    *out = set;
    return rc;
}

void clfcn_dataset_destroy(struct clfcn_dataset **set)
{
    if (!set || !*set) {
        return;
    }
    for (int i = 0; i < (*set)->count; ++i) {
        free((*set)->items[i].stem);
        free((*set)->items[i].image);
        free((*set)->items[i].mask);
    }
    free((*set)->items);
    clfcn_classes_free(&(*set)->classes);
    free(*set);
    *set = NULL;
}

int clfcn_dataset_size(const struct clfcn_dataset *set)
{
    return set->count;
}

int clfcn_dataset_classes(const struct clfcn_dataset *set)
{
    return set->classes.count;
}

const char *clfcn_dataset_class_name(const struct clfcn_dataset *set, int c)
{
    return set->classes.list[c].name;
}

const char *clfcn_dataset_item_name(const struct clfcn_dataset *set, int i)
{
    return set->items[i].stem;
}

const struct clfcn_classes *clfcn_dataset_get_classes(const struct clfcn_dataset *set)
{
    return &set->classes;
}

void clfcn_pair_free(struct clfcn_pair *pair)
{
    if (pair) {
        clfcn_image_free(&pair->image);
        free(pair->labels);
        pair->labels = NULL;
    }
}

static int read_mask(const struct clfcn_dataset *set, int i, uint8_t **labels, int *width,
                     int *height, struct clfcn_err *err)
{
    const char *path = set->items[i].mask;
    struct clfcn_image mask;
    *labels = NULL;
    int rc = clfcn_image_read(path, CLFCN_AS_MASK, &mask, err);
    if (rc < 0) {
        return rc;
    }
    *width = mask.width;
    *height = mask.height;
    *labels = malloc((size_t)mask.width * (size_t)mask.height);
    rc = *labels ? clfcn_classes_apply(&set->classes, &mask, path, *labels, err)
                 : clfcn_err_nomem(err);
    clfcn_image_free(&mask);
    if (rc < 0) {
        free(*labels);
        *labels = NULL;
    }
    return rc;
}

int clfcn_dataset_read(const struct clfcn_dataset *set, int i, struct clfcn_pair *out,
                       struct clfcn_err *err)
{
    int width, height, rc;
    *out = (struct clfcn_pair){ 0 };
    if (set->demo) {
        return clfcn_demo_draw(i, out, err);
    }
    rc = clfcn_image_read(set->items[i].image, CLFCN_AS_RGB, &out->image, err);
    if (rc == CLFCN_OK) {
        rc = read_mask(set, i, &out->labels, &width, &height, err);
    }
    if (rc == CLFCN_OK && (width != out->image.width || height != out->image.height)) {
        rc = clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "%s: the image is %dx%d pixels, but its mask %s is %dx%d; the two "
            "must have the same size",
            set->items[i].image, out->image.width, out->image.height, set->items[i].mask,
            width, height);
    }
    if (rc < 0) {
        clfcn_pair_free(out);
    }
    return rc;
}

int clfcn_dataset_read_labels(const struct clfcn_dataset *set, int i, uint8_t **labels,
                              int *width, int *height, struct clfcn_err *err)
{
    if (!set->demo) {
        return read_mask(set, i, labels, width, height, err);
    }
    struct clfcn_pair pair;
    const int rc = clfcn_demo_draw(i, &pair, err);
    *labels = pair.labels;
    *width = pair.image.width;
    *height = pair.image.height;
    clfcn_image_free(&pair.image);
    return rc;
}

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

int clfcn_split(int n, double fraction, uint64_t seed, int **train, int *train_count,
                int **val, int *val_count, struct clfcn_err *err)
{
    struct clfcn_rng rng;
    int taken = 0;
    *train = NULL;
    *val = NULL;
    *train_count = 0;
    *val_count = 0;
    if (!(fraction >= 0.0 && fraction < 1.0) || n < 0) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "the validation fraction is %g; it must be at least 0 and below 1", fraction);
    }
    if (fraction > 0.0) {
        taken = (int)floor(fraction * n + 0.5);
        taken = taken > 0 ? taken : 1;
    }
    if (taken >= n) {
        return clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "%d image%s, and %d of them for validation: none is left for "
            "training; add images or lower the validation fraction",
            n, n == 1 ? "" : "s", taken);
    }
    int *order = malloc((size_t)n * sizeof *order);
    *train = malloc((size_t)n * sizeof **train);
    *val = malloc((size_t)n * sizeof **val);
    if (!order || !*train || !*val) {
        free(order);
        free(*train);
        free(*val);
        *train = NULL;
        *val = NULL;
        return clfcn_err_nomem(err);
    }
    for (int i = 0; i < n; ++i) {
        order[i] = i;
    }
    clfcn_rng_init(&rng, seed, "split", 0, 0);
    clfcn_rng_shuffle(&rng, order, n);
    *val_count = taken;
    *train_count = n - taken;
    memcpy(*val, order, (size_t)taken * sizeof **val);
    memcpy(*train, order + taken, (size_t)*train_count * sizeof **train);
    qsort(*val, (size_t)*val_count, sizeof **val, compare_ints);
    qsort(*train, (size_t)*train_count, sizeof **train, compare_ints);
    free(order);
    return CLFCN_OK;
}
