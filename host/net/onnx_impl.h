/* onnx_impl.h - the steps from a network to ONNX messages. */
#ifndef CLFCN_NET_ONNX_IMPL_H
#define CLFCN_NET_ONNX_IMPL_H

#include "graph.h"
#include "onnx.h"
#include "onnx.pb-c.h"

/* What a batch norm becomes. */
enum clfcn_onnx_norm {
    CLFCN_ONNX_NORM,        /* a BatchNormalization */
    CLFCN_ONNX_SCALE_SHIFT, /* a Mul and an Add */
    CLFCN_ONNX_SHIFT,       /* an Add */
    CLFCN_ONNX_NO_NODE
};

/* A network and its parameters, as they shall be written. */
struct clfcn_onnx_model {
    struct clfcn_graph graph;
    float *params[CLFCN_MAX_OPS][CLFCN_OP_MAX_PARAMS];
    /* Of batch norms; with a scale it is params[i][0], a shift params[i][1]. */
    enum clfcn_onnx_norm norms[CLFCN_MAX_OPS];
};

/* Turn batch norms into what they are in inference. (onnx_fold.c) */
void clfcn_onnx_fold(struct clfcn_onnx_model *model);

enum {
    CLFCN_ONNX_MAX_NODES = 3 * CLFCN_MAX_OPS, /* norm: a Mul, an Add, and one of a skip */
    CLFCN_ONNX_MAX_TENSORS = CLFCN_OP_MAX_PARAMS * CLFCN_MAX_OPS,
    CLFCN_ONNX_NAME = 80,
};

/* The messages of a model, with what they point at in the same place. */
struct clfcn_onnx_node {
    ClfcnOnnx__NodeProto message;
    char name[CLFCN_ONNX_NAME]; /* also of its output */
    char *inputs[5], *output;
    ClfcnOnnx__AttributeProto attributes[4], *attribute_list[4];
    int64_t ints[4][4];
};

struct clfcn_onnx_tensor {
    ClfcnOnnx__TensorProto message;
    char name[CLFCN_ONNX_NAME];
    int64_t dims[4];
};

struct clfcn_onnx_builder {
    const struct clfcn_onnx_model *model; /* owns the tensors' elements */
    struct clfcn_onnx_node nodes[CLFCN_ONNX_MAX_NODES];
    ClfcnOnnx__NodeProto *node_list[CLFCN_ONNX_MAX_NODES];
    int node_count;
    struct clfcn_onnx_tensor tensors[CLFCN_ONNX_MAX_TENSORS];
    ClfcnOnnx__TensorProto *tensor_list[CLFCN_ONNX_MAX_TENSORS];
    int tensor_count;
    char *values[CLFCN_MAX_OPS + 1]; /* names of the graph's values */
};

/* Fill a builder of zeros with the nodes and tensors of model. (onnx_nodes.c) */
void clfcn_onnx_build(struct clfcn_onnx_builder *b, const struct clfcn_onnx_model *model);

#endif
