/* pool.cl - max pooling 2x2, stride 2.
 *
 *   x, dx  float [planes][H][W]       planes = C*N
 *   y, dy  float [planes][H/2][W/2]   an odd last row or column is dropped
 *
 * An item takes VW windows beside each other; where a row has fewer left, one after the
 * other. -D VW, MASK.
 */
#include "builtin.clh"
#include "vector.clh"

/* For floats and for vectors. The larger; a NaN wins, as in PyTorch, so that it is seen
 * in the loss. */
#define LARGER(a, b) ((((b) > (a)) | ((b) != (b))) ? (b) : (a))
#define LARGEST(a, b, c, d) LARGER(LARGER(LARGER(a, b), c), d)

#ifdef SHUFFLE
#if VW == 16
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif VW == 8
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD 1, 3, 5, 7, 9, 11, 13, 15
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#endif

/* VW pairs of pixels of a row, apart. */
struct pairs {
    vec left, right;
};

static struct pairs load_pairs(__global const float *row)
{
    const vec a = VLOAD(row), b = VLOAD(row + VW);
    const struct pairs p = { SHUFFLE(a, b, EVEN), SHUFFLE(a, b, ODD) };
    return p;
}

static void store_pairs(const vec left, const vec right, __global float *row)
{
    const vec a = SHUFFLE(left, right, LOW), b = SHUFFLE(left, right, HIGH);
    VSTORE(a, row);
    VSTORE(b, row + VW);
}
#endif

/* Global (ceil(W/2 / VW), H/2, planes). */
__kernel void pool_forward(__global const float *restrict x, __global float *restrict y,
                           const int H, const int W)
{
    const int OH = H / 2, OW = W / 2, ox = get_global_id(0) * VW, oy = get_global_id(1);
    const size_t plane = get_global_id(2);
    if (oy >= OH) {
        return;
    }
    __global const float *a = x + (plane * H + 2 * oy) * W + 2 * ox, *b = a + W;
    y += (plane * OH + oy) * OW + ox;
#ifdef SHUFFLE
    if (ox + VW <= OW) {
        const struct pairs up = load_pairs(a), down = load_pairs(b);
        VSTORE(LARGEST(up.left, up.right, down.left, down.right), y);
        return;
    }
#endif
    for (int i = 0; i < min(VW, OW - ox); ++i) {
        y[i] = LARGEST(a[2 * i], a[2 * i + 1], b[2 * i], b[2 * i + 1]);
    }
}

/* g goes to the first largest of a window, in row order as PyTorch does it; to none if
 * that is not positive and MASK is set (x is the output of a ReLU). */
#define SHARE(type, a, b, c, d, g)                         \
    const type zero = 0.0f, best = LARGEST(a, b, c, d);    \
    const type all = MASK ? (best <= zero ? zero : g) : g; \
    const type after_a = a == best ? zero : all;           \
    const type after_b = b == best ? zero : after_a;       \
    const type to_a = a == best ? all : zero;              \
    const type to_b = b == best ? after_a : zero;          \
    const type to_c = c == best ? after_b : zero;          \
    const type to_d = c == best ? zero : after_b;

/* Global (ceil(ceil(W/2) / VW), ceil(H/2), planes). */
__kernel void pool_backward(__global const float *restrict x,
                            __global const float *restrict dy,
                            __global float *restrict dx, const int H, const int W)
{
    const int OH = H / 2, OW = W / 2, ox = get_global_id(0) * VW, oy = get_global_id(1);
    const size_t plane = get_global_id(2), at = (plane * H + 2 * oy) * W + 2 * ox;
    if (2 * oy >= H) {
        return;
    }
    __global const float *a = x + at, *b = a + W;
    __global float *da = dx + at, *db = da + W;
    dy += (plane * OH + oy) * OW + ox;
#ifdef SHUFFLE
    if (oy < OH && ox + VW <= OW) {
        const struct pairs up = load_pairs(a), down = load_pairs(b);
        const vec g = VLOAD(dy);
        SHARE(vec, up.left, up.right, down.left, down.right, g)
        store_pairs(to_a, to_b, da);
        store_pairs(to_c, to_d, db);
        return;
    }
#endif
    const int width = min(2 * VW, W - 2 * ox), whole = oy < OH ? min(VW, OW - ox) : 0;
    for (int i = 0; i < whole; ++i) {
        SHARE(float, a[2 * i], a[2 * i + 1], b[2 * i], b[2 * i + 1], dy[i])
        da[2 * i] = to_a;
        da[2 * i + 1] = to_b;
        db[2 * i] = to_c;
        db[2 * i + 1] = to_d;
    }
    for (int i = 2 * whole; i < width; ++i) {
        da[i] = 0.0f;
        if (2 * oy + 1 < H) {
            db[i] = 0.0f;
        }
    }
}
