/* wire.h - how floats are written into messages (allreduce.h).
 *
 * fp32: the floats as they are. fp16: a float factor, then for each float the half of
 * float / factor, rounded to nearest even. The factor is a power of two such that the
 * largest finite magnitude lies in [2^14, 2^15), so scaling loses nothing and no sum of
 * roundings reaches infinity: an element x of a message whose largest magnitude is m
 * comes back within max(|x| * 2^-11, m * 2^-39). Infinities and NaN stay what they
 * are. */
#ifndef CLFCN_COMM_WIRE_H
#define CLFCN_COMM_WIRE_H

#include "allreduce.h"

/* Bytes of a message of so many floats. */
size_t clfcn_wire_bytes(enum clfcn_wire wire, size_t count);

/* message is aligned for floats. */
void clfcn_wire_encode(enum clfcn_wire wire, const float *values, size_t count,
                       void *message);
void clfcn_wire_decode(enum clfcn_wire wire, const void *message, size_t count,
                       float *values);
/* Add the elements first .. first+count-1 of a message to sums [count]. */
void clfcn_wire_add(enum clfcn_wire wire, const void *message, size_t first, size_t count,
                    double *sums);

#endif
