/* gemm_panel.cl - matrix product by packed panels, for CPU runtimes.
 *
 *   a  float [ceil(m/MR)][k][MR], packed before (gemm_pack.cl)
 *   b  element (k, j) at offset_b + k*stride_k + j*stride_j; one of the strides is 1
 *   c  row major, element (i, j) at offset_c + i*ld + j
 *
 * c = a b, or c += a b if add is not 0. A work-group of one item takes its share of the
 * blocks of columns, and block*part floats of scratch (block a multiple of VW): it packs
 * part rows of k of its columns at a time, which stay in the core's second cache while
 * all of a passes by (panel.clh). -D VW; MR is 12.
 */
#include "panel.clh"

/* Up to VW columns of b, kc rows of k, to [kc][VW], zero where there is no column. */
static void pack(__global const float *b, const int columns, const int kc,
                 const size_t stride_k, const size_t stride_j, const size_t readable,
                 __global float *to)
{
    if (stride_j == 1 && columns == VW) {
        for (int k = 0; k < kc; ++k) {
            PREFETCH(b + k * stride_k + VW); /* of the next columns */
            FULL(to + k * VW) = LOOSE_CONST(b + k * stride_k);
        }
        return;
    }
    for (int k = 0; stride_j != 1 && k < kc; k += VW) {
        const int count = min(VW, kc - k);
        vec lanes[VW];
        load_chunk(b + k, stride_j, columns, readable - k, count, lanes);
        for (int i = 0; i < count; ++i) {
            FULL(to + (k + i) * VW) = lanes[i];
        }
    }
    for (int k = 0; stride_j == 1 && k < kc; ++k) {
        for (int j = 0; j < VW; ++j) {
            to[k * VW + j] = j < columns ? b[k * stride_k + j] : 0.0f;
        }
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
gemm_panel(__global const float *restrict a, __global const float *restrict b,
           __global float *restrict c, __global float *restrict scratch,
           const ulong offset_b, const ulong offset_c, const int stride_k,
           const int stride_j, const int ld, const int m, const int n, const int k,
           const int block, const int part, const int add)
{
    const long blocks = (n + block - 1) / block;
    const long group = get_group_id(0), groups = get_num_groups(0);
    const size_t last = (size_t)(k - 1) * stride_k + (size_t)(n - 1) * stride_j;
    __global float *packed = scratch + group * block * part;
    b += offset_b;
    c += offset_c;
    for (long at = group * blocks / groups; at < (group + 1) * blocks / groups; ++at) {
        const int begin = at * block, end = min(n, begin + block);
        for (int k0 = 0; k0 < k; k0 += part) {
            const int kc = min(part, k - k0);
            for (int j = begin; j < end; j += VW) {
                const size_t from = (size_t)k0 * stride_k + (size_t)j * stride_j;
                pack(b + from, min(VW, n - j), kc, stride_k, stride_j, last + 1 - from,
                     packed + (size_t)(j - begin) * kc);
            }
            const struct ending ending = { .add = add || k0 > 0 };
            __global const float *next = b; /* of column 0, what is packed after this */
            next +=
                k0 + part < k ? (size_t)(k0 + part) * stride_k : (size_t)(end - begin);
            for (int i = 0; i < m; i += MR) {
                const bool last = stride_j == 1 && i + MR >= m;
                for (int j = begin; j < end; j += VW) {
                    tile(a + (size_t)i * k + (size_t)k0 * MR,
                         packed + (size_t)(j - begin) * kc, kc, last ? next + j : a,
                         last ? stride_k : 0, c + (size_t)i * ld + j, ld, m - i,
                         min(VW, n - j), &ending);
                }
            }
        }
    }
}
