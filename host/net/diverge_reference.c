/* diverge_reference.c - one element of what a convolution makes, by its definition. */
#include "diverge_impl.h"

#include "../ops/sample.h"
#include <math.h>
#include <stdlib.h>

/* What a pass reads on A, brought to the host; NULL where it does not read it. */
struct inputs {
    float *x, *dy, *weight, *bias;
};

static int fetch(struct clfcn_dev *dev, cl_mem mem, size_t count, float **out,
                 struct clfcn_err *err)
{
    *out = malloc(count * sizeof(float));
    return *out ? clfcn_buffer_read(dev, mem, 0, count * sizeof(float), *out, err)
                : clfcn_err_nomem(err);
}

static int fetch_inputs(struct clfcn_net *net, const struct clfcn_op *op,
                        enum clfcn_pass pass, struct inputs *in, struct clfcn_err *err)
{
    const struct clfcn_param *weight = &op->params[0], *bias = &op->params[1];
    int rc = CLFCN_OK;
    if (pass != CLFCN_PASS_INPUT) {
        rc = fetch(net->dev, op->x->mem, clfcn_tensor_count(op->x), &in->x, err);
    }
    if (rc == CLFCN_OK && pass != CLFCN_PASS_FORWARD) {
        rc = fetch(net->dev, op->dy->mem, clfcn_tensor_count(op->dy), &in->dy, err);
    }
    if (rc == CLFCN_OK && pass != CLFCN_PASS_WEIGHT) {
        rc = fetch(net->dev, weight->value, weight->count, &in->weight, err);
    }
    if (rc == CLFCN_OK && pass == CLFCN_PASS_FORWARD) {
        rc = fetch(net->dev, bias->value, bias->count, &in->bias, err);
    }
    return rc;
}

int clfcn_diverge_reference(const struct clfcn_diverge_run *run,
                            const struct clfcn_diverge_tensor *t, size_t at, bool *known,
                            double *value, struct clfcn_err *err)
{
    struct clfcn_net *net = run->net[0];
    const struct clfcn_conv *conv = t->conv[0];
    struct inputs in = { 0 };
    *known = false;
    if (!conv) {
        return CLFCN_OK;
    }
    const struct clfcn_op *op = net->graph.ops[t->op];
    const int rc = fetch_inputs(net, op, conv->pass, &in, err);
    if (rc == CLFCN_OK) {
        const struct clfcn_sample_data data = { .x = in.x,
                                                .y = in.dy,
                                                .weight = in.weight };
        *value = clfcn_sample_value(&conv->shape, conv->pass, &data, at, NULL);
        *known = true;
    }
    if (*known && conv->pass == CLFCN_PASS_FORWARD) {
        *value += in.bias[at / clfcn_tensor_row(op->y)];
        *value = op->relu ? fmax(0.0, *value) : *value;
    }
    if (*known && conv->pass == CLFCN_PASS_INPUT && run->before) {
        *value += run->before[at];
    }
    free(in.x);
    free(in.dy);
    free(in.weight);
    free(in.bias);
    return rc;
}
