/* gemm_pack.cl - the left operand of a matrix product, copied into the panels that
 * gemm_panel.cl reads from front to back.
 *
 *   src  element (i, k) at offset + i*stride_i + k*stride_k, i < m, k < kc
 *   dst  float [ceil(m/MR)][kc][MR], zero where i >= m
 *
 * One item per panel and block of KB values of k, global (ceil(kc/KB), ceil(m/MR)), so
 * that a block stays in the first cache whichever way src runs. -D KB, VW; MR is 12.
 */
#include "strip.clh"

#define MR 12

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
gemm_pack(__global const float *restrict src, __global float *restrict dst,
          const ulong offset, const int m, const int kc, const int stride_i,
          const int stride_k)
{
    const int k0 = get_global_id(0) * KB, k1 = min(kc, k0 + KB),
              i0 = get_global_id(1) * MR;
    const int rows = min(MR, m - i0);
    int k = k0;
    src += offset + (size_t)i0 * stride_i;
    dst += (size_t)i0 * kc;
    if (rows == MR && stride_i == 1) {
        for (; k < k1; ++k) {
            for (int i = 0; i < MR; ++i) {
                dst[(size_t)k * MR + i] = src[(size_t)k * stride_k + i];
            }
        }
        return;
    }
#if defined(SHUFFLE) && VW == 16
    /* Squares, of which the last lanes are empty: each vector's are overwritten by the
     * next one, so the last square of a block is left to the loop below. */
    for (; rows == MR && stride_k == 1 && k + VW < k1; k += VW) {
#define LOAD_ROW(i) const vec row##i = LOOSE_CONST(src + (size_t)i * stride_i + k);
        LOAD_ROW(0)
        LOAD_ROW(1) LOAD_ROW(2) LOAD_ROW(3) LOAD_ROW(4) LOAD_ROW(5) LOAD_ROW(6)
            LOAD_ROW(7) LOAD_ROW(8) LOAD_ROW(9) LOAD_ROW(10) LOAD_ROW(11)
                const vec row12 = 0.0f,
                          row13 = 0.0f, row14 = 0.0f, row15 = 0.0f;
        TRANSPOSE
#define STORE_LANE(i) LOOSE(dst + (size_t)(k + i) * MR) = lane##i;
        EACH(STORE_LANE)
    }
#endif
    for (int i = 0; i < MR; ++i) {
        for (int j = k; j < k1; ++j) {
            dst[(size_t)j * MR + i] =
                i < rows ? src[(size_t)i * stride_i + (size_t)j * stride_k] : 0.0f;
        }
    }
}
