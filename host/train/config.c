/* config.c - one table of a run's options: to JSON, from JSON, and their ranges. */
#include "config.h"
#include "../data/augment.h"
#include "../data/resize.h"
#include "../net/net.h"
#include "class_weights.h"
#include "schedule.h"
#include "shares.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum kind { TEXT, INT, INT64, UINT64, BYTES, REAL, FLAG, NOT_FLAG, ENUM, EXTENT, AUGMENT };

/* How to name and to parse one enumeration, behind a pointer to its field. */
struct enum_access {
    const char *(*name)(const void *field);
    int (*parse)(const char *s, void *field, struct clfcn_err *err);
};

#define ENUM_ACCESS(prefix, type)                                                \
    static const char *prefix##_name(const void *field)                          \
    {                                                                            \
        return clfcn_##prefix##_name(*(const enum type *)field);                 \
    }                                                                            \
    static int prefix##_parse(const char *s, void *field, struct clfcn_err *err) \
    {                                                                            \
        return clfcn_##prefix##_parse(s, field, err);                            \
    }                                                                            \
    static const struct enum_access prefix##_access = { prefix##_name, prefix##_parse }
ENUM_ACCESS(arch, clfcn_arch);
ENUM_ACCESS(backbone, clfcn_backbone);
ENUM_ACCESS(loss, clfcn_loss);
ENUM_ACCESS(optimizer, clfcn_optimizer);
ENUM_ACCESS(lr_policy, clfcn_lr_policy);
ENUM_ACCESS(resize, clfcn_resize);
ENUM_ACCESS(gemm, clfcn_gemm_kind);
ENUM_ACCESS(sync_bn, clfcn_sync_bn);
ENUM_ACCESS(wire, clfcn_wire);

/* What a number must be. NULL text: anything. */
struct range {
    const char *text;
    double min, max;
    bool above_min, below_max; /* whether the end itself is out */
};
#define AT_LEAST(n)                                                    \
    {                                                                  \
        "at least " #n, .min = (n), .max = HUGE_VAL, .below_max = true \
    }
#define ABOVE_0                                                                 \
    {                                                                           \
        "greater than 0", .max = HUGE_VAL, .above_min = true, .below_max = true \
    }
#define FROM_0_BELOW_1                                            \
    {                                                             \
        "at least 0 and less than 1", .max = 1, .below_max = true \
    }

#define FIELD(f) .offset = offsetof(struct clfcn_train_config, f)

/* Every option but `out`: a run folder may be moved. */
static const struct field {
    const char *key;
    size_t offset;
    enum kind kind;
    const struct enum_access *access; /* of ENUM */
    struct range range;
    bool later; /* not in the files of the first version: absent means the default */
} fields[] = {
    { "data", FIELD(data), TEXT },
    { "format", FIELD(format), TEXT, .later = true },
    { "images", FIELD(images), TEXT },
    { "masks", FIELD(masks), TEXT },
    { "classes", FIELD(classes), TEXT },
    { "ignore", FIELD(ignore), TEXT, .later = true },
    { "val", FIELD(val), TEXT },
    { "val-fraction", FIELD(val_fraction), REAL, .range = FROM_0_BELOW_1 },
    { "own-split", FIELD(own_split), FLAG, .later = true },
    { "arch", FIELD(arch), ENUM, &arch_access },
    { "backbone", FIELD(backbone), ENUM, &backbone_access },
    { "size", FIELD(width), EXTENT },
    { "batch", FIELD(batch), INT, .range = AT_LEAST(1) },
    { "epochs", FIELD(epochs), INT, .range = AT_LEAST(1) },
    { "max-steps", FIELD(max_steps), INT64 },
    { "loss", FIELD(loss), ENUM, &loss_access },
    { "focal-gamma", FIELD(focal_gamma), REAL, .range = AT_LEAST(0), .later = true },
    { "class-weights", FIELD(class_weights), TEXT, .later = true },
    { "optimizer", FIELD(optimizer), ENUM, &optimizer_access },
    { "clip-grad", FIELD(clip_grad), REAL, .range = AT_LEAST(0), .later = true },
    { "lr", FIELD(lr), REAL, .range = ABOVE_0 },
    { "momentum", FIELD(momentum), REAL, .range = FROM_0_BELOW_1 },
    { "weight-decay", FIELD(weight_decay), REAL, .range = AT_LEAST(0) },
    { "beta1", FIELD(beta1), REAL, .range = FROM_0_BELOW_1 },
    { "beta2", FIELD(beta2), REAL, .range = FROM_0_BELOW_1 },
    { "eps", FIELD(eps), REAL, .range = ABOVE_0 },
    { "warmup", FIELD(warmup), INT, .range = AT_LEAST(0), .later = true },
    { "lr-policy", FIELD(lr_policy), ENUM, &lr_policy_access },
    { "lr-step", FIELD(lr_step), INT, .range = AT_LEAST(1) },
    { "lr-gamma", FIELD(lr_gamma), REAL, .range = ABOVE_0 },
    { "lr-power", FIELD(lr_power), REAL, .range = ABOVE_0 },
    { "seed", FIELD(seed), UINT64 },
    { "init", FIELD(init), TEXT },
    { "partial", FIELD(partial), FLAG, .later = true },
    { "freeze-backbone", FIELD(freeze_backbone), FLAG },
    { "augment", FIELD(augment), AUGMENT },
    { "resize", FIELD(resize), ENUM, &resize_access, .later = true },
    { "no-shuffle", FIELD(shuffle), NOT_FLAG },
    { "early-stop", FIELD(early_stop), INT, .range = AT_LEAST(0), .later = true },
    { "save-every", FIELD(save_every), INT, .range = AT_LEAST(0) },
    { "save-steps", FIELD(save_steps), INT, .range = AT_LEAST(0) },
    { "verify-every", FIELD(verify_every), INT, .range = AT_LEAST(0), .later = true },
    { "gemm", FIELD(gemm), ENUM, &gemm_access },
    { "workers", FIELD(workers), INT, .range = AT_LEAST(0) },
    { "cache-mem", FIELD(cache_bytes), BYTES },
    { "workspace", FIELD(workspace_bytes), BYTES },
    { "mem", FIELD(mem_bytes), BYTES, .later = true },
    { "balance", FIELD(balance), TEXT, .later = true },
    { "sync-bn", FIELD(sync_bn), ENUM, &sync_bn_access, .later = true },
    { "exchange", FIELD(exchange), ENUM, &wire_access, .later = true },
};
enum { FIELD_COUNT = sizeof(fields) / sizeof(fields[0]) };

void clfcn_train_defaults(struct clfcn_train_config *config)
{
    *config = (struct clfcn_train_config){
        .val_fraction = 0.1,
        .own_split = true,
        .arch = CLFCN_FCNS,
        .backbone = CLFCN_VGG16,
        .width = 160,
        .height = 160,
        .batch = 4,
        .epochs = 50,
        .max_steps = -1,
        .loss = CLFCN_LOSS_BCE,
        .focal_gamma = 2,
        .optimizer = CLFCN_SGD,
        .lr = 0.01,
        .momentum = 0.7,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .eps = 1e-8,
        .lr_policy = CLFCN_LR_CONSTANT,
        .lr_step = 30,
        .lr_gamma = 0.1,
        .lr_power = 0.9,
        .shuffle = true,
        .save_every = 5,
        .gemm = CLFCN_GEMM_AUTO,
        .cache_bytes = (size_t)512 << 20,
    };
}

static json_t *field_to_json(const struct field *f,
                             const struct clfcn_train_config *config)
{
    const void *p = (const char *)config + f->offset;
    const char *text;
    switch (f->kind) {
    case TEXT:
        text = *(const char *const *)p;
        return text != NULL ? json_string(text) : json_null();
    case INT:
        return json_integer(*(const int *)p);
    case INT64:
        return json_integer(*(const int64_t *)p);
    case UINT64:
        return json_integer((json_int_t) * (const uint64_t *)p);
    case BYTES:
        return json_integer((json_int_t) * (const size_t *)p);
    case REAL:
        return json_real(*(const double *)p);
    case FLAG:
        return json_boolean(*(const bool *)p);
    case NOT_FLAG:
        return json_boolean(!*(const bool *)p);
    case ENUM:
        return json_string(f->access->name(p));
    case EXTENT:
        return json_sprintf("%dx%d", config->width, config->height);
    case AUGMENT: {
        char list[CLFCN_AUGMENT_TEXT];
        return json_string(clfcn_augment_text(p, list));
    }
    }
    return NULL;
}

json_t *clfcn_config_to_json(const struct clfcn_train_config *config)
{
    json_t *json = json_object();
    for (int i = 0; json != NULL && i < FIELD_COUNT; ++i) {
        if (json_object_set_new(json, fields[i].key, field_to_json(&fields[i], config)) <
            0) {
            json_decref(json);
            json = NULL;
        }
    }
    return json;
}

/* "WxH" and nothing after it. */
static bool parse_extent(const json_t *value, struct clfcn_train_config *config)
{
    const char *s = json_string_value(value);
    int end = 0;
    return s != NULL &&
           sscanf(s, "%6dx%6d%n", &config->width, &config->height, &end) == 2 &&
           s[end] == '\0';
}

static bool parse_int(const json_t *value, int *out)
{
    const json_int_t x = json_integer_value(value);
    *out = (int)x;
    return json_is_integer(value) && *out == x;
}

/* Whether value is of the field's kind; then it is stored. *rc: CLFCN_ENOMEM where that
 * could not be found out. */
static bool field_from_json(const struct field *f, const json_t *value,
                            struct clfcn_train_config *config, int *rc)
{
    void *p = (char *)config + f->offset;
    switch (f->kind) {
    case TEXT:
        *(const char **)p = json_string_value(value);
        return json_is_string(value) || json_is_null(value);
    case INT:
        return parse_int(value, p);
    case INT64:
        *(int64_t *)p = json_integer_value(value);
        return json_is_integer(value);
    case UINT64:
        *(uint64_t *)p = (uint64_t)json_integer_value(value);
        return json_is_integer(value) && json_integer_value(value) >= 0;
    case BYTES:
        *(size_t *)p = (size_t)json_integer_value(value);
        return json_is_integer(value) && json_integer_value(value) >= 0;
    case REAL:
        *(double *)p = json_number_value(value);
        return json_is_number(value);
    case FLAG:
        *(bool *)p = json_is_true(value);
        return json_is_boolean(value);
    case NOT_FLAG:
        *(bool *)p = json_is_false(value);
        return json_is_boolean(value);
    case ENUM:
        return json_is_string(value) &&
               f->access->parse(json_string_value(value), p, NULL) == 0;
    case EXTENT:
        return parse_extent(value, config);
    case AUGMENT:
        *rc = json_is_string(value)
                  ? clfcn_augment_parse(json_string_value(value), p, NULL)
                  : CLFCN_EINVAL;
        return *rc == CLFCN_OK;
    }
    return false;
}

int clfcn_config_from_json(const json_t *json, struct clfcn_train_config *config,
                           struct clfcn_err *err)
{
    clfcn_train_defaults(config);
    for (int i = 0; i < FIELD_COUNT; ++i) {
        const json_t *value = json_object_get(json, fields[i].key);
        if (value == NULL && fields[i].later) {
            continue;
        }
        if (value == NULL) {
            return clfcn_err_set(err, CLFCN_EDATA, 0, "the configuration lacks '%s'",
                                 fields[i].key);
        }
        int rc = CLFCN_OK;
        if (!field_from_json(&fields[i], value, config, &rc)) {
            return rc == CLFCN_ENOMEM
                       ? clfcn_err_nomem(err)
                       : clfcn_err_set(err, CLFCN_EDATA, 0,
                                       "the configuration has a wrong value for '%s'",
                                       fields[i].key);
        }
    }
    return CLFCN_OK;
}

static int check_range(const struct field *f, const struct clfcn_train_config *config,
                       struct clfcn_err *err)
{
    const void *p = (const char *)config + f->offset;
    const struct range *r = &f->range;
    const double x = f->kind == REAL ? *(const double *)p : *(const int *)p;
    const bool low = r->above_min ? x > r->min : x >= r->min;
    const bool high = r->below_max ? x < r->max : x <= r->max;
    if (low && high) { /* neither holds for NaN */
        return CLFCN_OK;
    }
    return clfcn_err_set(err, CLFCN_EINVAL, 0, "--%s must be %s, not %g", f->key, r->text,
                         x);
}

static int check_data(const struct clfcn_train_config *config, struct clfcn_err *err)
{
    const bool any =
        config->images != NULL || config->masks != NULL || config->classes != NULL;
    const bool all =
        config->images != NULL && config->masks != NULL && config->classes != NULL;
    if (config->data != NULL && any) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "--data names the whole set: leave out --images, --masks and "
            "--classes");
    }
    if (config->data == NULL && config->format != NULL) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--format says what --data is: give both");
    }
    if (config->set != NULL && (config->data != NULL || any)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "the data are given twice: as an open set, and by name");
    }
    if (config->set != NULL && config->ignore != NULL) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "ignore is for data given by name: let an open set ignore "
                             "values with clfcn_dataset_ignore()");
    }
    if (config->val_set != NULL && config->val != NULL) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "validation data are given twice: as an open set, and by "
                             "name");
    }
    if (config->set == NULL && config->data == NULL && !all) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "no data: give --data DIR, --data demo, or all of --images, --masks "
            "and --classes");
    }
    return CLFCN_OK;
}

static int check_ranks(const struct clfcn_train_config *config, struct clfcn_err *err)
{
    const int ranks = clfcn_comm_size(config->comm);
    enum clfcn_balance kind;
    const int rc =
        clfcn_balance_parse(config->balance, config->comm ? ranks : 0, NULL, &kind, err);
    if (rc < 0 || config->batch >= ranks) {
        return rc;
    }
    return clfcn_err_set(err, CLFCN_EINVAL, 0,
                         "--batch %d is the batch of all %d ranks together, and each takes "
                         "one image at least: raise it or start fewer",
                         config->batch, ranks);
}

double clfcn_config_split(const struct clfcn_train_config *config,
                          const struct clfcn_dataset *set)
{
    return config->own_split && clfcn_dataset_has_split(set) ? CLFCN_OWN_SPLIT
                                                             : config->val_fraction;
}

int clfcn_config_check(const struct clfcn_train_config *config, struct clfcn_err *err)
{
    for (int i = 0; i < FIELD_COUNT; ++i) {
        const struct field *f = &fields[i];
        if (f->range.text != NULL) {
            int rc = check_range(f, config, err);
            if (rc < 0) {
                return rc;
            }
        }
        if (f->kind == ENUM &&
            f->access->name((const char *)config + f->offset) == NULL) {
            return clfcn_err_set(err, CLFCN_EINVAL, 0, "--%s has no such value", f->key);
        }
    }
    if (config->seed > INT64_MAX || config->cache_bytes > INT64_MAX ||
        config->workspace_bytes > INT64_MAX ||
        config->mem_bytes > INT64_MAX) { /* JSON integers are signed */
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "--seed, --cache-mem, --workspace and --mem must be at most %lld",
            (long long)INT64_MAX);
    }
    if (config->partial && config->init == NULL) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--partial says how to take the weights of --init: give "
                             "both or neither");
    }
    int rc = clfcn_augment_check(&config->augment, err);
    if (rc < 0) {
        clfcn_err_note(err, "--augment");
        return rc;
    }
    rc = check_data(config, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_class_weights_check(config->class_weights, err);
    }
    if (rc == CLFCN_OK) {
        rc = check_ranks(config, err);
    }
    if (rc < 0) {
        return rc;
    }
    const struct clfcn_net_desc desc = {
        .arch = config->arch,
        .backbone = config->backbone,
        .classes = 1, /* known when the data are opened */
        .width = config->width,
        .height = config->height,
        .batch = config->batch,
    };
    return clfcn_net_check_desc(&desc, err);
}
