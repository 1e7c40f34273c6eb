#include "certificate.h"

#include "../util/log.h"
#include "../util/path.h"
#include "stored.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT = 1 };

void clfcn_certificate_free(struct clfcn_certificate *c)
{
    free(c->list);
    *c = (struct clfcn_certificate){ 0 };
}

const struct clfcn_finding *clfcn_certificate_find(const struct clfcn_certificate *c,
                                                   const char *subject, const char *pass)
{
    for (int i = 0; c && i < c->count; ++i) {
        if (strcmp(c->list[i].subject, subject) == 0 &&
            strcmp(c->list[i].pass, pass) == 0) {
            return &c->list[i];
        }
    }
    return NULL;
}

const struct clfcn_finding *clfcn_certificate_fault(const struct clfcn_certificate *c,
                                                    const char *subject, const char *pass)
{
    const struct clfcn_finding *f = clfcn_certificate_find(c, subject, pass);
    return f && !f->correct ? f : NULL;
}

static int append(struct clfcn_certificate *c, const struct clfcn_finding *f,
                  struct clfcn_err *err)
{
    struct clfcn_finding *grown =
        realloc(c->list, ((size_t)c->count + 1) * sizeof(*grown));
    if (!grown) {
        return clfcn_err_nomem(err);
    }
    c->list = grown;
    grown[c->count++] = *f;
    return CLFCN_OK;
}

static struct clfcn_finding *find(struct clfcn_certificate *c,
                                  const struct clfcn_finding *like)
{
    const struct clfcn_finding *f = clfcn_certificate_find(c, like->subject, like->pass);
    return f ? &c->list[f - c->list] : NULL;
}

int clfcn_certificate_add(struct clfcn_certificate *c, const struct clfcn_finding *test,
                          struct clfcn_err *err)
{
    struct clfcn_finding *f = find(c, test);
    if (!f) {
        return append(c, test, err);
    }
    const int tests = f->tests + test->tests;
    const double ms = f->ms + test->ms;
    if (f->correct && (!test->correct || test->error > f->error)) {
        *f = *test;
    }
    f->tests = tests;
    f->ms = ms;
    return CLFCN_OK;
}

int clfcn_certificate_update(struct clfcn_certificate *c,
                             const struct clfcn_certificate *newer, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < newer->count; ++i) {
        struct clfcn_finding *f = find(c, &newer->list[i]);
        if (f) {
            *f = newer->list[i];
        } else {
            rc = append(c, &newer->list[i], err);
        }
    }
    return rc;
}

void clfcn_finding_judge(struct clfcn_finding *f)
{
    f->correct = f->error <= f->bound; /* not if it is NaN */
    if (isnan(f->error)) {
        snprintf(f->why, sizeof(f->why), "leaves values that are not finite");
    } else if (!f->correct) {
        snprintf(f->why, sizeof(f->why), "relative error %.1e, allowed %.0e", f->error,
                 f->bound);
    }
}

/* JSON has no NaN: there an error that is not known is -1. */
static json_t *finding_to_json(const struct clfcn_finding *f)
{
    return json_pack("{s:s, s:s, s:i, s:f, s:f, s:b, s:f, s:s, s:s}", "subject",
                     f->subject, "pass", f->pass, "tests", f->tests, "error",
                     isnan(f->error) ? -1.0 : f->error, "bound", f->bound, "correct",
                     (int)f->correct, "ms", f->ms, "at", f->at, "why", f->why);
}

static bool copy(char *to, size_t size, const char *from)
{
    return snprintf(to, size, "%s", from) < (int)size && clfcn_is_one_line(to);
}

static bool finding_from_json(json_t *json, struct clfcn_finding *f)
{
    const char *subject, *pass, *at, *why;
    int correct;
    *f = (struct clfcn_finding){ 0 };
    if (json_unpack(json, "{s:s, s:s, s:i, s:F, s:F, s:b, s:F, s:s, s:s}", "subject",
                    &subject, "pass", &pass, "tests", &f->tests, "error", &f->error,
                    "bound", &f->bound, "correct", &correct, "ms", &f->ms, "at", &at,
                    "why", &why) != 0) {
        return false;
    }
    f->correct = correct;
    f->error = f->error < 0 ? NAN : f->error;
    return copy(f->subject, sizeof(f->subject), subject) &&
           copy(f->pass, sizeof(f->pass), pass) && copy(f->at, sizeof(f->at), at) &&
           copy(f->why, sizeof(f->why), why);
}

/* dev: whose it must be; NULL: anyone's. */
static int from_json(const json_t *json, const struct clfcn_dev *dev,
                     struct clfcn_certificate *c, struct clfcn_err *err)
{
    const json_t *list = json_object_get(json, "findings");
    int rc = dev ? clfcn_stored_check(json, FORMAT, dev, err)
                 : clfcn_stored_check_whole(json, FORMAT, err);
    for (size_t i = 0; rc == CLFCN_OK && i < json_array_size(list); ++i) {
        struct clfcn_finding f;
        rc = finding_from_json(json_array_get(list, i), &f) ? append(c, &f, err)
                                                            : clfcn_stored_damaged(err);
    }
    return rc;
}

int clfcn_certificate_path(const struct clfcn_dev *dev, char **path,
                           struct clfcn_err *err)
{
    return clfcn_stored_path(dev, "selftest", path, err);
}

void clfcn_certificate_load(const struct clfcn_dev *dev, struct clfcn_certificate *c)
{
    struct clfcn_err err;
    json_t *json = NULL;
    char *path = NULL;
    *c = (struct clfcn_certificate){ 0 };
    if (clfcn_certificate_path(dev, &path, NULL) == CLFCN_OK && clfcn_path_exists(path) &&
        (clfcn_stored_read(path, &json, &err) < 0 || from_json(json, dev, c, &err) < 0)) {
        clfcn_debug("what the self-test found is left out: %s", err.msg);
        clfcn_certificate_free(c);
    }
    json_decref(json);
    free(path);
}

int clfcn_certificate_read(const char *path, struct clfcn_certificate *c, json_t **origin,
                           struct clfcn_err *err)
{
    *c = (struct clfcn_certificate){ 0 };
    int rc = clfcn_stored_read(path, origin, err);
    if (rc < 0) {
        return rc;
    }
    if (!json_is_array(json_object_get(*origin, "findings"))) {
        rc = clfcn_err_set(err, CLFCN_EDATA, 0,
                           "it holds no findings of 'clfcn selftest'");
    }
    rc = rc < 0 ? rc : from_json(*origin, NULL, c, err);
    if (rc < 0) {
        clfcn_err_note(err, "%s", path);
        clfcn_certificate_free(c);
        json_decref(*origin);
        *origin = NULL;
    }
    return rc;
}

int clfcn_certificate_save(const struct clfcn_certificate *c, const struct clfcn_dev *dev,
                           struct clfcn_err *err)
{
    json_t *list = json_array();
    char *path = NULL;
    int rc = list ? clfcn_certificate_path(dev, &path, err) : clfcn_err_nomem(err);
    for (int i = 0; rc == CLFCN_OK && i < c->count; ++i) {
        if (json_array_append_new(list, finding_to_json(&c->list[i])) < 0) {
            rc = clfcn_err_nomem(err);
        }
    }
    if (rc == CLFCN_OK) {
        json_t *content = json_pack("{s:O}", "findings", list);
        rc = clfcn_stored_write(path, clfcn_stored_seal(content, FORMAT, dev), err);
    }
    json_decref(list);
    free(path);
    return rc;
}
