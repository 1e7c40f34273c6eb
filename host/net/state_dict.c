#include "state_dict.h"

#include "graph.h"
#include "narrow.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The next tensor of op: param, or, being NULL, the count of its batches. */
static void list_tensor(struct clfcn_state_dict *sd, const struct clfcn_op *op,
                        const struct clfcn_param *param)
{
    struct clfcn_net_tensor *t = &sd->tensors[sd->count];
    char *name = sd->names[sd->count++];
    snprintf(name, sizeof(sd->names[0]), "%s.%s", op->prefix,
             param ? param->suffix : "num_batches_tracked");
    *t = (struct clfcn_net_tensor){ .name = name, .dtype = CLFCN_I64, .bytes = 8 };
    if (param) {
        t->dtype = CLFCN_F32;
        t->ndim = param->ndim;
        memcpy(t->dims, param->dims, sizeof(t->dims));
        t->bytes = param->count * sizeof(float);
    }
}

/* Each layer's parameters, then its buffers. All heads have the same. */
static int list_tensors(struct clfcn_state_dict *sd, struct clfcn_err *err)
{
    const struct clfcn_net_desc desc = { .arch = CLFCN_FCN32S,
                                         .backbone = sd->backbone,
                                         .classes = sd->classes ? sd->classes : 1,
                                         .width = 32,
                                         .height = 32,
                                         .batch = 1 };
    const struct clfcn_op_env env = { 0 };
    struct clfcn_graph *graph = calloc(1, sizeof(*graph));
    if (!graph) {
        return clfcn_err_nomem(err);
    }
    const int rc = clfcn_graph_build(graph, &desc, false, NULL, &env, err);
    for (int i = 0; rc == CLFCN_OK && i < graph->op_count; ++i) {
        const struct clfcn_op *op = graph->ops[i];
        bool has_statistics = false;
        for (int j = 0; j < op->param_count; ++j) {
            list_tensor(sd, op, &op->params[j]);
            has_statistics = has_statistics || !op->params[j].learned;
        }
        if (has_statistics) {
            list_tensor(sd, op, NULL);
        }
    }
    clfcn_graph_finish(graph);
    free(graph);
    return rc;
}

int clfcn_state_dict_create(const struct clfcn_weights_file *f, const char *name,
                            enum clfcn_backbone backbone, int classes,
                            struct clfcn_state_dict **out, struct clfcn_err *err)
{
    struct clfcn_state_dict *sd = calloc(1, sizeof(*sd));
    *out = NULL;
    if (!sd) {
        return clfcn_err_nomem(err);
    }
    sd->file = f;
    sd->name = name;
    sd->backbone = backbone;
    sd->classes = classes;
    int rc = list_tensors(sd, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_weights_match(f, sd->tensors, sd->count, &sd->match, err);
    }
    if (rc < 0) {
        clfcn_state_dict_destroy(&sd);
    }
    *out = sd;
    return rc;
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

int clfcn_state_dict_guess(const struct clfcn_weights_file *f, const char *name,
                           struct clfcn_state_dict **out, struct clfcn_err *err)
{
    const int classes = count_classes(f);
    *out = NULL;
    for (int b = 0; clfcn_backbone_name((enum clfcn_backbone)b); ++b) {
        struct clfcn_state_dict *sd;
        const int rc =
            clfcn_state_dict_create(f, name, (enum clfcn_backbone)b, classes, &sd, err);
        if (rc < 0) {
            clfcn_state_dict_destroy(out);
            return rc;
        }
        if (*out && sd->match.problem_count >= (*out)->match.problem_count) {
            clfcn_state_dict_destroy(&sd);
        } else {
            clfcn_state_dict_destroy(out);
            *out = sd;
        }
    }
    return CLFCN_OK;
}

void clfcn_state_dict_destroy(struct clfcn_state_dict **sd)
{
    if (*sd) {
        clfcn_weights_match_free(&(*sd)->match);
        free(*sd);
        *sd = NULL;
    }
}

int clfcn_state_dict_check(const struct clfcn_state_dict *sd, const char *way_out,
                           bool partial, struct clfcn_err *err)
{
    char net[48];
    snprintf(net, sizeof(net), "an FCN on %s", clfcn_backbone_name(sd->backbone));
    return clfcn_weights_match_check(&sd->match, sd->name, net, way_out, partial, err);
}

/* Old versions of PyTorch saved no num_batches_tracked, which stands behind the running
 * statistics: new ones want it. */
static bool is_missing_count(const struct clfcn_state_dict *sd, int i)
{
    const struct clfcn_weights_tensor *const *found = sd->match.found;
    return !found[i] && sd->tensors[i].dtype == CLFCN_I64 && found[i - 1];
}

bool clfcn_state_dict_has(const struct clfcn_state_dict *sd, int i)
{
    return sd->match.found[i] || is_missing_count(sd, i);
}

int clfcn_state_dict_tensors(const struct clfcn_state_dict *sd)
{
    int n = 0;
    for (int i = 0; i < sd->count; ++i) {
        n += clfcn_state_dict_has(sd, i);
    }
    return n;
}

size_t clfcn_state_dict_elements(const struct clfcn_state_dict *sd, int i)
{
    const struct clfcn_net_tensor *t = &sd->tensors[i];
    return t->bytes / (t->dtype == CLFCN_I64 ? sizeof(int64_t) : sizeof(float));
}

int clfcn_state_dict_read(const struct clfcn_state_dict *sd, int i, void *data,
                          struct clfcn_err *err)
{
    if (is_missing_count(sd, i)) {
        memset(data, 0, sizeof(int64_t));
        return CLFCN_OK;
    }
    const struct clfcn_weights_tensor *t = sd->match.found[i];
    const int rc = sd->tensors[i].dtype == CLFCN_I64
                       ? clfcn_weights_integers(sd->file, t, data, err)
                       : clfcn_weights_floats(sd->file, t, data, err);
    if (rc < 0) {
        clfcn_err_note(err, "%s", sd->name);
    }
    return rc;
}

static int save_tensor(const struct clfcn_state_dict *sd, int i, enum clfcn_dtype dtype,
                       struct clfcn_st_writer *w, struct clfcn_err *err)
{
    const bool floats = sd->tensors[i].dtype == CLFCN_F32;
    size_t bytes = sd->tensors[i].bytes;
    void *data = malloc(bytes);
    int rc = data ? clfcn_state_dict_read(sd, i, data, err) : clfcn_err_nomem(err);
    if (rc == CLFCN_OK && floats) {
        bytes = clfcn_narrow(data, clfcn_state_dict_elements(sd, i), dtype);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_st_writer_data(w, data, bytes, err);
    }
    free(data);
    return rc;
}

/* What comes before the classifier has a multiple of four floats, so that integers are
 * aligned whatever is left out. */
int clfcn_state_dict_save(const struct clfcn_state_dict *sd, enum clfcn_dtype dtype,
                          const char *path, struct clfcn_err *err)
{
    struct clfcn_st_writer *w = NULL;
    int rc = clfcn_st_writer_create(&w, err);
    for (int i = 0; rc == CLFCN_OK && i < sd->count; ++i) {
        const struct clfcn_net_tensor *t = &sd->tensors[i];
        const bool floats = t->dtype == CLFCN_F32;
        if (clfcn_state_dict_has(sd, i)) {
            rc = clfcn_st_writer_declare(w, t->name, floats ? dtype : t->dtype, t->ndim,
                                         t->dims, err);
        }
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_st_writer_begin(w, path, NULL, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < sd->count; ++i) {
        rc = clfcn_state_dict_has(sd, i) ? save_tensor(sd, i, dtype, w, err) : CLFCN_OK;
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_st_writer_commit(w, err);
    }
    clfcn_st_writer_destroy(&w);
    return rc;
}
