/* onnx.h - a network with its weights as an ONNX model, opset 13. Format:
 * https://github.com/onnx/onnx/blob/main/docs/IR.md */
#ifndef CLFCN_NET_ONNX_H
#define CLFCN_NET_ONNX_H

#include "state_dict.h"

/* An entry of the model's metadata_props. */
struct clfcn_onnx_property {
    const char *key, *value;
};

struct clfcn_onnx_options {
    /* Leave no BatchNormalization: with its running statistics it is a scale and a shift
     * of each channel. They go into a 1x1 convolution that alone follows. Else the scale
     * goes through the ReLU into the transposed convolution before it, if that alone
     * makes its input and no scale is negative or zero, and the shift stays, as an Add;
     * else they are a Mul and an Add. None of that changes what is computed, but for
     * rounding. (Zero padding forbids more: a shift that went into a following 3x3
     * convolution would be wrong along the borders.) */
    bool fold_batchnorm;
    bool any_size; /* leave height and width open, as the number of images is */
    const struct clfcn_onnx_property *properties;
    int property_count;
};

/* Write the network that desc describes, with the weights sd, as path. Input "image"
 * [N][3][height][width], output "logits" [N][classes][height][width], both float32,
 * desc's batch being of no account. Initialisers have the parameters' names; what folding
 * left of a batch norm is bn1.scale and bn1.shift, [C][1][1]. *tensors receives their
 * number. CLFCN_EINVAL if this build has no protobuf-c, or the model exceeds protobuf's 2
 * GiB. sd must be checked to be complete. */
int clfcn_onnx_save(const struct clfcn_state_dict *sd, const struct clfcn_net_desc *desc,
                    const struct clfcn_onnx_options *options, const char *path,
                    int *tensors, struct clfcn_err *err);

#endif
