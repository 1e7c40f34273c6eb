#include "choice.h"

#include "../util/file.h"
#include "../util/hash.h"
#include "../util/log.h"
#include "../util/path.h"
#include "gemm.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FORMAT = 1,
    MAX_FILE = 16 << 20, /* no tuning comes near this; a larger file is not ours */
};

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

static uint64_t kernels_hash(void)
{
    uint64_t h = CLFCN_HASH_INIT;
    for (int i = 0; i < clfcn_embedded_source_count; ++i) {
        h = clfcn_hash_str(h, clfcn_embedded_sources[i].stem);
        h = clfcn_hash_str(h, clfcn_embedded_sources[i].text);
    }
    return h;
}

/* All that a measurement depends on besides the shape, by the name to use in messages. A
 * new object. */
static json_t *identity(const struct clfcn_dev *dev)
{
    const struct clfcn_device_info *info = &dev->info;
    char platform[256] = "";
    clGetPlatformInfo(dev->platform, CL_PLATFORM_VERSION, sizeof(platform), platform,
                      NULL);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:i, s:i}", "device",
                     info->name, "driver", info->driver, "platform", info->platform,
                     "platform version", platform, "CLBlast",
                     clfcn_gemm_clblast_version(), "clfcn", clfcn_version(), "kernels",
                     json_sprintf("%016" PRIx64, kernels_hash()), "compute units",
                     (int)info->compute_units, "vector width", (int)info->vector_width);
}

static json_t *choice_to_json(const struct clfcn_choice *c)
{
    return json_pack("{s:i, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:s, s:f, s:f}",
                     "pass", (int)c->pass, "gemm", gemm_kinds[c->gemm], "in", c->shape.in,
                     "out", c->shape.out, "kernel", c->shape.kernel, "n", c->shape.n, "h",
                     c->shape.h, "w", c->shape.w, "transposed", (int)c->shape.transposed,
                     "algorithm", c->algorithm, "ms", c->ms, "error", c->error);
}

/* Of everything in json but the sum itself. 0 if memory is exhausted. */
static uint64_t sum_of(const json_t *json)
{
    json_t *rest = json_copy((json_t *)json);
    char *text = NULL;
    uint64_t h = 0;
    if (rest) {
        json_object_del(rest, "sum");
        text = json_dumps(rest, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    }
    if (text) {
        h = clfcn_hash_str(CLFCN_HASH_INIT, text);
    }
    free(text);
    json_decref(rest);
    return h;
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
    json_t *json =
        json_pack("{s:i, s:o, s:f, s:b, s:o}", "format", (int)FORMAT, "measured on",
                  identity(dev), "peak gflops", choices->peak_gflops, "first look",
                  (int)choices->first_look, "choices", list);
    if (json &&
        json_object_set_new(json, "sum", json_sprintf("%016" PRIx64, sum_of(json))) < 0) {
        json_decref(json);
        json = NULL;
    }
    return json;
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

/* A string or a small number as text. */
static void value_text(const json_t *value, char *buf, size_t n)
{
    if (json_is_string(value)) {
        snprintf(buf, n, "%s", json_string_value(value));
    } else {
        snprintf(buf, n, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    }
}

/* CLFCN_EDATA names the first thing that is not as it was. */
static int check_identity(const json_t *stored, const struct clfcn_dev *dev,
                          struct clfcn_err *err)
{
    json_t *now = identity(dev);
    const char *key;
    json_t *value;
    int rc = now ? CLFCN_OK : clfcn_err_nomem(err);
    json_object_foreach(now, key, value)
    {
        const json_t *was = json_object_get(stored, key);
        if (rc == CLFCN_OK && !json_equal(was, value)) {
            char old[160], new[160];
            value_text(was, old, sizeof(old));
            value_text(value, new, sizeof(new));
            rc =
                clfcn_err_set(err, CLFCN_EDATA, 0,
                              "measured with another %s ('%s', now '%s')", key, old, new);
        }
    }
    json_decref(now);
    return rc;
}

static int damaged(struct clfcn_err *err)
{
    return clfcn_err_set(err, CLFCN_EDATA, 0, "damaged, or of another version of clfcn");
}

int clfcn_choices_from_json(const json_t *json, const struct clfcn_dev *dev,
                            struct clfcn_choices *out, struct clfcn_err *err)
{
    const char *sum = json_string_value(json_object_get(json, "sum"));
    json_t *list = json_object_get(json, "choices");
    char want[24];
    *out = (struct clfcn_choices){ 0 };
    snprintf(want, sizeof(want), "%016" PRIx64, sum_of(json));
    if (!sum || strcmp(sum, want) != 0 || !json_is_array(list) ||
        json_integer_value(json_object_get(json, "format")) != FORMAT) {
        return damaged(err);
    }
    const bool first_look = json_is_true(json_object_get(json, "first look"));
    int rc = check_identity(json_object_get(json, "measured on"), dev, err);
    for (size_t i = 0; rc == CLFCN_OK && i < json_array_size(list); ++i) {
        struct clfcn_choice c;
        rc = choice_from_json(json_array_get(list, i), &c)
                 ? clfcn_choices_set(out, &c, err)
                 : damaged(err);
    }
    out->peak_gflops = json_number_value(json_object_get(json, "peak gflops"));
    if (rc < 0) {
        clfcn_choices_free(out);
    }
    out->first_look = first_look;
    return rc;
}

/* Two runtimes may give one processor the same device name. */
int clfcn_choices_path(const struct clfcn_dev *dev, char **path, struct clfcn_err *err)
{
    char name[32], *cache = NULL, *dir = NULL;
    const uint64_t h = clfcn_hash_str(clfcn_hash_str(CLFCN_HASH_INIT, dev->info.name),
                                      dev->info.platform);
    snprintf(name, sizeof(name), "%016" PRIx64 ".json", h);
    *path = NULL;
    int rc = clfcn_path_cache_dir(&cache, err);
    if (rc < 0) {
        return rc;
    }
    dir = clfcn_path_join(cache, "tuning");
    rc = dir ? clfcn_path_mkdir(dir, 0700, err) : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        *path = clfcn_path_join(dir, name);
        rc = *path ? CLFCN_OK : clfcn_err_nomem(err);
    }
    free(dir);
    free(cache);
    return rc;
}

static int read_file(const char *path, const struct clfcn_dev *dev,
                     struct clfcn_choices *out, struct clfcn_err *err)
{
    char *text = NULL;
    size_t size;
    int rc = clfcn_file_read_own(path, MAX_FILE, &text, &size, err);
    if (rc == CLFCN_OK) {
        json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
        rc = json ? clfcn_choices_from_json(json, dev, out, err) : damaged(err);
        json_decref(json);
        if (rc < 0) {
            clfcn_err_note(err, "%s", path);
        }
    }
    free(text);
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
    char *path = NULL;
    bool stored = false;
    if (clfcn_choices_path(dev, &path, NULL) == CLFCN_OK && clfcn_path_exists(path)) {
        stored = read_file(path, dev, &choices, NULL) == CLFCN_OK || !choices.first_look;
    }
    clfcn_choices_free(&choices);
    free(path);
    return stored;
}

int clfcn_choices_save(const struct clfcn_choices *choices, const struct clfcn_dev *dev,
                       struct clfcn_err *err)
{
    json_t *json = clfcn_choices_to_json(choices, dev);
    char *text = json ? json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
    char *path = NULL;
    int rc = text ? clfcn_choices_path(dev, &path, err) : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = clfcn_file_write(path, text, strlen(text), err);
    }
    free(path);
    free(text);
    json_decref(json);
    return rc;
}
