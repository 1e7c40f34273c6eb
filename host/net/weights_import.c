#include "weights_import.h"

#include "graph.h"
#include "weights_match.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 80 };

/* The parameters and buffers of a network, in the order of its layers. */
struct wanted {
    struct clfcn_net_tensor list[MAX_TENSORS];
    char names[MAX_TENSORS][64];
    int count;
};

static CLFCN_PRINTF(4, 5) void add(struct wanted *w, int ndim, const int64_t *dims,
                                   const char *fmt, ...)
{
    struct clfcn_net_tensor *t = &w->list[w->count];
    va_list args;
    va_start(args, fmt);
    vsnprintf(w->names[w->count], sizeof(w->names[0]), fmt, args);
    va_end(args);
    *t = (struct clfcn_net_tensor){ .name = w->names[w->count++],
                                    .dtype = ndim == 0 ? CLFCN_I64 : CLFCN_F32,
                                    .ndim = ndim };
    memcpy(t->dims, dims, (size_t)ndim * sizeof(*dims));
}

static void want_backbone(struct wanted *w, enum clfcn_backbone backbone)
{
    int64_t in = 3;
    int index = 0;
    for (int s = 0; s < 5; ++s, ++index) {
        const int64_t out = clfcn_vgg_channels[s];
        for (int i = 0; i < clfcn_vgg_depth[backbone][s]; ++i, index += 2, in = out) {
            add(w, 4, (int64_t[]){ out, in, 3, 3 }, "pretrained_net.features.%d.weight",
                index);
            add(w, 1, &out, "pretrained_net.features.%d.bias", index);
        }
    }
}

static void want_decoder(struct wanted *w, int classes)
{
    static const char *const statistics[] = { "weight", "bias", "running_mean",
                                              "running_var" };
    int64_t in = clfcn_vgg_channels[4];
    for (int i = 1; i <= 5; ++i) {
        const int64_t out = clfcn_decoder_channels[i - 1];
        add(w, 4, (int64_t[]){ in, out, 3, 3 }, "deconv%d.weight", i);
        add(w, 1, &out, "deconv%d.bias", i);
        for (int j = 0; j < 4; ++j) {
            add(w, 1, &out, "bn%d.%s", i, statistics[j]);
        }
        add(w, 0, &out, "bn%d.num_batches_tracked", i);
        in = out;
    }
    add(w, 4, (int64_t[]){ classes, in, 1, 1 }, "classifier.weight");
    add(w, 1, (int64_t[]){ classes }, "classifier.bias");
}

/* The first dimension of the classifier; 0: there is none. */
static int count_classes(const struct clfcn_weights_file *f)
{
    const struct clfcn_weights_tensor *t =
        clfcn_weights_match_one(f, "classifier.weight");
    const bool possible =
        t && t->ndim == 4 && t->dims[0] >= 1 && t->dims[0] <= CLFCN_MAX_CLASSES;
    return possible ? (int)t->dims[0] : 0;
}

/* Match f with the backbone that leaves the fewest problems. */
static int match_best(const struct clfcn_weights_file *f, struct wanted *best,
                      struct clfcn_weights_match *match, struct clfcn_import *report,
                      struct clfcn_err *err)
{
    bool first = true;
    for (int b = 0; clfcn_backbone_name((enum clfcn_backbone)b); ++b) {
        struct wanted w = { .count = 0 };
        struct clfcn_weights_match m;
        want_backbone(&w, (enum clfcn_backbone)b);
        want_decoder(&w, report->classes > 0 ? report->classes : 1);
        const int rc = clfcn_weights_match(f, w.list, w.count, &m, err);
        const bool better = first || m.problem_count < match->problem_count;
        if (rc == CLFCN_OK && better) {
            clfcn_weights_match_free(match);
            *match = m;
            *best = w;
            report->backbone = (enum clfcn_backbone)b;
            first = false;
        } else {
            clfcn_weights_match_free(&m);
        }
        if (rc < 0) {
            return rc;
        }
    }
    for (int i = 0; i < best->count; ++i) {
        best->list[i].name = best->names[i]; /* not those of the copy's source */
    }
    return CLFCN_OK;
}

static int write_tensor(struct clfcn_st_writer *w, const struct clfcn_weights_file *f,
                        const char *name, const struct clfcn_weights_tensor *t,
                        struct clfcn_err *err)
{
    const bool integers = t->dtype == CLFCN_I64;
    const size_t bytes = t->count * (integers ? sizeof(int64_t) : sizeof(float));
    void *data = malloc(bytes + 1);
    if (!data) {
        return clfcn_err_nomem(err);
    }
    int rc = integers ? clfcn_weights_integers(f, t, data, err)
                      : clfcn_weights_floats(f, t, data, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_st_writer_data(w, data, bytes, err);
    } else {
        clfcn_err_note(err, "%s", name);
    }
    free(data);
    return rc;
}

/* What comes before the classifier has an even number of floats, so that integers are
 * aligned whatever is left out. */
static int write_file(const struct clfcn_weights_file *f, const char *name,
                      const struct wanted *want, const struct clfcn_weights_match *match,
                      const char *path, struct clfcn_err *err)
{
    struct clfcn_st_writer *w = NULL;
    int rc = clfcn_st_writer_create(&w, err);
    for (int i = 0; rc == CLFCN_OK && i < want->count; ++i) {
        const struct clfcn_net_tensor *t = &want->list[i];
        if (match->found[i]) {
            rc = clfcn_st_writer_declare(w, t->name, t->dtype, t->ndim, t->dims, err);
        }
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_st_writer_begin(w, path, NULL, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < want->count; ++i) {
        if (match->found[i]) {
            rc = write_tensor(w, f, name, match->found[i], err);
        }
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_st_writer_commit(w, err);
    }
    clfcn_st_writer_destroy(&w);
    return rc;
}

int clfcn_weights_import(const struct clfcn_weights_file *f, const char *name,
                         const char *out, bool partial, struct clfcn_import *report,
                         struct clfcn_err *err)
{
    struct clfcn_weights_match match = { 0 };
    struct wanted want = { .count = 0 };
    char net[48];
    *report = (struct clfcn_import){ .classes = count_classes(f) };
    int rc = match_best(f, &want, &match, report, err);
    if (rc == CLFCN_OK) {
        snprintf(net, sizeof(net), "an FCN on %s", clfcn_backbone_name(report->backbone));
        rc = clfcn_weights_match_check(&match, name, net,
                                       "take what matches with --partial", partial, err);
    }
    if (rc == CLFCN_OK) {
        report->tensors = match.found_count;
        rc = write_file(f, name, &want, &match, out, err);
    }
    clfcn_weights_match_free(&match);
    return rc;
}
