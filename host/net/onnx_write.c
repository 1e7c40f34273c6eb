/* onnx_write.c - a network as ONNX's messages (onnx.proto): its ops as nodes, its
 * parameters as initialisers. Sent to the file as they are, without a copy. */
#include "onnx_impl.h"

#include "onnx.pb-c.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { IR_VERSION = 7, OPSET = 13 };

enum {
    MAX_NODES = 3 * CLFCN_MAX_OPS, /* norm: a Mul, an Add, and one of a skip */
    MAX_TENSORS = CLFCN_OP_MAX_PARAMS * CLFCN_MAX_OPS,
    MAX_NAME = 80,
};

/* Messages, with what they point at in the same place. */
struct node {
    ClfcnOnnx__NodeProto message;
    char name[MAX_NAME]; /* also of its output */
    char *inputs[5], *output;
    ClfcnOnnx__AttributeProto attributes[4], *attribute_list[4];
    int64_t ints[4][4];
};

struct tensor {
    ClfcnOnnx__TensorProto message;
    char name[MAX_NAME];
    int64_t dims[4];
};

struct builder {
    const struct clfcn_onnx_model *model; /* owns the tensors' elements */
    struct node nodes[MAX_NODES];
    ClfcnOnnx__NodeProto *node_list[MAX_NODES];
    int node_count;
    struct tensor tensors[MAX_TENSORS];
    ClfcnOnnx__TensorProto *tensor_list[MAX_TENSORS];
    int tensor_count;
    char *values[CLFCN_MAX_OPS + 1]; /* names of the graph's values */
};

/* --- pieces --- */

/* "conv1_1", or with a part ("relu") "conv1_1.relu". */
static struct node *add_node(struct builder *b, const char *type, const char *name,
                             const char *part)
{
    struct node *n = &b->nodes[b->node_count];
    b->node_list[b->node_count++] = &n->message;
    snprintf(n->name, sizeof(n->name), "%s%s%s", name, part ? "." : "", part ? part : "");
    n->output = n->name;
    clfcn_onnx__node_proto__init(&n->message);
    n->message.name = n->name;
    n->message.op_type = (char *)type;
    n->message.input = n->inputs;
    n->message.output = &n->output;
    n->message.n_output = 1;
    n->message.attribute = n->attribute_list;
    return n;
}

static void add_input(struct node *n, char *name)
{
    n->inputs[n->message.n_input++] = name;
}

static ClfcnOnnx__AttributeProto *
add_attribute(struct node *n, const char *name,
              ClfcnOnnx__AttributeProto__AttributeType type)
{
    ClfcnOnnx__AttributeProto *a = &n->attributes[n->message.n_attribute];
    n->attribute_list[n->message.n_attribute++] = a;
    clfcn_onnx__attribute_proto__init(a);
    a->name = (char *)name;
    a->has_type = true;
    a->type = type;
    return a;
}

/* An attribute of count numbers, all alike: for height and width, or both ends of them.
 */
static void add_ints(struct node *n, const char *name, int count, int64_t number)
{
    int64_t *ints = n->ints[n->message.n_attribute];
    ClfcnOnnx__AttributeProto *a =
        add_attribute(n, name, CLFCN_ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    for (int i = 0; i < count; ++i) {
        ints[i] = number;
    }
    a->ints = ints;
    a->n_ints = (size_t)count;
}

/* An initialiser "prefix.suffix" with the elements of parameter j of op i, in ndim
 * dimensions. Returns its name. */
static char *add_tensor(struct builder *b, int i, int j, const char *suffix, int ndim,
                        const int64_t *dims)
{
    const struct clfcn_op *op = b->model->graph.ops[i];
    struct tensor *t = &b->tensors[b->tensor_count];
    b->tensor_list[b->tensor_count++] = &t->message;
    snprintf(t->name, sizeof(t->name), "%s.%s", op->prefix, suffix);
    memcpy(t->dims, dims, (size_t)ndim * sizeof(*dims));
    clfcn_onnx__tensor_proto__init(&t->message);
    t->message.name = t->name;
    t->message.dims = t->dims;
    t->message.n_dims = (size_t)ndim;
    t->message.has_data_type = true;
    t->message.data_type = CLFCN_ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    t->message.has_raw_data = true;
    t->message.raw_data.data = (uint8_t *)b->model->params[i][j];
    t->message.raw_data.len = op->params[j].count * sizeof(float);
    return t->name;
}

static void add_parameters(struct builder *b, struct node *n, int i)
{
    const struct clfcn_op *op = b->model->graph.ops[i];
    for (int j = 0; j < op->param_count; ++j) {
        const struct clfcn_param *p = &op->params[j];
        add_input(n, add_tensor(b, i, j, p->suffix, p->ndim, p->dims));
    }
}

/* y = op(x, x2): Mul or Add. Returns y. */
static char *join(struct builder *b, const char *type, const char *name, const char *part,
                  char *x, char *x2)
{
    struct node *n = add_node(b, type, name, part);
    add_input(n, x);
    add_input(n, x2);
    return n->name;
}

/* --- ops: each takes the name of its input and returns that of its output --- */

static char *build_conv(struct builder *b, int i, char *x)
{
    const struct clfcn_op *op = b->model->graph.ops[i];
    const int64_t kernel = op->params[0].dims[2];
    const bool transposed = strcmp(op->impl->kind, "deconv2d") == 0;
    struct node *n = add_node(b, transposed ? "ConvTranspose" : "Conv", op->name, NULL);
    add_input(n, x);
    add_parameters(b, n, i);
    add_ints(n, "kernel_shape", 2, kernel);
    add_ints(n, "pads", 4, (kernel - 1) / 2);
    if (transposed) {
        add_ints(n, "strides", 2, 2);
        add_ints(n, "output_padding", 2, 1);
    }
    if (op->relu) {
        char *linear = n->name;
        n = add_node(b, "Relu", op->name, "relu");
        add_input(n, linear);
    }
    return n->name;
}

static char *build_maxpool(struct builder *b, int i, char *x)
{
    struct node *n = add_node(b, "MaxPool", b->model->graph.ops[i]->name, NULL);
    add_input(n, x);
    add_ints(n, "kernel_shape", 2, 2);
    add_ints(n, "strides", 2, 2);
    return n->name;
}

static char *build_add(struct builder *b, int i, char *x)
{
    const struct clfcn_graph *graph = &b->model->graph;
    return join(b, "Add", graph->ops[i]->name, NULL, x, b->values[graph->in2[i]]);
}

static char *build_norm(struct builder *b, int i, char *x)
{
    const struct clfcn_graph *graph = &b->model->graph;
    const struct clfcn_op *op = graph->ops[i];
    const enum clfcn_onnx_norm norm = b->model->norms[i];
    /* Four dimensions would be legal, but OpenCV takes those for a single image. */
    const int64_t per_channel[] = { op->x->c, 1, 1 };
    if (norm == CLFCN_ONNX_NORM) {
        struct node *n = add_node(b, "BatchNormalization", op->name, NULL);
        add_input(n, x);
        add_parameters(b, n, i);
        ClfcnOnnx__AttributeProto *eps = add_attribute(
            n, "epsilon", CLFCN_ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
        eps->has_f = true;
        eps->f = CLFCN_BATCHNORM_EPS;
        x = n->name;
    }
    if (norm == CLFCN_ONNX_SCALE_SHIFT) {
        x = join(b, "Mul", op->name, "mul", x,
                 add_tensor(b, i, 0, "scale", 3, per_channel));
    }
    if (norm == CLFCN_ONNX_SCALE_SHIFT || norm == CLFCN_ONNX_SHIFT) {
        x = join(b, "Add", op->name, "add", x,
                 add_tensor(b, i, 1, "shift", 3, per_channel));
    }
    return op->x2 ? join(b, "Add", op->name, "skip", x, b->values[graph->in2[i]]) : x;
}

static const struct {
    const char *kind;
    char *(*build)(struct builder *b, int i, char *x);
} kinds[] = {
    { "conv2d", build_conv },    { "deconv2d", build_conv }, { "maxpool", build_maxpool },
    { "batchnorm", build_norm }, { "add", build_add },
};

static void build(struct builder *b, const struct clfcn_onnx_model *model)
{
    const struct clfcn_graph *graph = &model->graph;
    static char input[] = "image", output[] = "logits";
    b->model = model;
    b->values[0] = input;
    for (int i = 0; i < graph->op_count; ++i) {
        int k = 0;
        while (strcmp(kinds[k].kind, graph->ops[i]->impl->kind) != 0) {
            ++k;
        }
        b->values[graph->out[i]] = kinds[k].build(b, i, b->values[graph->in[i]]);
    }
    b->nodes[b->node_count - 1].output = output;
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
static int write_model(struct builder *b, const struct clfcn_onnx_options *options,
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

int clfcn_onnx_write(const struct clfcn_onnx_model *model,
                     const struct clfcn_onnx_options *options, const char *path,
                     int *tensors, struct clfcn_err *err)
{
    const size_t count = (size_t)options->property_count + 1;
    struct builder *b = calloc(1, sizeof(*b));
    ClfcnOnnx__StringStringEntryProto *properties = calloc(count, sizeof(*properties)),
                                      **list = calloc(count, sizeof(*list));
    int rc = b && properties && list ? CLFCN_OK : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        build(b, model);
        *tensors = b->tensor_count;
        rc = write_model(b, options, properties, list, path, err);
    }
    free(b);
    free(properties);
    free(list);
    return rc;
}
