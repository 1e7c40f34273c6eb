/* optim.cl - one update of count parameters, in place.
 *
 *   p       float [count]  parameters
 *   s0, s1  float [count]  optimiser state
 *   g       float [count]  gradients
 *
 * One item per VW elements; count is a multiple of VW. -D VW, DECOUPLED (AdamW).
 */
#include "vector.clh"

/* v = m*v + (g + decay*p); p -= lr*v. As torch.optim.SGD, s0 = v. */
__kernel void sgd(__global float *restrict p, __global const float *restrict g,
                  __global float *restrict s0, const uint count, const float lr,
                  const float momentum, const float decay)
{
    const size_t i = get_global_id(0) * VW;
    if (i >= count) {
        return;
    }
    const vec w = VLOAD(p + i);
    const vec v = momentum * VLOAD(s0 + i) + (VLOAD(g + i) + decay * w);
    VSTORE(v, s0 + i);
    VSTORE(w - lr * v, p + i);
}

/* As torch.optim.Adam and AdamW: s0, s1 are the moments, rest = 1 - beta, which single
 * precision would compute too coarsely, step = lr / (1 - beta1^t), root = 1 / sqrt(1 -
 * beta2^t), decay = weight decay (Adam) or lr * weight decay (AdamW). */
__kernel void adam(__global float *restrict p, __global const float *restrict g,
                   __global float *restrict s0, __global float *restrict s1,
                   const uint count, const float step, const float beta1,
                   const float rest1, const float beta2, const float rest2,
                   const float root, const float eps, const float decay)
{
    const size_t i = get_global_id(0) * VW;
    if (i >= count) {
        return;
    }
    vec w = VLOAD(p + i), d = VLOAD(g + i);
#if DECOUPLED
    w -= decay * w;
#else
    d += decay * w;
#endif
    const vec m = beta1 * VLOAD(s0 + i) + rest1 * d;
    const vec v = beta2 * VLOAD(s1 + i) + rest2 * d * d;
    VSTORE(m, s0 + i);
    VSTORE(v, s1 + i);
    VSTORE(w - step * m / (sqrt(v) * root + eps), p + i);
}
