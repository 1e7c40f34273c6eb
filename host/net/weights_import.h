/* weights_import.h - a file of weights as clfcn writes them, without a device. */
#ifndef CLFCN_NET_WEIGHTS_IMPORT_H
#define CLFCN_NET_WEIGHTS_IMPORT_H

#include "net.h"

struct clfcn_import {
    enum clfcn_backbone backbone; /* what the names and shapes fit best */
    int classes;                  /* 0: no whole network, as it has no classifier */
    int tensors;                  /* written */
};

/* Write the weights of an FCN or a VGG in f, known by the names that clfcn_net_load()
 * knows, to out: safetensors of 32-bit floats under PyTorch's names. name stands for f in
 * messages. */
int clfcn_weights_import(const struct clfcn_weights_file *f, const char *name,
                         const char *out, bool partial, struct clfcn_import *report,
                         struct clfcn_err *err);

#endif
