#include "net.h"

#include <stdio.h>
#include <string.h>

static const char *const arch_names[] = { "fcn32s", "fcn16s", "fcn8s", "fcns" };
static const char *const backbone_names[] = { "vgg11", "vgg13", "vgg16", "vgg19" };
static const char *const loss_names[] = { "bce", "ce", "dice", "focal" };
static const char *const optimizer_names[] = { "sgd", "adam", "adamw" };
static const char *const sync_bn_names[] = { "auto", "on", "off" };
static const char *const wire_names[] = { "fp32", "fp16" };
static const char *const gemm_names[] = { "auto", "clblast", "native" };

static const char *name_of(const char *const *names, int count, int value)
{
    return value >= 0 && value < count ? names[value] : NULL;
}

/* Position of s among names, or CLFCN_EINVAL with all of them in the message. */
static int parse(const char *what, const char *s, const char *const *names, int count,
                 int *out, struct clfcn_err *err)
{
    char list[128] = "";
    for (int i = 0; i < count; ++i) {
        if (strcmp(s, names[i]) == 0) {
            *out = i;
            return CLFCN_OK;
        }
        const size_t used = strlen(list);
        snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", names[i]);
    }
    return clfcn_err_set(err, CLFCN_EINVAL, 0, "unknown %s '%s': choose one of %s", what,
                         s, list);
}

#define NAMED_ENUM(type, what)                                                        \
    const char *clfcn_##type##_name(enum clfcn_##type value)                          \
    {                                                                                 \
        return name_of(type##_names, CLFCN_ARRAY_LEN(type##_names), (int)value);      \
    }                                                                                 \
    int clfcn_##type##_parse(const char *s, enum clfcn_##type *out,                   \
                             struct clfcn_err *err)                                   \
    {                                                                                 \
        int value = 0;                                                                \
        const int rc =                                                                \
            parse(what, s, type##_names, CLFCN_ARRAY_LEN(type##_names), &value, err); \
        if (rc == CLFCN_OK) {                                                         \
            *out = (enum clfcn_##type)value;                                          \
        }                                                                             \
        return rc;                                                                    \
    }

NAMED_ENUM(arch, "architecture")
NAMED_ENUM(backbone, "backbone")
NAMED_ENUM(loss, "loss")
NAMED_ENUM(optimizer, "optimizer")
NAMED_ENUM(sync_bn, "synchronisation of batch norm")
NAMED_ENUM(wire, "kind of exchange")

/* Below so many images a rank, the statistics of its share alone are poor. */
enum { SMALL_SHARE = 8 };

bool clfcn_sync_bn_wanted(enum clfcn_sync_bn sync, int images)
{
    return sync == CLFCN_SYNC_BN_ON ||
           (sync == CLFCN_SYNC_BN_AUTO && images < SMALL_SHARE);
}

const char *clfcn_gemm_name(enum clfcn_gemm_kind kind)
{
    return name_of(gemm_names, CLFCN_ARRAY_LEN(gemm_names), (int)kind);
}

int clfcn_gemm_parse(const char *s, enum clfcn_gemm_kind *out, struct clfcn_err *err)
{
    int value = 0;
    const int rc =
        parse("GEMM provider", s, gemm_names, CLFCN_ARRAY_LEN(gemm_names), &value, err);
    if (rc == CLFCN_OK) {
        *out = (enum clfcn_gemm_kind)value;
    }
    return rc;
}

/* The multiples of 32 next to side. */
static int check_side(const char *what, int side, struct clfcn_err *err)
{
    const int low = side / 32 * 32;
    if (side >= 32 && side % 32 == 0) {
        return CLFCN_OK;
    }
    if (low < 32) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--size: %s %d is not a multiple of 32: the smallest is 32",
                             what, side);
    }
    return clfcn_err_set(err, CLFCN_EINVAL, 0,
                         "--size: %s %d is not a multiple of 32: take %d or %d", what,
                         side, low, low + 32);
}

int clfcn_net_check_desc(const struct clfcn_net_desc *desc, struct clfcn_err *err)
{
    if (!clfcn_arch_name(desc->arch) || !clfcn_backbone_name(desc->backbone)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "there is no such architecture or backbone");
    }
    if (desc->classes < 1 || desc->classes > CLFCN_MAX_CLASSES) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "%d classes: 1 to %d are possible",
                             desc->classes, CLFCN_MAX_CLASSES);
    }
    if (desc->batch < 1) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "--batch must be at least 1, not %d",
                             desc->batch);
    }
    const int rc = check_side("width", desc->width, err);
    return rc < 0 ? rc : check_side("height", desc->height, err);
}
