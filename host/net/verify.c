/* verify.c - the algorithms that a network has chosen, checked on its own shapes. */
#include "../ops/verify.h"
#include "net_impl.h"

int clfcn_net_verify(struct clfcn_net *net, int layer, enum clfcn_pass pass,
                     struct clfcn_net_verdict *out, struct clfcn_err *err)
{
    const struct clfcn_op *op = net->graph.ops[layer];
    const struct clfcn_op_run run = { .dev = net->dev,
                                      .training = true,
                                      .columns = net->columns,
                                      .scratch = net->scratch };
    *out = (struct clfcn_net_verdict){ 0 };
    if (!clfcn_net_has_pass(net, layer, pass) || !op->impl->conv) {
        return CLFCN_OK;
    }
    const int rc = clfcn_verify_conv(op->impl->conv(op, pass), &run, &out->error, err);
    if (rc < 0) {
        clfcn_err_note(err, "verifying layer '%s', %s", op->name, clfcn_pass_name(pass));
        return rc;
    }
    out->checked = true;
    out->correct = out->error <= CLFCN_SAMPLES_BOUND; /* not if it is NaN */
    return CLFCN_OK;
}
