/* broken.cl - does not build: the error is in line 6. */
#include "bounds.clh"

__kernel void broken(__global float *x)
{
    x[0] = undeclared_name;
}
