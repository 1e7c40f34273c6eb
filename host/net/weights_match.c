#include "weights_match.h"

#include "../util/array.h"
#include "../util/log.h"
#include "../util/strbuf.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char backbone_prefix[] = "pretrained_net.";
enum { MAX_NAME = 300 };

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* A file's name of a tensor as a network would have it. */
static void translate(const char *name, char out[MAX_NAME])
{
    static const char wrapper[] = "module.";
    while (starts_with(name, wrapper)) {
        name += strlen(wrapper);
    }
    snprintf(out, MAX_NAME, "%s%s", starts_with(name, "features.") ? backbone_prefix : "",
             name);
}

const struct clfcn_weights_tensor *
clfcn_weights_match_one(const struct clfcn_weights_file *f, const char *name)
{
    for (int i = 0; i < f->count; ++i) {
        char translated[MAX_NAME];
        translate(f->tensors[i].name, translated);
        if (strcmp(translated, name) == 0) {
            return &f->tensors[i];
        }
    }
    return NULL;
}

static bool is_imagenet_classifier(const char *name)
{
    static const char classifier[] = "classifier.";
    const bool in_backbone = starts_with(name, backbone_prefix);
    const char *rest = name + (in_backbone ? strlen(backbone_prefix) : 0);
    return starts_with(rest, classifier) &&
           (in_backbone || isdigit((unsigned char)rest[strlen(classifier)]));
}

static bool is_backbone(const struct clfcn_weights_file *f)
{
    bool features = false;
    for (int i = 0; i < f->count; ++i) {
        char name[MAX_NAME];
        translate(f->tensors[i].name, name);
        if (starts_with(name, "deconv") || starts_with(name, "bn")) {
            return false;
        }
        features = features || starts_with(name, backbone_prefix);
    }
    return features;
}

/* Takes over what text holds. */
static int add_problem(struct clfcn_weights_match *m, struct clfcn_strbuf *text,
                       struct clfcn_err *err)
{
    char **grown = clfcn_array_grow(m->problems, (size_t)m->problem_count + 1,
                                    &m->problem_room, sizeof(*grown));
    m->problems = grown ? grown : m->problems;
    if (text->failed || !grown) {
        clfcn_strbuf_free(text);
        return clfcn_err_nomem(err);
    }
    grown[m->problem_count++] = text->str;
    return CLFCN_OK;
}

static void add_shape(struct clfcn_strbuf *text, int ndim, const int64_t *dims)
{
    clfcn_strbuf_add(text, "[");
    for (int i = 0; i < ndim; ++i) {
        clfcn_strbuf_add(text, "%s%" PRId64, i ? ", " : "", dims[i]);
    }
    clfcn_strbuf_add(text, "]");
}

static bool same_shape(const struct clfcn_weights_tensor *t,
                       const struct clfcn_net_tensor *want)
{
    bool same = t->ndim == want->ndim;
    for (int i = 0; same && i < want->ndim; ++i) {
        same = t->dims[i] == want->dims[i];
    }
    return same;
}

/* t is a file's tensor for want, the i-th of the network's. */
static int take(struct clfcn_weights_match *m, const struct clfcn_weights_tensor *t,
                const struct clfcn_net_tensor *want, int i, struct clfcn_err *err)
{
    struct clfcn_strbuf text = { 0 };
    const bool integers = want->dtype == CLFCN_I64;
    if (m->found[i]) {
        clfcn_strbuf_add(&text, "'%s' and '%s' are the same tensor", m->found[i]->name,
                         t->name);
    } else if (!same_shape(t, want)) {
        clfcn_strbuf_add(&text, "'%s' has shape ", t->name);
        add_shape(&text, t->ndim, t->dims);
        clfcn_strbuf_add(&text, " where the network has ");
        add_shape(&text, want->ndim, want->dims);
    } else if (integers ? t->dtype != CLFCN_I64 : t->dtype > CLFCN_F64) {
        clfcn_strbuf_add(&text, "'%s' holds no %s", t->name,
                         integers ? "64-bit integers" : "floating-point numbers");
    } else {
        m->found[i] = t;
        ++m->found_count;
        return CLFCN_OK;
    }
    return add_problem(m, &text, err);
}

/* Place a file's tensor. seen[i] becomes true if it is the network's i-th, fit or not. */
static int place(struct clfcn_weights_match *m, const struct clfcn_weights_tensor *t,
                 const struct clfcn_net_tensor *want, int count, bool *seen,
                 struct clfcn_err *err)
{
    char name[MAX_NAME];
    translate(t->name, name);
    for (int i = 0; i < count; ++i) {
        if (strcmp(want[i].name, name) == 0) {
            seen[i] = true;
            return take(m, t, &want[i], i, err);
        }
    }
    /* Optimiser state is taken or left according to what is asked for. */
    if (starts_with(name, "optim.") || is_imagenet_classifier(name)) {
        return CLFCN_OK;
    }
    struct clfcn_strbuf text = { 0 };
    clfcn_strbuf_add(&text, "'%s' is unknown", t->name);
    return add_problem(m, &text, err);
}

int clfcn_weights_match(const struct clfcn_weights_file *f,
                        const struct clfcn_net_tensor *want, int count,
                        struct clfcn_weights_match *out, struct clfcn_err *err)
{
    *out = (struct clfcn_weights_match){
        .found = calloc((size_t)count + 1, sizeof(*out->found)),
    };
    const bool backbone = is_backbone(f);
    bool *seen = calloc((size_t)count + 1, sizeof(*seen));
    int rc = out->found && seen ? CLFCN_OK : clfcn_err_nomem(err);
    for (int i = 0; rc == CLFCN_OK && i < f->count; ++i) {
        rc = place(out, &f->tensors[i], want, count, seen, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < count; ++i) {
        /* Old versions of PyTorch saved no num_batches_tracked; nothing computes with it.
         */
        const bool may_lack = want[i].dtype == CLFCN_I64 ||
                              (backbone && !starts_with(want[i].name, backbone_prefix));
        struct clfcn_strbuf text = { 0 };
        if (!seen[i] && !may_lack) {
            clfcn_strbuf_add(&text, "'%s' is missing", want[i].name);
            rc = add_problem(out, &text, err);
        }
    }
    free(seen);
    return rc;
}

void clfcn_weights_match_free(struct clfcn_weights_match *m)
{
    for (int i = 0; i < m->problem_count; ++i) {
        free(m->problems[i]);
    }
    free(m->problems);
    free(m->found);
    *m = (struct clfcn_weights_match){ 0 };
}

/* As many problems as a message has room for. */
static int refuse(const struct clfcn_weights_match *m, const char *file, const char *net,
                  const char *way_out, struct clfcn_err *err)
{
    enum { ROOM = 600 };
    struct clfcn_strbuf list = { 0 };
    int i = 0;
    while (i < m->problem_count && (i == 0 || list.len + strlen(m->problems[i]) < ROOM)) {
        clfcn_strbuf_add(&list, "%s%s", i ? "; " : "", m->problems[i]);
        ++i;
    }
    if (i < m->problem_count) {
        clfcn_strbuf_add(&list, "; and %d more", m->problem_count - i);
    }
    const int rc =
        list.failed ? clfcn_err_nomem(err)
                    : clfcn_err_set(err, CLFCN_EDATA, 0, "%s does not match %s: %s: %s",
                                    file, net, list.str, way_out);
    clfcn_strbuf_free(&list);
    return rc;
}

int clfcn_weights_match_check(const struct clfcn_weights_match *m, const char *file,
                              const char *net, const char *way_out, bool partial,
                              struct clfcn_err *err)
{
    if (m->problem_count > 0 && !partial) {
        return refuse(m, file, net, way_out, err);
    }
    if (m->found_count == 0) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "%s: nothing in it matches %s", file,
                             net);
    }
    for (int i = 0; i < m->problem_count; ++i) {
        clfcn_warn("%s: %s", file, m->problems[i]);
    }
    return CLFCN_OK;
}
