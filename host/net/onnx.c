#include "onnx_impl.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { IR_VERSION = 7, OPSET = 13 };

/* --- the parameters --- */

static int load_param(struct clfcn_onnx_model *m, int i, int j,
                      const struct clfcn_state_dict *sd, struct clfcn_err *err)
{
    const struct clfcn_op *op = m->graph.ops[i];
    const struct clfcn_param *p = &op->params[j];
    char name[CLFCN_ONNX_NAME];
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

/* --- the file --- */

/* Where protobuf-c's bytes go: a file, and why that failed. */
struct sink {
    ProtobufCBuffer base;
    struct clfcn_atomic_file file;
    struct clfcn_err *err;
    int rc;
};

static void append(ProtobufCBuffer *buffer, size_t n, const uint8_t *bytes)
{
    struct sink *sink = (struct sink *)buffer;
    if (sink->rc == CLFCN_OK) {
        sink->rc = clfcn_atomic_write(&sink->file, bytes, n, sink->err);
    }
}

static int write_message(const ProtobufCMessage *message, const char *path,
                         struct clfcn_err *err)
{
    struct sink sink = { .base = { .append = append }, .err = err };
    const size_t bytes = protobuf_c_message_get_packed_size(message);
    if (bytes > INT_MAX) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "%s: a model of %zu bytes is more than ONNX's 2 GiB: export "
                             "--format safetensors",
                             path, bytes);
    }
    sink.rc = clfcn_atomic_open(&sink.file, path, err);
    if (sink.rc == CLFCN_OK) {
        protobuf_c_message_pack_to_buffer(message, &sink.base);
    }
    if (sink.rc == CLFCN_OK) {
        sink.rc = clfcn_atomic_commit(&sink.file, err);
    }
    clfcn_atomic_abort(&sink.file);
    return sink.rc;
}

/* --- the model around its graph --- */

/* The description of an input or output: float32 [N][channels][height][width]. */
struct port {
    ClfcnOnnx__ValueInfoProto message, *list;
    ClfcnOnnx__TypeProto type;
    ClfcnOnnx__TypeProto__Tensor tensor;
    ClfcnOnnx__TensorShapeProto shape;
    ClfcnOnnx__TensorShapeProto__Dimension dims[4], *dim_list[4];
};

static void describe_port(struct port *p, char *name, const struct clfcn_tensor *t,
                          bool any_size)
{
    static char open_names[4][2] = { "N", "", "H", "W" };
    const int sizes[] = { 0, t->c, any_size ? 0 : t->h, any_size ? 0 : t->w };
    clfcn_onnx__value_info_proto__init(&p->message);
    clfcn_onnx__type_proto__init(&p->type);
    clfcn_onnx__type_proto__tensor__init(&p->tensor);
    clfcn_onnx__tensor_shape_proto__init(&p->shape);
    for (int i = 0; i < 4; ++i) {
        ClfcnOnnx__TensorShapeProto__Dimension *d = p->dim_list[i] = &p->dims[i];
        clfcn_onnx__tensor_shape_proto__dimension__init(d);
        if (sizes[i] > 0) {
            d->value_case = CLFCN_ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            d->dim_value = sizes[i];
        } else {
            d->value_case = CLFCN_ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            d->dim_param = open_names[i];
        }
    }
    p->shape.dim = p->dim_list;
    p->shape.n_dim = 4;
    p->tensor.has_elem_type = true;
    p->tensor.elem_type = CLFCN_ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    p->tensor.shape = &p->shape;
    p->type.tensor_type = &p->tensor;
    p->message.name = name;
    p->message.type = &p->type;
    p->list = &p->message;
}

/* properties has room for all of options'. */
static int write_model(struct clfcn_onnx_builder *b,
                       const struct clfcn_onnx_options *options,
                       ClfcnOnnx__StringStringEntryProto *properties,
                       ClfcnOnnx__StringStringEntryProto **list, const char *path,
                       struct clfcn_err *err)
{
    const struct clfcn_graph *net = &b->model->graph;
    ClfcnOnnx__ModelProto model = CLFCN_ONNX__MODEL_PROTO__INIT;
    ClfcnOnnx__GraphProto graph = CLFCN_ONNX__GRAPH_PROTO__INIT;
    ClfcnOnnx__OperatorSetIdProto opset = CLFCN_ONNX__OPERATOR_SET_ID_PROTO__INIT,
                                  *opsets = &opset;
    struct port input, output;
    char producer[] = "clfcn", domain[] = "", image[] = "image", logits[] = "logits";
    describe_port(&input, image, &net->values[0].tensor, options->any_size);
    describe_port(&output, logits, &net->values[net->logits].tensor, options->any_size);
    graph.name = producer;
    graph.node = b->node_list;
    graph.n_node = (size_t)b->node_count;
    graph.initializer = b->tensor_list;
    graph.n_initializer = (size_t)b->tensor_count;
    graph.input = &input.list;
    graph.output = &output.list;
    graph.n_input = graph.n_output = 1;
    opset.domain = domain;
    opset.has_version = true;
    opset.version = OPSET;
    for (int i = 0; i < options->property_count; ++i) {
        clfcn_onnx__string_string_entry_proto__init(&properties[i]);
        properties[i].key = (char *)options->properties[i].key;
        properties[i].value = (char *)options->properties[i].value;
        list[i] = &properties[i];
    }
    model.has_ir_version = true;
    model.ir_version = IR_VERSION;
    model.producer_name = producer;
    model.producer_version = (char *)clfcn_version();
    model.graph = &graph;
    model.opset_import = &opsets;
    model.n_opset_import = 1;
    model.metadata_props = list;
    model.n_metadata_props = (size_t)options->property_count;
    return write_message(&model.base, path, err);
}

int clfcn_onnx_save(const struct clfcn_state_dict *sd, const struct clfcn_net_desc *desc,
                    const struct clfcn_onnx_options *options, const char *path,
                    int *tensors, struct clfcn_err *err)
{
    const size_t count = (size_t)options->property_count + 1;
    struct clfcn_onnx_model *model = calloc(1, sizeof(*model));
    struct clfcn_onnx_builder *b = calloc(1, sizeof(*b));
    ClfcnOnnx__StringStringEntryProto *properties = calloc(count, sizeof(*properties)),
                                      **list = calloc(count, sizeof(*list));
    int rc = model && b && properties && list ? load_model(model, sd, desc, err)
                                              : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        if (options->fold_batchnorm) {
            clfcn_onnx_fold(model);
        }
        clfcn_onnx_build(b, model);
        *tensors = b->tensor_count;
        rc = write_model(b, options, properties, list, path, err);
    }
    if (model) {
        free_model(model);
    }
    free(b);
    free(properties);
    free(list);
    return rc;
}
