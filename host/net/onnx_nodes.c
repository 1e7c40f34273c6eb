/* onnx_nodes.c - a network's ops as ONNX nodes, its parameters as initialisers. */
#include "onnx_impl.h"

#include <stdio.h>
#include <string.h>

/* --- pieces --- */

/* "conv1_1", or with a part ("relu") "conv1_1.relu". */
static struct clfcn_onnx_node *add_node(struct clfcn_onnx_builder *b, const char *type,
                                        const char *name, const char *part)
{
    struct clfcn_onnx_node *n = &b->nodes[b->node_count];
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

static void add_input(struct clfcn_onnx_node *n, char *name)
{
    n->inputs[n->message.n_input++] = name;
}

static ClfcnOnnx__AttributeProto *
add_attribute(struct clfcn_onnx_node *n, const char *name,
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
static void add_ints(struct clfcn_onnx_node *n, const char *name, int count,
                     int64_t number)
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
static char *add_tensor(struct clfcn_onnx_builder *b, int i, int j, const char *suffix,
                        int ndim, const int64_t *dims)
{
    const struct clfcn_op *op = b->model->graph.ops[i];
    struct clfcn_onnx_tensor *t = &b->tensors[b->tensor_count];
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

static void add_parameters(struct clfcn_onnx_builder *b, struct clfcn_onnx_node *n, int i)
{
    const struct clfcn_op *op = b->model->graph.ops[i];
    for (int j = 0; j < op->param_count; ++j) {
        const struct clfcn_param *p = &op->params[j];
        add_input(n, add_tensor(b, i, j, p->suffix, p->ndim, p->dims));
    }
}

/* y = op(x, x2): Mul or Add. Returns y. */
static char *join(struct clfcn_onnx_builder *b, const char *type, const char *name,
                  const char *part, char *x, char *x2)
{
    struct clfcn_onnx_node *n = add_node(b, type, name, part);
    add_input(n, x);
    add_input(n, x2);
    return n->name;
}

/* --- ops: each takes the name of its input and returns that of its output --- */

static char *build_conv(struct clfcn_onnx_builder *b, int i, char *x)
{
    const struct clfcn_op *op = b->model->graph.ops[i];
    const int64_t kernel = op->params[0].dims[2];
    const bool transposed = strcmp(op->impl->kind, "deconv2d") == 0;
    struct clfcn_onnx_node *n =
        add_node(b, transposed ? "ConvTranspose" : "Conv", op->name, NULL);
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

static char *build_maxpool(struct clfcn_onnx_builder *b, int i, char *x)
{
    struct clfcn_onnx_node *n =
        add_node(b, "MaxPool", b->model->graph.ops[i]->name, NULL);
    add_input(n, x);
    add_ints(n, "kernel_shape", 2, 2);
    add_ints(n, "strides", 2, 2);
    return n->name;
}

static char *build_add(struct clfcn_onnx_builder *b, int i, char *x)
{
    const struct clfcn_graph *graph = &b->model->graph;
    return join(b, "Add", graph->ops[i]->name, NULL, x, b->values[graph->in2[i]]);
}

static char *build_norm(struct clfcn_onnx_builder *b, int i, char *x)
{
    const struct clfcn_graph *graph = &b->model->graph;
    const struct clfcn_op *op = graph->ops[i];
    const enum clfcn_onnx_norm norm = b->model->norms[i];
    /* Four dimensions would be legal, but OpenCV takes those for a single image. */
    const int64_t per_channel[] = { op->x->c, 1, 1 };
    if (norm == CLFCN_ONNX_NORM) {
        struct clfcn_onnx_node *n = add_node(b, "BatchNormalization", op->name, NULL);
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
    char *(*build)(struct clfcn_onnx_builder *b, int i, char *x);
} kinds[] = {
    { "conv2d", build_conv },    { "deconv2d", build_conv }, { "maxpool", build_maxpool },
    { "batchnorm", build_norm }, { "add", build_add },
};

void clfcn_onnx_build(struct clfcn_onnx_builder *b, const struct clfcn_onnx_model *model)
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
