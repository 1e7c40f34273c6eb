/* value.c - the values of options: from text, strictly, and back. */
#include "options.h"
#include "../util/nearest.h"
#include <clfcn/train.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *cli_choice_arch(int i)
{
    return clfcn_arch_name((enum clfcn_arch)i);
}

const char *cli_choice_backbone(int i)
{
    return clfcn_backbone_name((enum clfcn_backbone)i);
}

const char *cli_choice_loss(int i)
{
    return clfcn_loss_name((enum clfcn_loss)i);
}

const char *cli_choice_optimizer(int i)
{
    return clfcn_optimizer_name((enum clfcn_optimizer)i);
}

const char *cli_choice_gemm(int i)
{
    return clfcn_gemm_name((enum clfcn_gemm_kind)i);
}

const char *cli_choice_sync_bn(int i)
{
    return clfcn_sync_bn_name((enum clfcn_sync_bn)i);
}

const char *cli_choice_wire(int i)
{
    return clfcn_wire_name((enum clfcn_wire)i);
}

const char *cli_choice_lr_policy(int i)
{
    return clfcn_lr_policy_name((enum clfcn_lr_policy)i);
}

const char *cli_choice_resize(int i)
{
    return clfcn_resize_name((enum clfcn_resize)i);
}

static int bad(const struct cli_option *o, const char *why, struct clfcn_err *err)
{
    return clfcn_err_set(err, CLFCN_EINVAL, 0, "--%s %s: %s", o->name, o->raw, why);
}

/* A decimal integer from lo on, right at s; *end is behind it. False if there is none or
 * it does not fit. */
static bool read_integer(const char *s, int64_t lo, int64_t hi, int64_t *out,
                         const char **end)
{
    if ((*s < '0' || *s > '9') && !(*s == '-' && s[1] >= '0' && s[1] <= '9')) {
        return false;
    }
    char *stop;
    errno = 0;
    long long v = strtoll(s, &stop, 10);
    *end = stop;
    *out = v;
    return errno == 0 && v >= lo && v <= hi;
}

static int set_integer(const struct cli_option *o, struct clfcn_err *err)
{
    bool narrow = o->kind == CLI_INT;
    const char *end = "";
    int64_t v = 0;
    if (!read_integer(o->raw, narrow ? INT_MIN : INT64_MIN, narrow ? INT_MAX : INT64_MAX,
                      &v, &end) ||
        *end) {
        return bad(
            o, errno == ERANGE || (v && !*end) ? "too large" : "not a whole number", err);
    }
    if (narrow) {
        *(int *)o->target = (int)v;
    } else {
        *(int64_t *)o->target = v;
    }
    return CLFCN_OK;
}

static int set_unsigned(const struct cli_option *o, struct clfcn_err *err)
{
    char *end = NULL;
    errno = 0;
    unsigned long long v = strtoull(o->raw, &end, 10);
    if (*o->raw < '0' || *o->raw > '9' || *end) {
        return bad(o, "not a whole number of 0 or more", err);
    }
    if (errno == ERANGE || v > INT64_MAX) {
        return bad(o, "too large", err);
    }
    *(uint64_t *)o->target = v;
    return CLFCN_OK;
}

static int set_double(const struct cli_option *o, struct clfcn_err *err)
{
    char *end = NULL;
    double v = strtod(o->raw, &end);
    if (!strchr("+-.0123456789", *o->raw) || end == o->raw || *end || !isfinite(v)) {
        return bad(o, "not a number", err);
    }
    *(double *)o->target = v;
    return CLFCN_OK;
}

static int set_bytes(const struct cli_option *o, struct clfcn_err *err)
{
    static const char suffix[] = "KMGkmg";
    const char *end = "";
    int64_t v = 0;
    if (!read_integer(o->raw, 0, INT64_MAX, &v, &end)) {
        return bad(o, "not a number of bytes, such as 256M", err);
    }
    int shift = 0;
    const char *s = *end ? strchr(suffix, *end) : NULL;
    if (s) {
        shift = 10 * ((int)(s - suffix) % 3 + 1);
        ++end;
    }
    if (*end) {
        return bad(o, "not a number of bytes, such as 256M", err);
    }
    if ((uint64_t)v > SIZE_MAX >> shift) {
        return bad(o, "too large", err);
    }
    *(size_t *)o->target = (size_t)v << shift;
    return CLFCN_OK;
}

static int set_size(const struct cli_option *o, struct clfcn_err *err)
{
    const char *s = o->raw;
    int64_t w = 0, h = 0;
    if (!read_integer(s, 1, INT_MAX, &w, &s) || *s != 'x' ||
        !read_integer(s + 1, 1, INT_MAX, &h, &s) || *s) {
        return bad(o, "not a size, such as 160x160", err);
    }
    *(int *)o->target = (int)w;
    *o->height = (int)h;
    return CLFCN_OK;
}

static void list_choices(const struct cli_option *o, char *buf, size_t n)
{
    size_t len = 0;
    buf[0] = '\0';
    for (int i = 0; o->choice(i) && len < n; ++i) {
        len += (size_t)snprintf(buf + len, n - len, "%s%s", i ? ", " : "", o->choice(i));
    }
}

static int set_choice(const struct cli_option *o, struct clfcn_err *err)
{
    _Static_assert(sizeof(enum clfcn_arch) == sizeof(int), "enums are copied as int");
    struct clfcn_nearest near = { .word = o->raw };
    for (int i = 0; o->choice(i); ++i) {
        if (strcmp(o->choice(i), o->raw) == 0) {
            memcpy(o->target, &i, sizeof(i));
            return CLFCN_OK;
        }
        clfcn_nearest_offer(&near, o->choice(i));
    }
    char names[256];
    list_choices(o, names, sizeof(names));
    return clfcn_err_set(err, CLFCN_EINVAL, 0, "--%s %s: unknown; choose one of %s%s%s%s",
                         o->name, o->raw, names, near.best ? " (did you mean " : "",
                         near.best ? near.best : "", near.best ? "?)" : "");
}

static int set_augment(const struct cli_option *o, struct clfcn_err *err)
{
    const int rc = clfcn_augment_parse(o->raw, o->target, err);
    if (rc < 0) {
        clfcn_err_note(err, "--%s", o->name);
    }
    return rc;
}

int cli_value_set(const struct cli_option *o, struct clfcn_err *err)
{
    const bool flag = o->kind == CLI_FLAG || o->kind == CLI_UNFLAG;
    if (!flag && (!*o->raw || (o->second && !*o->second))) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "--%s: its value is empty", o->name);
    }
    switch (o->kind) {
    case CLI_GROUP:
        break;
    case CLI_FLAG:
    case CLI_UNFLAG:
        *(bool *)o->target = o->kind == CLI_FLAG;
        return CLFCN_OK;
    case CLI_STRING:
        *(const char **)o->target = o->raw;
        return CLFCN_OK;
    case CLI_PAIR:
        ((const char **)o->target)[0] = o->raw;
        ((const char **)o->target)[1] = o->second;
        return CLFCN_OK;
    case CLI_INT:
    case CLI_INT64:
        return set_integer(o, err);
    case CLI_UINT64:
        return set_unsigned(o, err);
    case CLI_DOUBLE:
        return set_double(o, err);
    case CLI_BYTES:
        return set_bytes(o, err);
    case CLI_SIZE:
        return set_size(o, err);
    case CLI_CHOICE:
        return set_choice(o, err);
    case CLI_AUGMENT:
        return set_augment(o, err);
    }
    return clfcn_err_set(err, CLFCN_EINVAL, 0, "--%s: no such kind of option", o->name);
}

static void bytes_text(size_t v, char *buf, size_t n)
{
    static const char suffix[] = { 0, 'K', 'M', 'G' };
    int u = 0;
    while (u < 3 && v && v % 1024 == 0) {
        v /= 1024;
        ++u;
    }
    snprintf(buf, n, u ? "%zu%c" : "%zu", v, suffix[u]);
}

void cli_value_text(const struct cli_option *o, char *buf, size_t n)
{
    buf[0] = '\0';
    if (o->dflt) {
        snprintf(buf, n, "%s", o->dflt);
        return;
    }
    switch (o->kind) {
    case CLI_GROUP:
    case CLI_FLAG:
    case CLI_UNFLAG:
    case CLI_PAIR:
        break;
    case CLI_STRING:
        if (*(const char **)o->target) {
            snprintf(buf, n, "%s", *(const char **)o->target);
        }
        break;
    case CLI_INT:
        snprintf(buf, n, "%d", *(int *)o->target);
        break;
    case CLI_INT64:
        snprintf(buf, n, "%" PRId64, *(int64_t *)o->target);
        break;
    case CLI_UINT64:
        snprintf(buf, n, "%" PRIu64, *(uint64_t *)o->target);
        break;
    case CLI_DOUBLE:
        snprintf(buf, n, "%g", *(double *)o->target);
        break;
    case CLI_BYTES:
        bytes_text(*(size_t *)o->target, buf, n);
        break;
    case CLI_SIZE:
        snprintf(buf, n, "%dx%d", *(int *)o->target, *o->height);
        break;
    case CLI_CHOICE: {
        int i;
        memcpy(&i, o->target, sizeof(i));
        snprintf(buf, n, "%s", o->choice(i));
        break;
    }
    case CLI_AUGMENT: {
        char list[CLFCN_AUGMENT_TEXT];
        snprintf(buf, n, "%s", clfcn_augment_text(o->target, list));
        break;
    }
    }
}
