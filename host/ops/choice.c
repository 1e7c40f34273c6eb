#include "choice.h"

#include "../util/log.h"
#include "../util/path.h"
#include "stored.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT = 1 };

void clfcn_choices_free(struct clfcn_choices *choices)
{
    free(choices->list);
    *choices = (struct clfcn_choices){ 0 };
}

bool clfcn_conv_shape_equal(const struct clfcn_conv_shape *a,
                            const struct clfcn_conv_shape *b)
{
    return a->in == b->in && a->out == b->out && a->kernel == b->kernel && a->n == b->n &&
           a->h == b->h && a->w == b->w && a->transposed == b->transposed;
}

const struct clfcn_choice *clfcn_choices_find(const struct clfcn_choices *choices,
                                              const struct clfcn_conv_shape *shape,
                                              enum clfcn_pass pass,
                                              enum clfcn_gemm_kind gemm)
{
    for (int i = 0; choices && i < choices->count; ++i) {
        const struct clfcn_choice *c = &choices->list[i];
        if (c->pass == pass && c->gemm == gemm &&
            clfcn_conv_shape_equal(&c->shape, shape)) {
            return c;
        }
    }
    return NULL;
}

int clfcn_choices_set(struct clfcn_choices *choices, const struct clfcn_choice *choice,
                      struct clfcn_err *err)
{
    const struct clfcn_choice *old =
        clfcn_choices_find(choices, &choice->shape, choice->pass, choice->gemm);
    if (old) {
        choices->list[old - choices->list] = *choice;
        return CLFCN_OK;
    }
    struct clfcn_choice *grown =
        realloc(choices->list, ((size_t)choices->count + 1) * sizeof(*grown));
    if (!grown) {
        return clfcn_err_nomem(err);
    }
    choices->list = grown;
    grown[choices->count++] = *choice;
    return CLFCN_OK;
}

void clfcn_choices_remove(struct clfcn_choices *choices,
                          const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                          enum clfcn_gemm_kind gemm)
{
    const struct clfcn_choice *old = clfcn_choices_find(choices, shape, pass, gemm);
    if (old) {
        choices->list[old - choices->list] = choices->list[--choices->count];
    }
}

static const char *const gemm_kinds[] = { [CLFCN_GEMM_AUTO] = "auto",
                                          [CLFCN_GEMM_CLBLAST] = "clblast",
                                          [CLFCN_GEMM_NATIVE] = "native" };

static bool parse_gemm(const char *name, enum clfcn_gemm_kind *kind)
{
    for (int i = 0; i < CLFCN_ARRAY_LEN(gemm_kinds); ++i) {
        if (strcmp(gemm_kinds[i], name) == 0) {
            *kind = (enum clfcn_gemm_kind)i;
            return true;
        }
    }
    return false;
}

static json_t *choice_to_json(const struct clfcn_choice *c)
{
    return json_pack("{s:i, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:s, s:f, s:f}",
                     "pass", (int)c->pass, "gemm", gemm_kinds[c->gemm], "in", c->shape.in,
                     "out", c->shape.out, "kernel", c->shape.kernel, "n", c->shape.n, "h",
                     c->shape.h, "w", c->shape.w, "transposed", (int)c->shape.transposed,
                     "algorithm", c->algorithm, "ms", c->ms, "error", c->error);
}

json_t *clfcn_choices_to_json(const struct clfcn_choices *choices,
                              const struct clfcn_dev *dev)
{
    json_t *list = json_array();
    for (int i = 0; list && i < choices->count; ++i) {
        if (json_array_append_new(list, choice_to_json(&choices->list[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return clfcn_stored_seal(json_pack("{s:f, s:b, s:o}", "peak gflops",
                                       choices->peak_gflops, "first look",
                                       (int)choices->first_look, "choices", list),
                             FORMAT, dev);
}

static bool choice_from_json(json_t *json, struct clfcn_choice *c)
{
    const char *algorithm, *gemm;
    int pass, transposed;
    *c = (struct clfcn_choice){ 0 };
    if (json_unpack(json, "{s:i, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:s, s:F, s:F}",
                    "pass", &pass, "gemm", &gemm, "in", &c->shape.in, "out",
                    &c->shape.out, "kernel", &c->shape.kernel, "n", &c->shape.n, "h",
                    &c->shape.h, "w", &c->shape.w, "transposed", &transposed, "algorithm",
                    &algorithm, "ms", &c->ms, "error", &c->error) != 0 ||
        pass < 0 || pass >= CLFCN_PASS_COUNT ||
        strlen(algorithm) >= sizeof(c->algorithm) || !parse_gemm(gemm, &c->gemm)) {
        return false;
    }
    c->pass = (enum clfcn_pass)pass;
    c->shape.transposed = transposed;
    snprintf(c->algorithm, sizeof(c->algorithm), "%s", algorithm);
    return true;
}

int clfcn_choices_from_json(const json_t *json, const struct clfcn_dev *dev,
                            struct clfcn_choices *out, struct clfcn_err *err)
{
    const json_t *list = json_object_get(json, "choices");
    *out = (struct clfcn_choices){ 0 };
    int rc = clfcn_stored_check(json, FORMAT, dev, err);
    const bool first_look = json_is_true(json_object_get(json, "first look"));
    for (size_t i = 0; rc == CLFCN_OK && i < json_array_size(list); ++i) {
        struct clfcn_choice c;
        rc = choice_from_json(json_array_get(list, i), &c)
                 ? clfcn_choices_set(out, &c, err)
                 : clfcn_stored_damaged(err);
    }
    out->peak_gflops = json_number_value(json_object_get(json, "peak gflops"));
    if (rc < 0) {
        clfcn_choices_free(out);
    }
    out->first_look = first_look;
    return rc;
}

int clfcn_choices_path(const struct clfcn_dev *dev, char **path, struct clfcn_err *err)
{
    return clfcn_stored_path(dev, "tuning", path, err);
}

static int read_file(const char *path, const struct clfcn_dev *dev,
                     struct clfcn_choices *out, struct clfcn_err *err)
{
    json_t *json = NULL;
    int rc = clfcn_stored_read(path, &json, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_choices_from_json(json, dev, out, err);
        if (rc < 0) {
            clfcn_err_note(err, "%s", path);
        }
    }
    json_decref(json);
    return rc;
}

void clfcn_choices_load(const struct clfcn_dev *dev, enum clfcn_log_level level,
                        struct clfcn_choices *out)
{
    struct clfcn_err err;
    char *path = NULL;
    *out = (struct clfcn_choices){ 0 };
    if (clfcn_choices_path(dev, &path, NULL) == CLFCN_OK && clfcn_path_exists(path) &&
        read_file(path, dev, out, &err) < 0 && !out->first_look) {
        clfcn_log(level, "the tuning for this device is left out: %s; run 'clfcn tune'",
                  err.msg);
    }
    free(path);
}

bool clfcn_choices_stored(const struct clfcn_dev *dev)
{
    struct clfcn_choices choices = { 0 };
    struct clfcn_err err;
    json_t *json = NULL;
    char *path = NULL;
    bool stored = false;
    if (clfcn_choices_path(dev, &path, NULL) < 0 || !clfcn_path_exists(path)) {
        free(path);
        return false;
    }
    int rc = clfcn_stored_read(path, &json, &err);
    if (rc == CLFCN_OK) {
        rc = clfcn_stored_check_whole(json, FORMAT, &err);
        if (rc < 0) {
            clfcn_err_note(&err, "%s", path);
        }
    }
    if (rc < 0) {
        clfcn_warn("the tuning for this device is lost: %s", err.msg);
    } else {
        rc = clfcn_choices_from_json(json, dev, &choices, NULL);
        stored = rc == CLFCN_OK || !choices.first_look;
    }
    clfcn_choices_free(&choices);
    json_decref(json);
    free(path);
    return stored;
}

int clfcn_choices_save(const struct clfcn_choices *choices, const struct clfcn_dev *dev,
                       struct clfcn_err *err)
{
    char *path = NULL;
    int rc = clfcn_choices_path(dev, &path, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_stored_write(path, clfcn_choices_to_json(choices, dev), err);
    }
    free(path);
    return rc;
}
