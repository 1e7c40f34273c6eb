/* choice.h - measured choices: which algorithm was fastest, and right, for a pass of a
 * convolution on a device; kept between runs in cache_dir/tuning/HASH.json, one file a
 * device. */
#ifndef CLFCN_OPS_CHOICE_H
#define CLFCN_OPS_CHOICE_H

#include "conv.h"
#include <jansson.h>

/* One measurement: what was asked, then what it gave. */
struct clfcn_choice {
    struct clfcn_conv_shape shape;
    enum clfcn_pass pass;
    enum clfcn_gemm_kind gemm; /* what --gemm allowed: auto is no choice for native */
    char algorithm[CLFCN_CONV_NAME];
    double ms;    /* median of a run */
    double error; /* relative, in the 2-norm, against float64 */
};

/* Zero-initialised is empty: the defaults everywhere. */
struct clfcn_choices {
    struct clfcn_choice *list;
    int count;
    double peak_gflops; /* of the device, by peak.h; 0 where it was not measured */
    bool first_look; /* of clfcn_tune_first() only, which does it again if it is stale */
};

void clfcn_choices_free(struct clfcn_choices *choices);

bool clfcn_conv_shape_equal(const struct clfcn_conv_shape *a,
                            const struct clfcn_conv_shape *b);

/* NULL if there is none; choices may be NULL. Borrowed until choices change. */
const struct clfcn_choice *clfcn_choices_find(const struct clfcn_choices *choices,
                                              const struct clfcn_conv_shape *shape,
                                              enum clfcn_pass pass,
                                              enum clfcn_gemm_kind gemm);

/* Add choice, or put it in the place of the one for the same shape, pass and gemm. */
int clfcn_choices_set(struct clfcn_choices *choices, const struct clfcn_choice *choice,
                      struct clfcn_err *err);

/* Take out the one for this shape, pass and gemm, if there is one. */
void clfcn_choices_remove(struct clfcn_choices *choices,
                          const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                          enum clfcn_gemm_kind gemm);

/* The choices, what they depend on, and a check sum. A new reference, or NULL if memory
 * is exhausted. */
json_t *clfcn_choices_to_json(const struct clfcn_choices *choices,
                              const struct clfcn_dev *dev);
/* The opposite. CLFCN_EDATA if json is damaged, or of another device, driver, CLBlast or
 * set of kernels than dev's: the message names what differs, and out has no choice. */
int clfcn_choices_from_json(const json_t *json, const struct clfcn_dev *dev,
                            struct clfcn_choices *out, struct clfcn_err *err);

/* What is stored for dev; nothing if there is no file. A file that is of no use counts as
 * none, and one message at level says why and what to do, unless it is a first look's. */
void clfcn_choices_load(const struct clfcn_dev *dev, enum clfcn_log_level level,
                        struct clfcn_choices *out);
/* Replace the file of dev, atomically. */
int clfcn_choices_save(const struct clfcn_choices *choices, const struct clfcn_dev *dev,
                       struct clfcn_err *err);
/* Whether there is a file for dev, of use or not; a first look's only if it is. One that
 * is damaged, or another user's, is told by a warning and counts as none: it is to be
 * made anew. */
bool clfcn_choices_stored(const struct clfcn_dev *dev);
/* The name of that file, its folder created; a new string. */
int clfcn_choices_path(const struct clfcn_dev *dev, char **path, struct clfcn_err *err);

#endif
