#include "net_impl.h"
#include "state_dict.h"
#include "weights_match.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Nothing that is computed from such a number is one: better said here than as a loss. */
static int check_finite(const float *data, const struct clfcn_weights_tensor *t,
                        struct clfcn_err *err)
{
    for (size_t i = 0; i < t->count; ++i) {
        if (!isfinite(data[i])) {
            return clfcn_err_set(
                err, CLFCN_EDATA, 0,
                "'%s' holds %g at element %zu: such weights came out of a "
                "training that failed; take earlier ones",
                t->name, (double)data[i], i);
        }
    }
    return CLFCN_OK;
}

static int load_tensor(struct clfcn_net *net, int i, const struct clfcn_weights_file *f,
                       const struct clfcn_weights_tensor *t, struct clfcn_err *err)
{
    int64_t count = 0;
    if (t->dtype == CLFCN_I64) {
        const int rc = clfcn_weights_integers(f, t, &count, err);
        return rc < 0 ? rc : clfcn_net_tensor_write(net, i, &count, err);
    }
    float *data = malloc(t->count * sizeof(float));
    if (!data) {
        return clfcn_err_nomem(err);
    }
    int rc = clfcn_weights_floats(f, t, data, err);
    if (rc == CLFCN_OK) {
        rc = check_finite(data, t, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_net_tensor_write(net, i, data, err);
    }
    free(data);
    return rc;
}

/* What a mismatch comes down to where the file fits another backbone. */
static int check_backbone(const struct clfcn_net *net, const struct clfcn_weights_file *f,
                          const char *name, struct clfcn_err *err)
{
    struct clfcn_state_dict *sd;
    const enum clfcn_backbone own = net->desc.backbone;
    int rc = clfcn_state_dict_guess(f, name, &sd, err);
    if (rc == CLFCN_OK && sd->backbone != own && sd->match.problem_count == 0) {
        const char *held = clfcn_backbone_name(sd->backbone);
        rc = clfcn_err_set(err, CLFCN_EDATA, 0,
                           "%s holds weights for %s and the network is on %s: take "
                           "--backbone %s",
                           name, held, clfcn_backbone_name(own), held);
    }
    clfcn_state_dict_destroy(&sd);
    return rc;
}

/* Nothing is written before every tensor has been found to fit. */
static int load(struct clfcn_net *net, const struct clfcn_weights_file *f,
                const char *name, bool optimizer_state, const char *way_out, bool partial,
                struct clfcn_err *err)
{
    const int count = clfcn_net_tensor_count(net, optimizer_state);
    struct clfcn_net_tensor *want = calloc((size_t)count, sizeof(*want));
    struct clfcn_weights_match match = { 0 };
    char what[48];
    if (!want) {
        return clfcn_err_nomem(err);
    }
    for (int i = 0; i < count; ++i) {
        clfcn_net_tensor_info(net, i, &want[i]);
    }
    snprintf(what, sizeof(what), "a %s on %s", clfcn_arch_name(net->desc.arch),
             clfcn_backbone_name(net->desc.backbone));
    int rc = clfcn_weights_match(f, want, count, &match, err);
    if (rc == CLFCN_OK && match.problem_count > 0 && !partial) {
        rc = check_backbone(net, f, name, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_weights_match_check(&match, name, what, way_out, partial, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < count; ++i) {
        if (match.found[i]) {
            rc = load_tensor(net, i, f, match.found[i], err);
            CLFCN_CHECK(rc, out, err, "%s", name);
        }
    }
out:
    clfcn_weights_match_free(&match);
    free(want);
    return rc;
}

int clfcn_net_read_file(struct clfcn_net *net, const struct clfcn_weights_file *f,
                        const char *name, bool optimizer_state, struct clfcn_err *err)
{
    return load(net, f, name, optimizer_state,
                "check --arch, --backbone and the number of classes", false, err);
}

int clfcn_net_load(struct clfcn_net *net, const char *path, bool partial,
                   struct clfcn_err *err)
{
    struct clfcn_weights_file f = { 0 };
    int rc = clfcn_weights_open(path, &f, err);
    if (rc == CLFCN_OK) {
        rc = load(net, &f, path, false,
                  "check --arch, --backbone and the number of classes, or take what "
                  "matches with --partial",
                  partial, err);
    }
    clfcn_weights_close(&f);
    return rc;
}

static int write_tensor(struct clfcn_net *net, struct clfcn_st_writer *w, int i,
                        struct clfcn_err *err)
{
    struct clfcn_net_tensor info;
    clfcn_net_tensor_info(net, i, &info);
    void *data = malloc(info.bytes);
    if (!data) {
        return clfcn_err_nomem(err);
    }
    int rc = clfcn_net_tensor_read(net, i, data, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_st_writer_data(w, data, info.bytes, err);
    }
    free(data);
    return rc;
}

int clfcn_net_write_file(struct clfcn_net *net, const char *path, bool optimizer_state,
                         const char *metadata, struct clfcn_st_writer **out,
                         struct clfcn_err *err)
{
    struct clfcn_st_writer *w = NULL;
    const int count = clfcn_net_tensor_count(net, optimizer_state);
    int rc = clfcn_st_writer_create(&w, err);
    for (int i = 0; rc == CLFCN_OK && i < count; ++i) {
        struct clfcn_net_tensor info;
        clfcn_net_tensor_info(net, i, &info);
        rc = clfcn_st_writer_declare(w, info.name, info.dtype, info.ndim, info.dims, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_st_writer_begin(w, path, metadata, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < count; ++i) {
        rc = write_tensor(net, w, i, err);
    }
    if (rc < 0) {
        clfcn_st_writer_destroy(&w);
    }
    *out = w;
    return rc;
}

int clfcn_net_save(struct clfcn_net *net, const char *path, struct clfcn_err *err)
{
    struct clfcn_st_writer *w;
    int rc = clfcn_net_write_file(net, path, false, NULL, &w, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_st_writer_commit(w, err);
    }
    clfcn_st_writer_destroy(&w);
    return rc;
}
