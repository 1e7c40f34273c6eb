/* onnx_absent.c - in place of onnx_write.c in builds without protobuf-c. */
#include "onnx_impl.h"

int clfcn_onnx_write(const struct clfcn_onnx_model *model,
                     const struct clfcn_onnx_options *options, const char *path,
                     int *tensors, struct clfcn_err *err)
{
    return clfcn_err_set(err, CLFCN_EINVAL, 0,
                         "--format onnx: this build writes no ONNX: install protobuf-c "
                         "(Debian: libprotobuf-c-dev protobuf-c-compiler) and build clfcn "
                         "anew");
}
