#include "onnx_impl.h"

#include <stdlib.h>
#include <string.h>

static int load_param(struct clfcn_onnx_model *m, int i, int j,
                      const struct clfcn_state_dict *sd, struct clfcn_err *err)
{
    const struct clfcn_op *op = m->graph.ops[i];
    const struct clfcn_param *p = &op->params[j];
    char name[sizeof(sd->names[0])];
    snprintf(name, sizeof(name), "%s.%s", op->prefix, p->suffix);
    int t = 0;
    while (t < sd->count && strcmp(sd->tensors[t].name, name) != 0) {
        ++t;
    }
    if (t == sd->count || !clfcn_state_dict_has(sd, t)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "the network's '%s' is missing", name);
    }
    m->params[i][j] = malloc(p->count * sizeof(float));
    return m->params[i][j] ? clfcn_state_dict_read(sd, t, m->params[i][j], err)
                           : clfcn_err_nomem(err);
}

static int load_model(struct clfcn_onnx_model *m, const struct clfcn_state_dict *sd,
                      const struct clfcn_net_desc *desc, struct clfcn_err *err)
{
    const struct clfcn_op_env env = { 0 };
    struct clfcn_net_desc one = *desc;
    one.batch = 1;
    int rc = clfcn_graph_build(&m->graph, &one, false, NULL, &env, err);
    for (int i = 0; rc == CLFCN_OK && i < m->graph.op_count; ++i) {
        for (int j = 0; rc == CLFCN_OK && j < m->graph.ops[i]->param_count; ++j) {
            rc = load_param(m, i, j, sd, err);
        }
    }
    return rc;
}

static void free_model(struct clfcn_onnx_model *m)
{
    for (int i = 0; i < CLFCN_MAX_OPS; ++i) {
        for (int j = 0; j < CLFCN_OP_MAX_PARAMS; ++j) {
            free(m->params[i][j]);
        }
    }
    clfcn_graph_finish(&m->graph);
    free(m);
}

int clfcn_onnx_save(const struct clfcn_state_dict *sd, const struct clfcn_net_desc *desc,
                    const struct clfcn_onnx_options *options, const char *path,
                    int *tensors, struct clfcn_err *err)
{
    struct clfcn_onnx_model *model = calloc(1, sizeof(*model));
    if (!model) {
        return clfcn_err_nomem(err);
    }
    int rc = load_model(model, sd, desc, err);
    if (rc == CLFCN_OK && options->fold_batchnorm) {
        clfcn_onnx_fold(model);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_onnx_write(model, options, path, tensors, err);
    }
    free_model(model);
    return rc;
}
