/* source_demo.c - the built-in set, drawn when it is read. */
#include "../util/hash.h"
#include "source.h"
#include <stdio.h>
#include <stdlib.h>

int clfcn_source_open_demo(struct clfcn_dataset *set, struct clfcn_err *err)
{
    set->source = &clfcn_source_demo;
    set->format = "demo";
    set->why = "the built-in set";
    int rc = clfcn_demo_classes(&set->found.classes, err);
    for (int i = 0; i < CLFCN_DEMO_COUNT && rc == CLFCN_OK; ++i) {
        char name[32];
        snprintf(name, sizeof name, "demo-%04d", i);
        rc = clfcn_found_add(&set->found, name, name, name, CLFCN_PART_ANY, err);
    }
    return rc;
}

static int survey(const struct clfcn_dataset *set, int i, struct clfcn_pair *out,
                  struct clfcn_unknown *unknown, struct clfcn_err *err)
{
    return clfcn_demo_draw(i, out, err);
}

static int read_labels(const struct clfcn_dataset *set, int i, uint8_t **labels,
                       int *width, int *height, struct clfcn_err *err)
{
    struct clfcn_pair pair;
    const int rc = clfcn_demo_draw(i, &pair, err);
    *labels = pair.labels;
    *width = pair.image.width;
    *height = pair.image.height;
    clfcn_image_free(&pair.image);
    return rc;
}

static int hash(const struct clfcn_dataset *set, int i, uint64_t *hash,
                struct clfcn_err *err)
{
    *hash = clfcn_hash_str(CLFCN_HASH_INIT, set->found.items[i].name);
    return CLFCN_OK;
}

const struct clfcn_source clfcn_source_demo = { survey, read_labels, hash };
