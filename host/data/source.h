/* source.h - where the pictures of a data set come from: files, the drawn demo set, or
 * memory; a source_*.c file each. */
#ifndef CLFCN_DATA_SOURCE_H
#define CLFCN_DATA_SOURCE_H

#include "format.h"

/* One static table a kind; every slot is required, and thread-safe. They do what
 * clfcn_dataset_survey(), _read_labels() and _hash() say; item i exists. */
struct clfcn_source {
    int (*survey)(const struct clfcn_dataset *set, int i, struct clfcn_pair *out,
                  struct clfcn_unknown *unknown, struct clfcn_err *err);
    int (*read_labels)(const struct clfcn_dataset *set, int i, uint8_t **labels,
                       int *width, int *height, struct clfcn_err *err);
    int (*hash)(const struct clfcn_dataset *set, int i, uint64_t *hash,
                struct clfcn_err *err);
};

extern const struct clfcn_source clfcn_source_files, clfcn_source_demo,
    clfcn_source_memory;

struct clfcn_dataset {
    const struct clfcn_source *source;
    struct clfcn_found found;
    const char *format;              /* "demo", "memory", or of the table's row */
    const char *why;                 /* what it was recognised by */
    int parts[3];                    /* items of each enum clfcn_part */
    struct clfcn_labelled *pictures; /* of memory: [found.count] with borrowed pixels */
};

/* Fill the set with the items and classes of the demo set. (source_demo.c) */
int clfcn_source_open_demo(struct clfcn_dataset *set, struct clfcn_err *err);
/* Or with these. (source_memory.c) */
int clfcn_source_open_memory(struct clfcn_dataset *set, const char *const *class_names,
                             int classes, const struct clfcn_labelled *pictures,
                             int count, struct clfcn_err *err);

#endif
