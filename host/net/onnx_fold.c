/* onnx_fold.c - batch norms with their running statistics as scales and shifts of
 * channels, within their neighbours' weights where that is exact. */
#include "onnx_impl.h"

#include <math.h>
#include <string.h>

enum { GAMMA, BETA, RUNNING_MEAN, RUNNING_VAR };

static bool is_kind(const struct clfcn_op *op, const char *kind)
{
    return strcmp(op->impl->kind, kind) == 0;
}

/* The only reader of value v, or -1. */
static int only_reader(const struct clfcn_graph *graph, int v)
{
    for (int i = 0; graph->values[v].consumers == 1 && i < graph->op_count; ++i) {
        if (graph->in[i] == v) {
            return i;
        }
    }
    return -1;
}

/* gamma (x - mean) / sqrt(var + eps) + beta = scale x + shift: these replace gamma and
 * beta. */
static void to_scale_and_shift(float *const *params, int64_t channels)
{
    for (int64_t c = 0; c < channels; ++c) {
        const double deviation =
            sqrt((double)params[RUNNING_VAR][c] + (double)CLFCN_BATCHNORM_EPS);
        const double scale = params[GAMMA][c] / deviation;
        params[BETA][c] = (float)(params[BETA][c] - scale * params[RUNNING_MEAN][c]);
        params[GAMMA][c] = (float)scale;
    }
}

/* conv(scale x + shift) by a 1x1 convolution, weight [out][in]. */
static void fold_forward(const struct clfcn_op *conv, float *const *conv_params,
                         float *const *params)
{
    const int64_t out = conv->params[0].dims[0], in = conv->params[0].dims[1];
    for (int64_t o = 0; o < out; ++o) {
        float *row = conv_params[0] + o * in;
        double bias = conv_params[1][o];
        for (int64_t c = 0; c < in; ++c) {
            bias += (double)row[c] * params[BETA][c];
            row[c] *= params[GAMMA][c];
        }
        conv_params[1][o] = (float)bias;
    }
}

/* scale relu(deconv(x)), weight [in][out][k][k]: relu(z) scale = relu(z scale) where the
 * scale is positive. */
static void fold_backward(const struct clfcn_op *deconv, float *const *deconv_params,
                          const float *scale)
{
    const int64_t *dims = deconv->params[0].dims;
    const int64_t in = dims[0], out = dims[1], taps = dims[2] * dims[3];
    for (int64_t i = 0; i < in * out; ++i) {
        for (int64_t t = 0; t < taps; ++t) {
            deconv_params[0][i * taps + t] *= scale[i % out];
        }
    }
    for (int64_t o = 0; o < out; ++o) {
        deconv_params[1][o] *= scale[o];
    }
}

static bool all_positive(const float *x, int64_t n)
{
    int64_t i = 0;
    while (i < n && x[i] > 0.0f) {
        ++i;
    }
    return i == n;
}

static void fold_norm(struct clfcn_onnx_model *m, int i)
{
    const struct clfcn_graph *graph = &m->graph;
    const struct clfcn_op *norm = graph->ops[i];
    const int64_t channels = norm->params[GAMMA].dims[0];
    const int next = norm->x2 ? -1 : only_reader(graph, graph->out[i]);
    const int before = graph->values[graph->in[i]].producer;
    to_scale_and_shift(m->params[i], channels);
    if (next >= 0 && is_kind(graph->ops[next], "conv2d") &&
        graph->ops[next]->params[0].dims[2] == 1) {
        fold_forward(graph->ops[next], m->params[next], m->params[i]);
        m->norms[i] = CLFCN_ONNX_NO_NODE;
    } else if (only_reader(graph, graph->in[i]) == i &&
               is_kind(graph->ops[before], "deconv2d") &&
               all_positive(m->params[i][GAMMA], channels)) {
        fold_backward(graph->ops[before], m->params[before], m->params[i][GAMMA]);
        m->norms[i] = CLFCN_ONNX_SHIFT;
    } else {
        m->norms[i] = CLFCN_ONNX_SCALE_SHIFT;
    }
}

void clfcn_onnx_fold(struct clfcn_onnx_model *m)
{
    for (int i = 0; i < m->graph.op_count; ++i) {
        if (is_kind(m->graph.ops[i], "batchnorm")) {
            fold_norm(m, i);
        }
    }
}
