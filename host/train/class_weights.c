#include "class_weights.h"
#include "../data/balance.h"
#include "../util/log.h"
#include "../util/strbuf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_plain(const char *text)
{
    return text == NULL || strcmp(text, "none") == 0;
}

static int bad(const char *text, const char *why, struct clfcn_err *err)
{
    return clfcn_err_set(err, CLFCN_EINVAL, 0,
                         "--class-weights %s: %s; give none, auto, or a number a class, "
                         "such as 1,2.5,0.5",
                         text, why);
}

/* Numbers of text into weights, at most CLFCN_MAX_CLASSES. */
static int parse(const char *text, float *weights, int *count, struct clfcn_err *err)
{
    const char *s = text;
    bool any = false;
    for (*count = 0;; ++s) {
        char *end;
        const float w = strtof(s, &end);
        if (strchr(".0123456789", *s) == NULL || end == s || !isfinite(w)) {
            return bad(text, "not a list of numbers from 0 on", err);
        }
        if (*count == CLFCN_MAX_CLASSES) {
            return bad(text, "more than there can be classes", err);
        }
        weights[(*count)++] = w;
        any = any || w > 0;
        s = end;
        if (*s != ',') {
            break;
        }
    }
    if (*s != '\0') {
        return bad(text, "not a list of numbers from 0 on", err);
    }
    return any ? CLFCN_OK : bad(text, "one must be above 0", err);
}

int clfcn_class_weights_check(const char *text, struct clfcn_err *err)
{
    float weights[CLFCN_MAX_CLASSES];
    int count;
    return is_plain(text) || strcmp(text, "auto") == 0
               ? CLFCN_OK
               : parse(text, weights, &count, err);
}

/* What was found out is said once; a long list helps nobody. */
static void say(const struct clfcn_dataset *set, const float *weights, int count)
{
    enum { NAMED = 12 };
    struct clfcn_strbuf sb = { 0 };
    for (int c = 0; c < count && c < NAMED; ++c) {
        clfcn_strbuf_add(&sb, "%s %s %.4g", c > 0 ? "," : "",
                         clfcn_dataset_class_name(set, c), (double)weights[c]);
    }
    if (!sb.failed) {
        clfcn_info("class weights:%s%s", sb.str, count > NAMED ? ", ..." : "");
    }
    clfcn_strbuf_free(&sb);
}

int clfcn_class_weights_find(struct clfcn_comm *comm, const char *text,
                             const struct clfcn_dataset *set, const int *items,
                             int item_count, float *weights, int *count,
                             struct clfcn_err *err)
{
    const int classes = clfcn_dataset_classes(set);
    *count = 0;
    if (is_plain(text)) {
        return CLFCN_OK;
    }
    if (strcmp(text, "auto") == 0) {
        const int rc = clfcn_balance(comm, set, items, item_count, weights, err);
        if (rc == CLFCN_OK) {
            *count = classes;
            say(set, weights, classes);
        } else {
            clfcn_err_note(err, "--class-weights auto");
        }
        return rc;
    }
    const int rc = parse(text, weights, count, err);
    if (rc == CLFCN_OK && *count != classes) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--class-weights %s: %d numbers for %d classes", text,
                             *count, classes);
    }
    return rc;
}
