/* gemm_pack.cl - the left operand of a matrix product, copied into the panels that
 * gemm_panel.cl reads from front to back.
 *
 *   src  element (i, k) at offset + i*stride_i + k*stride_k, i < m, k < kc
 *   dst  float [ceil(m/MR)][kc][MR], zero where i >= m
 *
 * One item per panel and block of KB values of k, global (ceil(kc/KB), ceil(m/MR)), so
 * that a block stays in the first cache whichever way src runs. -D KB, VW; MR is 12.
 */
#include "panel.clh"

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
gemm_pack(__global const float *restrict src, __global float *restrict dst,
          const ulong offset, const int m, const int kc, const int stride_i,
          const int stride_k)
{
    const int k0 = get_global_id(0) * KB, i0 = get_global_id(1) * MR;
    pack_left(src + offset + (size_t)i0 * stride_i, stride_i, stride_k, min(MR, m - i0),
              k0, min(kc, k0 + KB), dst + (size_t)i0 * kc);
}
