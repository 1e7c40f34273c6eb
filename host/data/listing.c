/* listing.c - the pictures in one folder, found by their stems. */
#include "listing.h"
#include "../util/log.h"
#include "../util/path.h"
#include "image.h"
#include <stdlib.h>
#include <string.h>

void clfcn_listing_free(struct clfcn_listing *l)
{
    for (int i = 0; i < l->count; ++i) {
        free(l->files[i].stem);
        free(l->files[i].path);
    }
    free(l->files);
    *l = (struct clfcn_listing){ 0 };
}

static int compare_stems(const void *a, const void *b)
{
    return clfcn_path_natural_cmp(((const struct clfcn_listed *)a)->stem,
                                  ((const struct clfcn_listed *)b)->stem);
}

static void cut_suffix(char *stem, const char *suffix)
{
    const size_t n = strlen(stem), m = strlen(suffix);
    if (n > m && strcmp(stem + n - m, suffix) == 0) {
        stem[n - m] = '\0';
    }
}

/* Take the names that this build can read, and tell of the others. */
static int collect(const char *dir, const char *suffix, char **names, int count,
                   struct clfcn_listing *l, struct clfcn_err *err)
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
        struct clfcn_listed *file = &l->files[l->count++];
        file->stem = clfcn_path_stem(names[i]);
        file->path = clfcn_path_join(dir, names[i]);
        if (!file->stem || !file->path) {
            return clfcn_err_nomem(err);
        }
        cut_suffix(file->stem, suffix);
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

int clfcn_listing_read(const char *dir, const char *suffix, struct clfcn_listing *out,
                       struct clfcn_err *err)
{
    char **names = NULL;
    int count = 0, rc;
    *out = (struct clfcn_listing){ 0 };
    bool found = false;
    rc = clfcn_path_find(dir, &found, err);
    if (rc == CLFCN_OK && !found) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "%s: no such folder", dir);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_path_list(dir, &names, &count, err);
    }
    if (rc < 0) {
        return clfcn_input_error(rc, err);
    }
    rc = collect(dir, suffix ? suffix : "", names, count, out, err);
    clfcn_path_list_free(names, count);
    if (rc < 0) {
        return rc;
    }
    qsort(out->files, (size_t)out->count, sizeof *out->files, compare_stems);
    for (int i = 1; i < out->count; ++i) {
        if (strcmp(out->files[i - 1].stem, out->files[i].stem) == 0) {
            return clfcn_err_set(
                err, CLFCN_EDATA, 0,
                "%s and %s: two files with the stem '%s'; images and masks are "
                "paired by stem, so rename or remove one",
                out->files[i - 1].path, out->files[i].path, out->files[i].stem);
        }
    }
    return CLFCN_OK;
}

const struct clfcn_listed *clfcn_listing_find(const struct clfcn_listing *l,
                                              const char *stem)
{
    int lo = 0, hi = l->count;
    while (lo < hi) {
        const int mid = lo + (hi - lo) / 2;
        const int order = clfcn_path_natural_cmp(stem, l->files[mid].stem);
        if (order == 0) {
            return &l->files[mid];
        }
        if (order < 0) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    return NULL;
}
