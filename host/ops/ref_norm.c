/* ref_norm.c - fp64 definitions of ReLU, max pooling and batch normalisation. */
#include "ref.h"
#include <math.h>
#include <string.h>

static const double EPS = 1e-5, MOMENTUM = 0.1;

void clfcn_ref_relu(size_t count, const double *x, double *y)
{
    for (size_t i = 0; i < count; ++i) {
        y[i] = x[i] > 0.0 ? x[i] : 0.0;
    }
}

void clfcn_ref_relu_backward(size_t count, const double *y, const double *dy, double *dx)
{
    for (size_t i = 0; i < count; ++i) {
        dx[i] = y[i] > 0.0 ? dy[i] : 0.0;
    }
}

/* Index, in a plane of width w, of the largest of the 2x2 pixels whose upper left one is
 * first. */
static size_t argmax_2x2(const double *plane, int w, size_t first)
{
    const size_t window[4] = { first, first + 1, first + w, first + w + 1 };
    size_t best = window[0];
    for (int i = 1; i < 4; ++i) {
        if (plane[window[i]] > plane[best]) {
            best = window[i];
        }
    }
    return best;
}

void clfcn_ref_maxpool(int planes, int h, int w, const double *x, double *y)
{
    for (int p = 0; p < planes; ++p) {
        const double *plane = x + (size_t)p * h * w;
        for (int oy = 0; oy < h / 2; ++oy) {
            for (int ox = 0; ox < w / 2; ++ox) {
                *y++ = plane[argmax_2x2(plane, w, 2 * ((size_t)oy * w + ox))];
            }
        }
    }
}

void clfcn_ref_maxpool_backward(int planes, int h, int w, const double *x,
                                const double *dy, double *dx)
{
    memset(dx, 0, (size_t)planes * h * w * sizeof(*dx));
    for (int p = 0; p < planes; ++p) {
        const size_t start = (size_t)p * h * w;
        for (int oy = 0; oy < h / 2; ++oy) {
            for (int ox = 0; ox < w / 2; ++ox) {
                const size_t first = 2 * ((size_t)oy * w + ox);
                dx[start + argmax_2x2(x + start, w, first)] = *dy++;
            }
        }
    }
}

/* Mean and biased variance of one channel. */
struct moments {
    double mean, var;
};

static struct moments row_moments(size_t row, const double *x)
{
    struct moments m = { 0.0, 0.0 };
    for (size_t i = 0; i < row; ++i) {
        m.mean += x[i];
    }
    m.mean /= (double)row;
    for (size_t i = 0; i < row; ++i) {
        m.var += (x[i] - m.mean) * (x[i] - m.mean);
    }
    m.var /= (double)row;
    return m;
}

static void normalise(size_t row, const double *x, struct moments m, double gamma,
                      double beta, double *y)
{
    const double inverse = 1.0 / sqrt(m.var + EPS);
    for (size_t i = 0; i < row; ++i) {
        y[i] = (x[i] - m.mean) * inverse * gamma + beta;
    }
}

void clfcn_ref_batchnorm(int c, size_t row, const double *x, const double *gamma,
                         const double *beta, double *running_mean, double *running_var,
                         double *y)
{
    for (int i = 0; i < c; ++i) {
        const struct moments m = row_moments(row, x + i * row);
        const double unbiased = row > 1 ? m.var * (double)row / (double)(row - 1) : m.var;
        normalise(row, x + i * row, m, gamma[i], beta[i], y + i * row);
        running_mean[i] += MOMENTUM * (m.mean - running_mean[i]);
        running_var[i] += MOMENTUM * (unbiased - running_var[i]);
    }
}

void clfcn_ref_batchnorm_eval(int c, size_t row, const double *x, const double *gamma,
                              const double *beta, const double *running_mean,
                              const double *running_var, double *y)
{
    for (int i = 0; i < c; ++i) {
        const struct moments m = { running_mean[i], running_var[i] };
        normalise(row, x + i * row, m, gamma[i], beta[i], y + i * row);
    }
}

/* With xh the normalised x: dx = gamma * inverse * (dy - mean(dy) - xh * mean(dy * xh)).
 */
static void row_backward(size_t row, const double *x, double gamma, const double *dy,
                         double *dx, double *dgamma, double *dbeta)
{
    const struct moments m = row_moments(row, x);
    const double inverse = 1.0 / sqrt(m.var + EPS);
    *dgamma = *dbeta = 0.0;
    for (size_t i = 0; i < row; ++i) {
        *dgamma += dy[i] * (x[i] - m.mean) * inverse;
        *dbeta += dy[i];
    }
    for (size_t i = 0; i < row; ++i) {
        const double xh = (x[i] - m.mean) * inverse;
        dx[i] =
            gamma * inverse * (dy[i] - *dbeta / (double)row - xh * *dgamma / (double)row);
    }
}

void clfcn_ref_batchnorm_backward(int c, size_t row, const double *x, const double *gamma,
                                  const double *dy, double *dx, double *dgamma,
                                  double *dbeta)
{
    for (int i = 0; i < c; ++i) {
        row_backward(row, x + i * row, gamma[i], dy + i * row, dx + i * row, &dgamma[i],
                     &dbeta[i]);
    }
}
