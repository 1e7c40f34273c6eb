#include "net_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char backbone_prefix[] = "pretrained_net.";

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* What a file holds decides what it must hold. */
struct source {
    const struct clfcn_st_file *file;
    const char *name; /* of the file, for messages */
    bool torchvision; /* features.* alone: the backbone */
};

/* The name under which the source keeps a tensor, or NULL if it need not have it. */
static const char *name_in(const struct source *src, const char *name)
{
    if (!src->torchvision) {
        return name;
    }
    return starts_with(name, backbone_prefix) ? name + strlen(backbone_prefix) : NULL;
}

static void describe_shape(char *buf, size_t n, int ndim, const int64_t *dims)
{
    size_t used = (size_t)snprintf(buf, n, "[");
    for (int i = 0; i < ndim && used < n; ++i) {
        used += (size_t)snprintf(buf + used, n - used, "%s%lld", i ? ", " : "",
                                 (long long)dims[i]);
    }
    if (used < n) {
        snprintf(buf + used, n - used, "]");
    }
}

static int check_shape(const struct source *src, const struct clfcn_st_tensor *t,
                       const struct clfcn_net_tensor *want, struct clfcn_err *err)
{
    bool same = t->ndim == want->ndim;
    for (int i = 0; same && i < want->ndim; ++i) {
        same = t->dims[i] == want->dims[i];
    }
    if (same) {
        return CLFCN_OK;
    }
    char has[96], wants[96];
    describe_shape(has, sizeof(has), t->ndim, t->dims);
    describe_shape(wants, sizeof(wants), want->ndim, want->dims);
    return clfcn_err_set(err, CLFCN_EDATA, 0,
                         "%s: '%s' has shape %s where this network has %s: check --arch, "
                         "--backbone and the number of classes",
                         src->name, t->name, has, wants);
}

/* Whether the network may do without a tensor: files saved by old versions of PyTorch
 * have no num_batches_tracked, which nothing computes with. */
static bool optional(const struct clfcn_tensor_entry *e)
{
    return e->place == CLFCN_ON_HOST;
}

static int load_count(struct clfcn_net *net, int i, const struct source *src,
                      const struct clfcn_st_tensor *t, struct clfcn_err *err)
{
    int64_t value = 0;
    if (t->dtype != CLFCN_I64) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "%s: '%s' is not a 64-bit integer",
                             src->name, t->name);
    }
    memcpy(&value, t->data, sizeof(value));
    return clfcn_net_tensor_write(net, i, &value, err);
}

static int load_floats(struct clfcn_net *net, int i, const struct source *src,
                       const struct clfcn_st_tensor *t, struct clfcn_err *err)
{
    float *data = malloc(t->count * sizeof(float));
    if (!data) {
        return clfcn_err_nomem(err);
    }
    int rc = clfcn_st_to_f32(t, data, err);
    if (rc < 0) {
        clfcn_err_note(err, "%s", src->name);
    } else {
        rc = clfcn_net_tensor_write(net, i, data, err);
    }
    free(data);
    return rc;
}

/* The file's tensor for entry i, checked, or NULL if it is not needed. */
static int find_tensor(struct clfcn_net *net, int i, const struct source *src,
                       const struct clfcn_st_tensor **out, struct clfcn_err *err)
{
    const struct clfcn_tensor_entry *e = &net->tensors[i];
    const char *name = name_in(src, e->name);
    struct clfcn_net_tensor want;
    *out = NULL;
    if (!name) {
        return CLFCN_OK;
    }
    const struct clfcn_st_tensor *t = clfcn_st_find(src->file, name);
    if (!t && !optional(e)) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "%s: tensor '%s' is missing: is it a %s on %s?", src->name,
                             name, clfcn_arch_name(net->desc.arch),
                             clfcn_backbone_name(net->desc.backbone));
    }
    clfcn_net_tensor_info(net, i, &want);
    *out = t;
    return t ? check_shape(src, t, &want, err) : CLFCN_OK;
}

static bool known(const struct clfcn_net *net, const struct source *src, const char *name)
{
    if (starts_with(name, "optim.")) {
        return true; /* taken or left according to what is asked for */
    }
    for (int i = 0; i < net->parameter_tensor_count; ++i) {
        const char *have = name_in(src, net->tensors[i].name);
        if (have && strcmp(have, name) == 0) {
            return true;
        }
    }
    /* torchvision's whole VGG brings its classifier for ImageNet. */
    return src->torchvision && starts_with(name, "classifier.");
}

static bool is_torchvision(const struct clfcn_st_file *f)
{
    bool features = false;
    for (int i = 0; i < f->count; ++i) {
        if (starts_with(f->tensors[i].name, backbone_prefix) ||
            starts_with(f->tensors[i].name, "deconv")) {
            return false;
        }
        features = features || starts_with(f->tensors[i].name, "features.");
    }
    return features;
}

/* Nothing is written before every tensor has been found to fit. */
int clfcn_net_read_file(struct clfcn_net *net, const struct clfcn_st_file *f,
                        const char *name, bool optimizer_state, struct clfcn_err *err)
{
    const struct source src = { f, name, is_torchvision(f) };
    const int count = clfcn_net_tensor_count(net, optimizer_state);
    const struct clfcn_st_tensor *t = NULL;
    for (int i = 0; i < f->count; ++i) {
        if (!known(net, &src, f->tensors[i].name)) {
            return clfcn_err_set(err, CLFCN_EDATA, 0,
                                 "%s: tensor '%s' does not belong to a %s on %s", name,
                                 f->tensors[i].name, clfcn_arch_name(net->desc.arch),
                                 clfcn_backbone_name(net->desc.backbone));
        }
    }
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < count; ++i) {
        rc = find_tensor(net, i, &src, &t, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < count; ++i) {
        rc = find_tensor(net, i, &src, &t, err);
        if (rc == CLFCN_OK && t) {
            rc = optional(&net->tensors[i]) ? load_count(net, i, &src, t, err)
                                            : load_floats(net, i, &src, t, err);
        }
    }
    return rc;
}

int clfcn_net_load(struct clfcn_net *net, const char *path, struct clfcn_err *err)
{
    struct clfcn_st_file f = { 0 };
    int rc = clfcn_st_open(path, &f, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_net_read_file(net, &f, path, false, err);
    }
    clfcn_st_close(&f);
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
