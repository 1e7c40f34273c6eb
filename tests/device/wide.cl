/* wide.cl - OFFSET is added to a whole vector. -D OFFSET. */
__kernel void wide(__global float4 *x)
{
    x[get_global_id(0)] += (float4)(OFFSET);
}
