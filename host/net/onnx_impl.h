/* onnx_impl.h - the steps from a network to a file of ONNX. */
#ifndef CLFCN_NET_ONNX_IMPL_H
#define CLFCN_NET_ONNX_IMPL_H

#include "graph.h"
#include "onnx.h"

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

/* Write it in ONNX's messages; the rest as clfcn_onnx_save(). (onnx_write.c) */
int clfcn_onnx_write(const struct clfcn_onnx_model *model,
                     const struct clfcn_onnx_options *options, const char *path,
                     int *tensors, struct clfcn_err *err);

#endif
