/* rotate.cl - weights for the input gradient of a stride-1 convolution, which is itself a
 * convolution of the output's gradient.
 *
 *   w    float [O][I][K][K]
 *   out  float [I][O][K][K]  out[i][o][y][x] = w[o][i][K-1-y][K-1-x]
 *
 * One item per (o, i), global (I, O). -D K.
 */
__kernel void rotate_weights(__global const float *restrict w,
                             __global float *restrict out, const int O, const int I)
{
    const int i = get_global_id(0), o = get_global_id(1);
    if (i >= I) {
        return;
    }
    w += ((size_t)o * I + i) * K * K;
    out += ((size_t)i * O + o) * K * K;
    for (int t = 0; t < K * K; ++t) {
        out[t] = w[K * K - 1 - t];
    }
}
