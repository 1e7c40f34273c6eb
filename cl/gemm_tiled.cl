/* gemm_tiled.cl - matrix product through local memory, for GPUs.
 *
 *   a  element (i, k) at a_offset + i*a_row + k*a_col,  i < m, k < kc
 *   b  element (k, j) at b_offset + k*b_row + j*b_col,  j < n
 *   c  row major, element (i, j) at c_offset + i*ld + j
 *
 * c = a b, or c += a b if add is not 0. One work-group of SIDE x SIDE items per tile of
 * 4*SIDE x COLS*SIDE outputs, 4 x COLS outputs an item, KT values of k at a time; COLS is
 * 4, or 1 for products of few columns. Each operand is read along whichever of its
 * strides is 1. Global (roundup(n, COLS*SIDE)/COLS, roundup(m, 4*SIDE)/4, products), with
 * next_a, next_b and next_c floats from one product's matrices to those of the next.
 * -D SIDE, KT, COLS.
 */
#include "slice.clh"

#define ROWS 4
#define TILE_A (ROWS * SIDE)
#define TILE_B (COLS * SIDE)
#define ITEMS (SIDE * SIDE)

/* tile[k][i], i < size, of an operand that has element (i, k) at i*stride_i + k*stride_k,
 * zero outside. */
static inline __attribute__((always_inline)) void
load_tile(__global const float *src, __local float *tile, const uint size, const int i0,
          const int k0, const int n, const int kc, const int stride_i, const int stride_k)
{
    for (uint e = get_local_id(1) * SIDE + get_local_id(0); e < size * KT; e += ITEMS) {
        const int i = stride_k == 1 ? e / KT : e % size;
        const int k = stride_k == 1 ? e % KT : e / size;
        const int inside = i0 + i < n && k0 + k < kc;
        tile[k * (size + 1) + i] =
            inside ? src[(size_t)(i0 + i) * stride_i + (size_t)(k0 + k) * stride_k]
                   : 0.0f;
    }
}

/* What an item's outputs gain from k. */
static void multiply(__local const float *ta, __local const float *tb, const int k,
                     float acc[ROWS][COLS])
{
    __local const float *ra = ta + k * (TILE_A + 1) + get_local_id(1),
                        *rb = tb + k * (TILE_B + 1) + get_local_id(0);
    for (int i = 0; i < ROWS; ++i) {
        for (int j = 0; j < COLS; ++j) {
            acc[i][j] = fma(ra[i * SIDE], rb[j * SIDE], acc[i][j]);
        }
    }
}

__kernel __attribute__((reqd_work_group_size(SIDE, SIDE, 1))) void
gemm_tiled(__global const float *restrict a, __global const float *restrict b,
           __global float *restrict c, const ulong a_offset, const int a_row,
           const int a_col, const ulong b_offset, const int b_row, const int b_col,
           const ulong c_offset, const int ld, const int m, const int n, const int kc,
           const int add, const ulong next_a, const ulong next_b, const ulong next_c)
{
    __local float ta[KT * (TILE_A + 1)], tb[KT * (TILE_B + 1)];
    const int lx = get_local_id(0), ly = get_local_id(1);
    const int i0 = GROUP_ID(1) * TILE_A, j0 = GROUP_ID(0) * TILE_B;
    float acc[ROWS][COLS] = { { 0.0f } };
    a += a_offset + get_global_id(2) * next_a;
    b += b_offset + get_global_id(2) * next_b;
    c += c_offset + get_global_id(2) * next_c;
    for (int k0 = 0; k0 < kc; k0 += KT) {
        load_tile(a, ta, TILE_A, i0, k0, m, kc, a_row, a_col);
        load_tile(b, tb, TILE_B, j0, k0, n, kc, b_col, b_row);
        barrier(CLK_LOCAL_MEM_FENCE);
        if (kc - k0 >= KT) {
            for (int k = 0; k < KT; ++k) {
                multiply(ta, tb, k, acc);
            }
        } else {
            for (int k = 0; k < kc - k0; ++k) {
                multiply(ta, tb, k, acc);
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    for (int i = 0; i < ROWS; ++i) {
        for (int j = 0; j < COLS; ++j) {
            const int row = i0 + ly + i * SIDE, column = j0 + lx + j * SIDE;
            if (row < m && column < n) {
                __global float *at = c + (size_t)row * ld + column;
                *at = add ? *at + acc[i][j] : acc[i][j];
            }
        }
    }
}
