#include "frame.h"

#include <stdio.h>
#include <string.h>

const cl_icd_dispatch *below;
static cl_icd_dispatch above;

bool stamp(const char *path)
{
    FILE *file = path ? fopen(path, "w") : NULL;
    return !path || (file && fclose(file) == 0);
}

CL_API_ENTRY cl_int CL_API_CALL clGetLayerInfo(cl_layer_info what, size_t size,
                                               void *value, size_t *size_ret)
{
    const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
    if (what != CL_LAYER_API_VERSION || (value && size < sizeof(version))) {
        return CL_INVALID_VALUE;
    }
    if (value) {
        memcpy(value, &version, sizeof(version));
    }
    if (size_ret) {
        *size_ret = sizeof(version);
    }
    return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clInitLayer(cl_uint count, const cl_icd_dispatch *target,
                                            cl_uint *count_ret,
                                            const cl_icd_dispatch **layer)
{
    const cl_uint functions = sizeof(above) / sizeof(above.clGetPlatformIDs);
    if (!target || !count_ret || !layer || count < functions) {
        return CL_INVALID_VALUE;
    }
    below = target;
    above = *target;
    if (!take_up(&above)) {
        return CL_INVALID_VALUE;
    }
    *count_ret = functions;
    *layer = &above;
    return CL_SUCCESS;
}
