/* gemm_pack.cl - one operand of a matrix product, copied into panels that gemm_panel.cl
 * reads from front to back.
 *
 *   src  element (i, k) at offset + i*stride_i + k*stride_k, i < n, k < kc
 *   dst  float [ceil(n/T)][kc][T], zero where i >= n
 *
 * One item per panel and block of KB values of k, global (ceil(kc/KB), ceil(n/T)), so
 * that a block stays in the first cache whichever way src runs. -D T, KB.
 */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
gemm_pack(__global const float *restrict src, __global float *restrict dst,
          const ulong offset, const int n, const int kc, const int stride_i,
          const int stride_k)
{
    const int k0 = get_global_id(0) * KB, k1 = min(kc, k0 + KB),
              i0 = get_global_id(1) * T;
    const int rows = min(T, n - i0);
    src += offset + (size_t)i0 * stride_i;
    dst += (size_t)i0 * kc;
    if (rows == T && stride_i == 1) {
        for (int k = k0; k < k1; ++k) {
            for (int i = 0; i < T; ++i) {
                dst[(size_t)k * T + i] = src[(size_t)k * stride_k + i];
            }
        }
        return;
    }
    for (int i = 0; i < rows; ++i) {
        for (int k = k0; k < k1; ++k) {
            dst[(size_t)k * T + i] = src[(size_t)i * stride_i + (size_t)k * stride_k];
        }
    }
    for (int i = rows; i < T; ++i) {
        for (int k = k0; k < k1; ++k) {
            dst[(size_t)k * T + i] = 0.0f;
        }
    }
}
