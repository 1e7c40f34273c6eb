/* cl.h - the OpenCL headers as clfcn uses them: version 1.2, no deprecation noise. */
#ifndef CLFCN_DEVICE_CL_H
#define CLFCN_DEVICE_CL_H

#define CL_TARGET_OPENCL_VERSION 120
#include "../util/err.h"
#include <CL/cl.h>

/* What ICD loaders and drivers return instead of CL_SUCCESS and no platforms
 * (CL_PLATFORM_NOT_FOUND_KHR of cl_ext.h). */
enum { CLFCN_PLATFORM_NOT_FOUND = -1001 };

/* "CL_OUT_OF_RESOURCES" for -5; also CLBlast's own codes ("CLBlastInvalidDimension"). */
const char *clfcn_cl_error_name(int code);

/* Record an OpenCL code as the cause: "<fmt>: CL_OUT_OF_RESOURCES". Returns
 * CLFCN_EDEVMEM if the device could not find memory for a buffer, which some notice
 * only at its first use; else CLFCN_ECL. */
int clfcn_cl_err(struct clfcn_err *err, cl_int code, const char *fmt, ...)
    CLFCN_PRINTF(3, 4);

#endif
