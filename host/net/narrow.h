/* narrow.h - floats in fewer bits. */
#ifndef CLFCN_NET_NARROW_H
#define CLFCN_NET_NARROW_H

#include "weights_file.h"

/* Turn count floats at data into dtype (CLFCN_F32, CLFCN_F16 or CLFCN_BF16) in place, to
 * the nearest, of two equally near to the even one; what is too large for F16 becomes
 * infinite. Returns the bytes that they then take. */
size_t clfcn_narrow(void *data, size_t count, enum clfcn_dtype dtype);

#endif
