/* gemm_panel.cl - matrix product of packed panels, for CPU runtimes.
 *
 *   a  float [ceil(m/MR)][kc][MR]   b  float [ceil(n/VW)][kc][VW]   (gemm_pack.cl)
 *   c  float, row major, element (i, j) at offset + i*ld + j
 *
 * c = a b, or c += a b if add is not 0. One work-group of one item per MR x VW tile,
 * whose accumulators are named vectors: an array of them would be kept in memory. Global
 * (ceil(m/MR), ceil(n/VW)): neighbours share the panel of b. -D VW; MR is 12.
 */
#include "vector.clh"

#define MR 12
#define ROWS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
gemm_panel(__global const float *restrict a, __global const float *restrict b,
           __global float *restrict c, const ulong offset, const int ld, const int m,
           const int n, const int kc, const int add)
{
    const int i0 = get_global_id(0) * MR, j0 = get_global_id(1) * VW;
    a += (size_t)i0 * kc;
    b += (size_t)j0 * kc;
    c += offset + (size_t)i0 * ld + j0;
#define DECLARE(i) vec acc##i = 0.0f;
    ROWS(DECLARE)
    for (int k = 0; k < kc; ++k) {
        const vec v = VLOAD(b);
#define MULTIPLY(i) acc##i = fma((vec)a[i], v, acc##i);
        ROWS(MULTIPLY)
        a += MR;
        b += VW;
    }
    const int rows = min(MR, m - i0), columns = min(VW, n - j0);
    if (columns == VW) {
#define STORE(i)                                       \
    if (i < rows) {                                    \
        __global float *at = c + (size_t)i * ld;       \
        VSTORE(add ? acc##i + VLOAD(at) : acc##i, at); \
    }
        ROWS(STORE)
    } else {
        float row[VW];
#define STORE_PART(i)                              \
    if (i < rows) {                                \
        __global float *at = c + (size_t)i * ld;   \
        VSTORE(acc##i, row);                       \
        for (int j = 0; j < columns; ++j) {        \
            at[j] = add ? at[j] + row[j] : row[j]; \
        }                                          \
    }
        ROWS(STORE_PART)
    }
}
